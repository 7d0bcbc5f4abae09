"""A request of our own that goes through all that a caller's goes through: guards, limits, log."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_HEAD = 65536
READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back: the status, and the header fields by name in lower case."""

    status: int
    fields: dict[bytes, bytes]


async def send_inward(front: Callable[[], asyncio.Protocol], request: bytes) -> Outcome:
    """Give a whole request to the front, as over a Unix socket, and read its answer to the end.

    The answer's body is read and thrown away. ConnectionError if there is no whole answer's head.
    """
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(front, theirs)
    reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_HEAD)
    try:
        writer.write(request)
        # The answer may come before the last byte of the request is read: both at once.
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 1"):
            head = await reader.readuntil(b"\r\n\r\n")
        while await reader.read(READ_SIZE):
            pass
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionError("the front gave no answer") from error
    finally:
        writer.close()
    status_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    return Outcome(int(status_line.split(b" ", 2)[1]), fields)
