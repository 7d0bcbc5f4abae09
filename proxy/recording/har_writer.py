"""Writes finished exchanges to a HAR file, in a thread of its own: a slow disk stalls no call.

The queue is bounded; exchanges beyond it are dropped, counted and logged. A full disk is logged
once, and tried again with the next exchange.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from proxy.recording.exchange import RecordedExchange
from proxy.recording.har import build_entry
from proxy.recording.har_file import HarFile
from proxy.recording.keep import weigh

logger = logging.getLogger(__name__)

MAX_WAITING = 64 * 1024 * 1024


class HarWriter:
    """One file that is recorded to."""

    def __init__(
        self,
        path: Path,
        creator: tuple[str, str],
        mask: Callable[[str], str],
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Open the file; HarError or OSError if it cannot be used."""
        self._file = HarFile(path, creator)
        self._mask = mask
        self._max_waiting = max_waiting
        self._waiting: deque[RecordedExchange] = deque()
        self._bytes = 0
        self._closing = False
        self._failed = False
        self.dropped = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="har", daemon=True)
        self._thread.start()

    def add(self, exchange: RecordedExchange) -> None:
        """Queue an exchange to be written; never waits."""
        with self._changed:
            weight = weigh(exchange)
            if self._bytes + weight > self._max_waiting:
                self.dropped += 1
                if self.dropped == 1:
                    logger.warning("recording_behind the disk is too slow; exchanges are left out")
                return
            self._waiting.append(exchange)
            self._bytes += weight
            self._changed.notify()

    def close(self) -> None:
        """Write the queue, then close the file. Blocking."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._file.close()
        if self.dropped:
            logger.warning("recording_incomplete left_out=%d", self.dropped)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                exchange = self._waiting.popleft()
            self._write(exchange)
            with self._changed:
                self._bytes -= weigh(exchange)

    def _write(self, exchange: RecordedExchange) -> None:
        try:
            self._file.append(build_entry(exchange, self._mask))
        except OSError as error:
            self.dropped += 1
            if not self._failed:
                logger.warning("recording_failed error=%s", error.strerror or error)
            self._failed = True
        else:
            self._failed = False
