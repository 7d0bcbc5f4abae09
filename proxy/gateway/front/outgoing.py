"""An answer on its way out: framed, gathered into few writes, and broken off where it must be."""

import asyncio
import socket
import struct
from typing import Final

from proxy.gateway.forward import Framing
from proxy.gateway.http1 import Headers, encode_last_chunk
from proxy.system.tcp import Outflow, unread

# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
NO_BODY: Final = Framing.NONE
BY_CHUNKS: Final = Framing.CHUNKED
BY_CLOSE: Final = Framing.CLOSE
# Up to this size one copy is cheaper than a second system call.
JOINED_WRITE: Final = 65536
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, for no time: close is a reset then


class Outgoing:
    """The answers of one connection, one after the other."""

    __slots__ = (
        "_framing", "_outflow", "_parts", "_size", "_transport", "has_left",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._framing = NO_BODY
        self._parts: list[bytes] = []  # queued, not written yet
        self._size = 0
        self._outflow = Outflow(transport)
        self.has_left = False  # the head is written: another answer is out of the question

    def begin(self) -> None:
        """Begin the next answer."""
        self._framing = NO_BODY
        self.has_left = False

    def head(self, head: bytes, framing: Framing = NO_BODY) -> None:
        """Queue the head of an answer framed as `framing`; nothing is written yet."""
        self._framing = framing
        self._parts.append(head)
        self._size += len(head)

    def send(self, data: bytes) -> None:
        """Queue a piece of the body, which is not empty."""
        if self._framing is BY_CHUNKS:
            self._parts += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._parts.append(data)
        self._size += len(data)

    def flush(self) -> None:
        """Write what is queued."""
        parts = self._parts
        if not parts:
            return
        self.has_left = True
        if len(parts) == 1:
            self._transport.write(parts[0])
        elif self._size <= JOINED_WRITE:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)
        self._parts = []
        self._size = 0

    def end(self, trailers: Headers) -> None:
        """Write the rest, and the framing's end."""
        if self._framing is BY_CHUNKS:
            self._parts.append(encode_last_chunk(trailers))
        self.flush()

    def whole(self, answer: bytes) -> None:
        """Write an answer that is here from its head to its end."""
        self.has_left = True
        self._transport.write(answer)

    def drop(self) -> None:
        """Forget what was not written."""
        self._parts.clear()
        self._size = 0

    def interim(self, data: bytes) -> None:
        """Write an interim answer."""
        self._transport.write(data)

    def break_off(self, *, reset: bool = False) -> None:
        """Close the connection so that an answer under way cannot look complete."""
        self.drop()
        # Where the end of the connection would be the end of the body, it must be a reset.
        if self.has_left and (reset or self._framing is BY_CLOSE):
            raw = self._transport.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()
        else:
            self._transport.close()

    def unsent(self) -> int:
        """Count the bytes that were written and have not left this machine."""
        raw = self._transport.get_extra_info("socket")
        held = unread(raw) if raw is not None and raw.fileno() >= 0 else 0
        return self._transport.get_write_buffer_size() + held

    def is_stuck(self, now: float, limit: float) -> bool:
        """Return whether what was written has not moved for `limit` seconds."""
        return self._outflow.is_stuck(now, limit)
