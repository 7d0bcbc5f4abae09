"""Stands between a client and a real Redis, and answers some commands in its place.

For what the installed server cannot do (WAITAOF came with 7.2), or does too seldom to wait for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Relay:
    """The answers, as RESP bytes by command; and the commands that were seen, in order."""

    port: int = 0
    answers: dict[bytes, Callable[[], bytes]] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@asynccontextmanager
async def redis_relay(
    port: int, answers: Mapping[bytes, Callable[[], bytes]]
) -> AsyncIterator[Relay]:
    relay = Relay(answers=dict(answers))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                command, name = await _read(reader)
                relay.seen.append(name)
                if name in relay.answers:
                    writer.write(relay.answers[name]())
                else:
                    to_server.write(command)
                    writer.write((await _read(from_server))[0])
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            to_server.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one RESP2 value; return its bytes, and its first string in upper case."""
    line = await reader.readuntil(b"\r\n")
    kind, number = line[:1], line[1:-2]
    if kind == b"$" and int(number) >= 0:
        data = await reader.readexactly(int(number) + 2)
        return line + data, data[:-2].upper()
    if kind == b"*" and int(number) > 0:
        parts = [await _read(reader) for _ in range(int(number))]
        return line + b"".join(part for part, _ in parts), parts[0][1]
    return line, b""
