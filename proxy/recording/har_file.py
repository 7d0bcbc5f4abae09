"""HAR files: written one entry at a time, and read up to the last whole entry.

A growing file is valid JSON after each entry: an entry is one line, and the closing brackets are
written behind it in the same write. A kill within a write leaves a part of one entry, which the
next start removes.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from proxy.errors import ProxyError

CLOSING = b"\n]}}\n"
LARGEST = 2 * 1024 * 1024 * 1024
Json = dict[str, Any]


class HarError(ProxyError):
    """A file that cannot be used as a HAR file; the text says why and what to do."""


class HarFile:
    """A HAR file that finished exchanges are appended to. Blocking; for a thread of its own."""

    def __init__(self, path: Path, creator: tuple[str, str]) -> None:
        """Open or create the file, and remove what a kill left; HarError if it is not ours."""
        self._path = path
        name, version = creator
        opening = json.dumps({"version": "1.2", "creator": {"name": name, "version": version}})
        self._opening = b'{"log": ' + opening[:-1].encode() + b', "entries": [\n'
        # Private from birth: it holds candidates' data.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._end, self._is_first = self._mend()
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, entry: Json) -> None:
        """Write an entry; the file is whole again at the end. OSError where the disk is full."""
        separator = b"" if self._is_first else b",\n"
        line = separator + json.dumps(entry, ensure_ascii=True).encode()
        self._write(line + CLOSING)
        self._end += len(line)
        self._is_first = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        view, at = memoryview(data), self._end
        while view:
            written = os.pwrite(self._fd, view, at)
            view, at = view[written:], at + written

    def _mend(self) -> tuple[int, bool]:
        """Return where the next entry goes, and whether it is the first; cut off what is behind."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            first = file.readline()
            if first and not (first.startswith(b'{"log": ') and first.endswith(b'"entries": [\n')):
                raise HarError(
                    f"{self._path}: is there already, and was not written by this program; name "
                    "another file, nothing was changed"
                )
            end, count = len(first), 0
            for line in file:
                entry = line.rstrip(b"\n").removesuffix(b",")
                if not _is_whole(entry):
                    break
                # The separator belongs to the entry behind it.
                end = file.tell() - len(line) + len(entry)
                count += 1
        if not first:
            end = len(self._opening)
            os.pwrite(self._fd, self._opening, 0)
        os.ftruncate(self._fd, end)
        self._end = end
        self._write(CLOSING)
        return end, count == 0


def read_entries(path: Path, warn: Callable[[str], None]) -> Iterator[Json]:
    """Read the entries of a HAR file, up to the last whole one; `warn` is told of a rest."""
    try:
        if path.stat().st_size > LARGEST:
            raise HarError(f"{path}: is larger than {LARGEST >> 30} GiB; record less into one file")
        text = path.read_text("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise HarError(f"{path}: {error.strerror or error}") from error
    start = _entries_start(text)
    if start is None:
        raise HarError(f"{path}: is not a HAR file (no log with entries in it)")
    decoder = json.JSONDecoder()
    at, count = start, 0
    while True:
        at = _skip(text, at, " \t\r\n,")
        if text[at : at + 1] == "]":
            return
        try:
            entry, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            warn(f"{path}: is cut off or damaged after {count} whole entries; those are used")
            return
        if isinstance(entry, dict):
            count += 1
            yield entry


def _entries_start(text: str) -> int | None:
    """Return where the array of entries begins; before it stand small objects at most."""
    at = text.find('"entries"')
    while at >= 0:
        after = _skip(text, at + len('"entries"'), " \t\r\n")
        if text[after : after + 1] == ":":
            after = _skip(text, after + 1, " \t\r\n")
            if text[after : after + 1] == "[":
                return after + 1
        at = text.find('"entries"', at + 1)
    return None


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _is_whole(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
