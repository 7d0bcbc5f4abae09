"""Writes the log in a thread of its own: whoever reads it can neither stop nor slow the proxy.

A stopped reader: new lines are dropped once the queue is full. A closed reader or a full disk: the
lines being written are dropped. Either way the lost lines are counted, and a line says how many as
soon as lines can be written again.
"""

import os
import select
import threading
from collections.abc import Callable

MOST_WAITING = 2 * 1024 * 1024  # characters: some seconds of a busy proxy's log
CLOSE_TIMEOUT = 1.0


class LogWriter:
    """A stream of text to a file descriptor that never blocks and never fails."""

    def __init__(self, descriptor: int, *, most_waiting: int = MOST_WAITING) -> None:
        self.notice: Callable[[int], str] = "{} log lines were lost\n".format
        self._descriptor = descriptor
        self._next: int | None = None  # the descriptor to go on with
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._waiting: list[str | int] = []  # texts, and how many lines were dropped between them
        self._size = 0
        self._lost = 0
        self._busy = False
        self._thread: threading.Thread | None = None
        # The thread's own: lost and not said yet, and whether the last write ended within a line.
        self._unsaid = 0
        self._torn = False

    @property
    def lost(self) -> int:
        """Return how many lines were lost since the start."""
        return self._lost

    def isatty(self) -> bool:
        """Return whether a person reads it."""
        return os.isatty(self._descriptor)

    def write(self, text: str) -> None:
        """Queue whole lines; they are written soon, or dropped where too much waits."""
        with self._changed:
            if self._size + len(text) > self._most_waiting:
                self._drop(text.count("\n"))
            else:
                self._waiting.append(text)
                self._size += len(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def close(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait up to `timeout` seconds for everything to be written; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def redirect(self, descriptor: int) -> None:
        """Go on with another descriptor, and close the one before once it is not written to."""
        with self._changed:
            if self._next is not None:
                os.close(self._next)
            self._next = descriptor

    def _drop(self, lines: int) -> None:
        self._lost += lines
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, int):
            self._waiting[-1] = last + lines
        else:
            self._waiting.append(lines)

    # ── in the thread ──

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                self._busy = True
                items, self._waiting = self._waiting, []
                self._size = 0
                if self._next is not None:
                    os.close(self._descriptor)
                    self._descriptor, self._next, self._torn = self._next, None, False
            for item in items:
                if isinstance(item, int):
                    self._unsaid += item
                    self._say()
                else:
                    self._say()
                    self._put(item)

    def _say(self) -> None:
        """Write how many lines are missing here, if any."""
        if self._unsaid:
            text = self.notice(self._unsaid)
            if self._write(text.encode()) == 0:
                self._unsaid = 0

    def _put(self, text: str) -> None:
        missing = self._write(text.encode(errors="backslashreplace"))
        if missing:
            self._unsaid += missing
            with self._changed:
                self._lost += missing

    def _write(self, data: bytes) -> int:
        """Write to the end; return how many lines could not be written whole."""
        lines = data.count(b"\n")
        if self._torn:
            data = b"\n" + data
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])  # another program made it non-blocking
            except OSError:
                written = len(data) - len(view)
                if written:
                    self._torn = not data[:written].endswith(b"\n")
                return min(lines, bytes(view).count(b"\n"))
        self._torn = False
        return 0
