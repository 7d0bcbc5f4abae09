"""What a person sees: colour, marks and a line that counts down, where there is a terminal.

In a pipe there is no colour and no spinner; `NO_COLOR` (no-color.org) is honoured.
"""

from collections.abc import Mapping
from typing import TextIO

import click

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_SPINNER = "|/-\\"


class Terminal:
    """A stream of text that may be a person's terminal."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self.interactive = stream.isatty() and environ.get("TERM") != "dumb"
        self.colour = self.interactive and not environ.get("NO_COLOR")
        self._unicode = (getattr(stream, "encoding", None) or "").lower().startswith("utf")
        self._frame = 0
        self._shown = False

    def style(self, text: str, colour: str, *, bold: bool = False) -> str:
        """Colour a text where colour is wanted."""
        return click.style(text, fg=colour, bold=bold or None) if self.colour else text

    def mark(self, kind: str) -> str:
        """Return the sign of a result: tick, cross, warning or dash."""
        signs = {"ok": ("✓", "ok"), "bad": ("✗", "FAIL"), "warn": ("!", "warn"), "skip": ("-", "-")}
        colours = {"ok": "green", "bad": "red", "warn": "yellow", "skip": "white"}
        sign = signs[kind][0 if self._unicode else 1]
        return self.style(sign, colours[kind], bold=True)

    def say(self, text: str) -> None:
        """Write a line of its own."""
        self.clear()
        click.echo(text, file=self._stream, color=self.colour)

    def progress(self, text: str) -> None:
        """Show a progress line in place of the last one; nothing in a pipe."""
        if not self.interactive:
            return
        frames = SPINNER if self._unicode else PLAIN_SPINNER
        self._frame = (self._frame + 1) % len(frames)
        import shutil

        # A line that wraps cannot be removed.
        room = max(10, shutil.get_terminal_size().columns - 3)
        self._stream.write(f"\r\x1b[K{frames[self._frame]} {text[:room]}")
        self._stream.flush()
        self._shown = True

    def clear(self) -> None:
        """Remove the progress line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def duration(seconds: float) -> str:
    """Write a time span as a person would: `27 d 4 h`, `29 min`, `41 s`."""
    left = max(0, int(seconds))
    if left >= 86400:
        days, rest = divmod(left, 86400)
        return f"{days} d {rest // 3600} h" if rest >= 3600 else f"{days} d"
    if left >= 3600:
        hours, rest = divmod(left, 3600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    if left >= 120:
        return f"{left // 60} min"
    return f"{left} s"


def clock_face(seconds: float) -> str:
    """Write a countdown: `9:58`."""
    left = max(0, int(seconds))
    return f"{left // 60}:{left % 60:02d}"
