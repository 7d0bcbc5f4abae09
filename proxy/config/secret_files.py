"""The files that secrets come from: how one is read, and which are open to others."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from proxy.system.secret import Secret

LARGEST_SECRET = 64 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_secret(path: Path) -> str:
    """Read the secret that a file holds; OSError or ValueError says why it cannot be had.

    A byte order mark and one line end (LF or CRLF) are removed: editors add them.
    """
    # Reading a pipe or a device could block for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("what it names is not a file")
    with path.open("rb") as file:
        content = file.read(LARGEST_SECRET + 1)
    if len(content) > LARGEST_SECRET:
        raise ValueError("the file is larger than a secret can be")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    if text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
    if not text:
        raise ValueError("the file is empty")
    return text


def unknown_secret() -> Secret:
    """Return a random value to stand in for a secret that cannot be read here."""
    return Secret(os.urandom(16).hex())


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file with a secret in it, and the key that names it ("" for the configuration file)."""

    path: Path
    key: str

    def warning(self) -> str | None:
        """Return a warning if others may read the file."""
        try:
            mode = self.path.stat().st_mode
        except OSError:
            return None
        if not mode & OTHERS & (stat.S_IRGRP | stat.S_IROTH):
            return None
        who = "everybody on this machine" if mode & stat.S_IROTH else "its group"
        named = f" ({self.key})" if self.key else ""
        return f"{self.path}{named} holds a secret, and {who} may read it: chmod 600 {self.path}"
