"""What the kernel knows of a connection: what its peer has acknowledged, and when it last did.

The event loop's own buffer tells little: the kernel reports room in steps of megabytes, so that a
transfer which is slow and steady looks like one that has stopped.
"""

import asyncio
import fcntl
import select
import socket
import struct
import sys
import termios
from dataclasses import dataclass
from typing import Final, Protocol

# A peer that acknowledges nothing for so long is dead. TCP_USER_TIMEOUT is not used for it: it also
# ends a connection whose peer is well and merely reads nothing for that long (a closed window).
DEAD_AFTER: Final = 15.0
KEEPALIVE: Final = (
    ("TCP_KEEPIDLE", 5),  # Linux and FreeBSD
    ("TCP_KEEPALIVE", 5),  # the same on macOS
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 2),
)
# linux/tcp.h, struct tcp_info: its size up to tcpi_bytes_acked, which came with Linux 4.1.
TCP_INFO_SIZE: Final = 128
HANG_UP: Final = getattr(select, "POLLRDHUP", 0)
UNACKED, LAST_ACK_RECEIVED, BYTES_ACKED = 24, 56, 120


class RawSocket(Protocol):
    """The part of a socket that a transport gives access to."""

    @property
    def family(self) -> int: ...
    def fileno(self) -> int: ...
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...
    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the bytes that were sent."""

    acknowledged: int  # bytes, since the connection was opened
    in_flight: int  # packets that are sent and not acknowledged
    heard: float  # seconds since the last acknowledgement, of whatever


def keep_alive(connection: RawSocket) -> None:
    """Have the kernel end a resting connection whose peer has gone, about DEAD_AFTER later."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def delivery(connection: RawSocket) -> Delivery | None:
    """Ask the kernel; None where it does not tell: not TCP, not Linux, or closed."""
    if sys.platform != "linux" or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
    except (OSError, ValueError):  # the latter: uvloop, of one that is closed
        return None
    if len(info) < TCP_INFO_SIZE:
        return None
    return Delivery(
        acknowledged=struct.unpack_from("=Q", info, BYTES_ACKED)[0],
        in_flight=struct.unpack_from("=I", info, UNACKED)[0],
        heard=struct.unpack_from("=I", info, LAST_ACK_RECEIVED)[0] / 1000,
    )


def has_hung_up(connection: RawSocket | None) -> bool:
    """Tell whether the peer has closed, while nothing is being read that would show it.

    Only Linux reports a FIN behind unread data; a reset is reported everywhere.
    """
    if connection is None or connection.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), HANG_UP)
    return bool(poll.poll(0))


def unread(connection: RawSocket) -> int:
    """Count the bytes that the kernel still holds of what was sent; 0 where it does not tell."""
    try:
        return int(
            struct.unpack("=i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"1234"))[0]
        )
    except (OSError, ValueError):
        return 0


class Outflow:
    """Tells whether the peer takes what is written to it."""

    __slots__ = ("_acknowledged", "_held", "_moved_at", "_socket", "_transport")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._socket: RawSocket | None = transport.get_extra_info("socket")
        self._acknowledged = 0
        self._held = 0
        self._moved_at = 0.0

    def is_stuck(self, now: float, limit: float) -> bool:
        """Tell whether something waits to be taken, and nothing was for `limit` seconds.

        Call it every second or so: the time is measured between calls.
        """
        waiting = self._transport.get_write_buffer_size()
        if not waiting or self._has_moved(waiting):
            self._moved_at = now
            return False
        return now - self._moved_at > limit

    def _has_moved(self, waiting: int) -> bool:
        told = delivery(self._socket) if self._socket is not None else None
        if told is not None:
            before, self._acknowledged = self._acknowledged, told.acknowledged
            return told.acknowledged > before
        if self._socket is not None:
            waiting += unread(self._socket)
        before, self._held = self._held, waiting
        return waiting < before
