"""Codes of logins that were presented: a small file each beside the record, for ten minutes.

A code is never presented twice, whoever opens its callback again (RFC 6749 section 10.5 has servers
revoke the grant then). The file's name has a digest of the code; it holds when it was taken and how
the login came out. Blocking: for a thread.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.grant.stores import folder as files
from proxy.system.secret import Secret

# Seconds; the states of logins live ten minutes, and the clocks of replicas may differ a little.
LIFETIME: Final = 660
LONGEST: Final = 2048
# For Redis: takes the code's key beside the record's, or answers what was noted of it.
TAKE_SCRIPT: Final = (
    "local key = KEYS[1] .. ':code-' .. ARGV[1]; "
    "if redis.call('SET', key, '', 'NX', 'EX', ARGV[2]) then return 1 end; "
    "return redis.call('GET', key) or ''"
)


def digest(code: Secret) -> str:
    """Return a name for a code that does not reveal it."""
    return hashlib.sha256(code.reveal().encode()).hexdigest()[:32]


def take(folder: Path, account: str, name: str, now: float) -> str | None:
    """Take a code, durably; None if nobody had, else how that login came out, as far as known."""
    path = folder / f"{account}.code-{name}"
    try:
        with files.opened(folder, create=True) as directory:
            for old in _old(folder, account, now):
                with suppress(OSError):
                    os.unlink(old, dir_fd=directory)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                fd = os.open(path.name, flags, 0o600, dir_fd=directory)
            except FileExistsError:
                return _read(folder, path.name)[1]
            try:
                os.write(fd, f"{now}\n".encode())
                os.fsync(fd)
            finally:
                os.close(fd)
            os.fsync(directory)
    except OSError as error:
        raise files.store_error(path, error, "cannot be written") from None
    return None


def note(folder: Path, account: str, name: str, outcome: str) -> None:
    """Add how the login came out."""
    file = f"{account}.code-{name}"
    at, _ = _read(folder, file)
    files.write(folder, file, f"{file}.part", f"{at}\n{outcome[:LONGEST]}".encode())


def _old(folder: Path, account: str, now: float) -> Iterator[str]:
    for path in folder.glob(f"{account}.code-*"):
        # Those from the future too, after the clock was set back.
        if abs(now - _read(folder, path.name)[0]) > LIFETIME:
            yield path.name


def _read(folder: Path, file: str) -> tuple[float, str]:
    data = files.read(folder, file, LONGEST * 4) or b""
    at, _, outcome = data.decode(errors="replace").partition("\n")
    try:
        return float(at), outcome
    except ValueError:
        return 0.0, ""  # cut short by a kill
