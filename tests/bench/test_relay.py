"""The benchmark's relay: as far away as it says, and it loses nothing."""

import asyncio

from bench.relay import start_relay

DELAY = 0.02


async def test_a_call_costs_the_handshake_and_each_direction() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as target:
        relay = await start_relay(0, target.sockets[0].getsockname()[1], DELAY)
        async with relay:
            loop = asyncio.get_running_loop()
            started = loop.time()
            port = relay.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            sent = bytes(range(256)) * 4096
            writer.write(sent)
            writer.write_eof()
            received = await reader.read()
            took = loop.time() - started
            writer.close()

    assert received == sent
    assert took >= 4 * DELAY
