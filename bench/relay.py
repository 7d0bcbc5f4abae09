"""A TCP relay that puts its target some milliseconds away.

Bytes arrive `delay` later in each direction, and a new connection first costs the round trip that
its handshake would take. It looks into nothing that it carries.
Run as ``python -m bench.relay PORT TARGET_PORT MILLISECONDS``.
"""

import asyncio
import contextlib
import sys


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Hand each chunk on `delay` after it came, without letting one wait for the other."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1000)

    async def deliver() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async with asyncio.TaskGroup() as group:
        group.create_task(deliver())
        while data := await reader.read(65536):
            await queue.put((loop.time() + delay, data))
        await queue.put((loop.time() + delay, b""))


async def start_relay(port: int, target: int, delay: float) -> asyncio.Server:
    """Listen on the port, in front of the target; both on the loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * delay)
        with contextlib.suppress(OSError, ExceptionGroup), contextlib.closing(writer):
            there = await asyncio.open_connection("127.0.0.1", target)
            with contextlib.closing(there[1]):
                async with asyncio.TaskGroup() as group:
                    group.create_task(_carry(reader, there[1], delay))
                    group.create_task(_carry(there[0], writer, delay))

    return await asyncio.start_server(serve, "127.0.0.1", port)


async def main(port: int, target: int, milliseconds: float) -> None:
    """Serve until the process is ended."""
    server = await start_relay(port, target, milliseconds / 1000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
