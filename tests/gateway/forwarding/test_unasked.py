"""What an upstream sends unasked, at the worst of moments, is nobody's answer.

Between the last look at an idle connection and the request's first byte on the wire lies a moment
in which nobody can tell; these hold it to what no byte from elsewhere fits into.
"""

import asyncio
import socket
from collections.abc import Callable

import pytest

from proxy.gateway.upstream import UpstreamConnection
from tests.support.certificates import Authority, make_authority
from tests.support.proxying import GET, FakeCredentials, Harness, bearer, proxying
from tests.support.recorder import OK, RecordedConnection, Recorder

STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


def act_when_taken(proxy: Harness, act: Callable[[], object]) -> None:
    """Do something once an idle connection is chosen, before the event loop can see it."""
    take = proxy.upstream.take

    def take_then_act(*, repeatable: bool, in_turn: bool = False) -> UpstreamConnection | None:
        connection = take(repeatable=repeatable, in_turn=in_turn)
        if connection is not None:
            act()
        return connection

    proxy.upstream.take = take_then_act  # type: ignore[method-assign]


def raw_socket(connection: RecordedConnection) -> socket.socket:
    """Return the upstream's end: what is written there is at ours at once, on loopback."""
    raw: socket.socket = connection.writer.get_extra_info("socket")
    return socket.socket(fileno=socket.dup(raw.fileno()))


@pytest.mark.interpreted
@pytest.mark.parametrize("warm", [False, True])
async def test_what_comes_after_the_event_loops_last_look_is_nobodys(warm: bool) -> None:
    async with Recorder() as upstream, proxying(upstream) as proxy:
        if warm:
            await proxy.upstream.start()
            while not upstream.connections:
                await asyncio.sleep(0)
        else:
            await proxy.ask(GET)
        with raw_socket(upstream.connections[0]) as raw:
            act_when_taken(proxy, lambda: raw.send(STRAY))
            _, body = await proxy.ask(GET)

    assert body == b"ok"


@pytest.mark.interpreted
@pytest.mark.parametrize("tls", [False, True])
async def test_the_request_leaves_in_the_same_breath_as_the_look(
    authority: Authority, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other callback of the event loop's runs between the two."""
    arrived: list[bool] = []
    look = UpstreamConnection.has_input

    async with Recorder(context=authority.context() if tls else None) as upstream:
        section = {"ca_file": str(authority.path)} if tls else {}
        async with proxying(upstream, upstream=section) as proxy:
            await proxy.ask(GET)
            with raw_socket(upstream.connections[0]) as raw:

                def peek() -> None:
                    try:
                        arrived.append(bool(raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)))
                    except BlockingIOError:
                        arrived.append(False)

                def look_and_check_later(connection: UpstreamConnection) -> bool:
                    asyncio.get_running_loop().call_soon(peek)
                    return look(connection)

                monkeypatch.setattr(UpstreamConnection, "has_input", look_and_check_later)
                async with proxy.caller() as caller:
                    await caller.ask(GET)

    assert arrived == [True]


@pytest.mark.parametrize("tls", [False, True])
async def test_what_comes_while_a_401_is_held_is_nobodys(authority: Authority, tls: bool) -> None:
    """Such lies within TLS, decrypted or not, where no look at the socket finds it."""
    credentials = FakeCredentials(newer=bearer(b"T2", 2), wait=asyncio.Event())
    go_on = asyncio.Event()

    async def script(connection: RecordedConnection) -> None:
        while await connection.request() is not None:
            if len(upstream.requests) > 1:
                connection.send(OK)
                continue
            connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            await go_on.wait()
            connection.send(STRAY)
            await asyncio.sleep(0.05)  # time for the event loop to take it off the socket
            assert credentials.wait is not None
            credentials.wait.set()

    async with Recorder(script=script, context=authority.context() if tls else None) as upstream:
        section = {"ca_file": str(authority.path)} if tls else {}
        async with proxying(upstream, credentials=credentials, upstream=section) as proxy:
            asking = asyncio.ensure_future(proxy.ask(GET))
            while not credentials.rejections:
                await asyncio.sleep(0)
            go_on.set()
            _, body = await asking

    assert body == b"ok"


async def test_the_connection_of_a_caller_that_reads_slowly_serves_the_next() -> None:
    """A caller that asks ahead and does not read is served no further, and keeps nobody waiting."""
    count, size = 300, 60_000

    async def script(connection: RecordedConnection) -> None:
        for _ in range(count):
            await connection.request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        while await connection.request() is not None:
            connection.send(CHUNKED)

    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as slow:
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            slow.writer.write(GET * count)
            served = -1
            while served != len(proxy.records) or not served:
                served = len(proxy.records)
                await asyncio.sleep(0.1)
            async with asyncio.timeout(1):
                answer, _ = await proxy.ask(GET)

    assert served < count
    assert answer.startswith(b"HTTP/1.1 200 ")
