"""What lies below a transport: its socket, its TLS, and what the kernel says of them."""

import asyncio
import os
import select
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from proxy.system.network import TlsObject
from proxy.system.tcp import DEAD_AFTER, RawSocket, delivery, keep_alive

READ_SIZE: Final = 65536


class Wire:
    """The socket and the TLS of one connection."""

    __slots__ = ("_acknowledged", "_poll", "_settled_at", "_socket", "_spare", "_tls")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._socket: RawSocket | None = transport.get_extra_info("socket")
        self._tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._poll = select.poll()
        self._spare: int | None = None
        self._acknowledged = 0  # bytes of ours, when last checked
        self._settled_at = 0.0  # when nothing was in flight, as far as is known
        if self._socket is not None:
            self._poll.register(self._socket.fileno(), select.POLLIN)
            keep_alive(self._socket)

    def begin(self, now: float) -> None:
        """Note that nothing is in flight: what comes next is sent now."""
        self._settled_at = now

    def has_input(self) -> bool:
        """Return whether something waits to be read that the event loop has not come to yet."""
        return bool(self._poll.poll(0))

    def has_moved(self) -> bool:
        """Return whether the peer has acknowledged bytes since the last look."""
        state = delivery(self._socket) if self._socket is not None else None
        if state is None or state.acknowledged <= self._acknowledged:
            return False
        self._acknowledged = state.acknowledged
        return True

    def is_dead(self, now: float) -> bool:
        """Return whether the peer has acknowledged nothing of what was sent for DEAD_AFTER."""
        state = delivery(self._socket) if self._socket is not None else None
        if state is None or not state.in_flight:
            self._settled_at = now
            return False
        return min(state.heard, now - self._settled_at) >= DEAD_AFTER

    def keep_readable(self) -> None:
        """Hold the socket once more, so that what arrives can be read after a write has failed.

        An upstream that refuses a body answers and closes. The failure of the next write ends the
        transport at once, and its socket with it, the answer still to be read.
        """
        if self._spare is None and self._socket is not None:
            with suppress(OSError):  # closed already, or no descriptor is left: then without
                self._spare = os.dup(self._socket.fileno())

    def rest(self) -> Iterator[bytes]:
        """Read what has arrived and was not read, until `let_go` or there is no more."""
        data = b""
        try:
            while self._spare is not None:
                if isinstance(self._tls, TlsObject):
                    self._tls.incoming.write(data)
                    yield from self._decrypted(self._tls)
                elif data:
                    yield data
                if self._spare is None:
                    return
                data = os.read(self._spare, READ_SIZE)
                if not data:
                    return
        except OSError:
            return  # nothing more, or nothing that can be read

    @staticmethod
    def _decrypted(tls: ssl.SSLObject) -> Iterator[bytes]:
        try:
            while data := tls.read(READ_SIZE):
                yield data
        except ssl.SSLWantReadError:
            return

    def let_go(self) -> None:
        """Hold the socket no longer."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def has_said_goodbye(self) -> bool:
        """Tell an end that was meant from a connection merely cut, which TLS can (close_notify)."""
        if self._tls is None:
            return True
        try:
            return not self._tls.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            return True
