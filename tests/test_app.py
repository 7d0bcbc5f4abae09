"""The composition root: all of it or nothing, in order, and backwards."""

import asyncio
import logging
import socket
from pathlib import Path

import aiohttp
import pytest

from proxy.app import App
from proxy.config import Config
from proxy.errors import StartError
from tests.security.product import product
from tests.support.memory_store import MemoryStore
from tests.support.processes import free_port
from tests.support.proxying import LoopClock

OAUTH = {"client_id": "id", "client_secret": "a-secret-of-some-length"}


def make_app(folder: Path, **sections: dict[str, object]) -> App:
    config = Config.build({"oauth": OAUTH, "tokens": {"path": str(folder)}, **sections})
    return App(config, LoopClock(), state_folder=folder, environ={})


async def test_it_says_where_it_listens(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    app = make_app(
        tmp_path,
        listen={
            "host": "127.0.0.1",
            "port": 0,
            "unix_socket": str(path),
            "probes": {"host": "127.0.0.1", "port": 0},
        },
    )
    await app.start()
    try:
        base, unix, probes = app.addresses

        assert base == app.base_url
        assert base.startswith("http://127.0.0.1:")
        assert unix == f"unix:{path}"
        assert probes.endswith("(probes)")
    finally:
        await app.stop()
    assert not path.exists()


@pytest.mark.parametrize(
    ("host", "name"),
    [("localhost", "localhost"), ("0.0.0.0", "localhost"), ("127.0.0.1", "127.0.0.1")],
)
async def test_the_base_url_is_one_that_a_tool_here_can_use(
    tmp_path: Path, host: str, name: str
) -> None:
    app = make_app(
        tmp_path, listen={"host": host, "port": 0}, access={"allow_unauthenticated": True}
    )
    await app.start()
    try:
        assert app.base_url.rpartition(":")[0] == f"http://{name}"
        async with aiohttp.ClientSession() as session, session.get(f"{app.base_url}/-/live") as got:
            assert got.status == 200
    finally:
        await app.stop()


async def test_a_taken_port_touches_no_grant_and_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        app = make_app(
            tmp_path / "state", listen={"port": other.getsockname()[1], "host": "127.0.0.1"}
        )

        with pytest.raises(StartError):
            await app.start()

    assert not (tmp_path / "state").exists()


async def test_a_taken_port_for_probes_frees_the_first_one(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        probes = {"host": "127.0.0.1", "port": other.getsockname()[1]}
        app = make_app(tmp_path, listen={"port": port, "host": "127.0.0.1", "probes": probes})

        with pytest.raises(StartError):
            await app.start()

    with socket.socket() as again:
        again.bind(("127.0.0.1", port))


async def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    app = make_app(tmp_path, listen={"host": "127.0.0.1", "port": 0})
    await app.start()

    await app.stop()
    await app.stop()

    problem = app.readiness()
    assert problem is not None
    assert problem.code == "shutting_down"


async def test_a_part_that_fails_to_close_does_not_keep_the_grant_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(tmp_path, listen={"host": "127.0.0.1", "port": 0})
    await app.start()
    closed: list[str] = []

    async def fails() -> None:
        raise RuntimeError("no")

    async def last() -> None:
        closed.append("accounts")

    app._undo[:0] = [last]
    app._undo.append(fails)
    with caplog.at_level(logging.ERROR):
        await app.stop()

    assert closed == ["accounts"]
    assert "did not close" in caplog.text


async def test_a_store_handed_in_is_used(tmp_path: Path) -> None:
    config = Config.build({"oauth": OAUTH, "listen": {"host": "127.0.0.1", "port": 0}})
    app = App(
        config, LoopClock(), state_folder=tmp_path / "unused", environ={}, store=MemoryStore()
    )
    await app.start()
    try:
        assert app.accounts["default"].status().state == "login_required"
    finally:
        await app.stop()
    assert not (tmp_path / "unused").exists()


async def test_refreshes_are_counted_and_grants_are_gauged(tmp_path: Path) -> None:
    async with product(tmp_path) as running, aiohttp.ClientSession() as session:
        await running.login(session)
        manager = running.app.accounts["default"]
        generation = manager.status().generation
        await manager.rejected(generation)
        async with session.get(f"{running.url}/-/metrics") as answer:
            metrics = await answer.text()

    assert 'srproxy_token_refreshes_total{account="default",outcome="ok"} 1.0' in metrics
    assert 'srproxy_login_required{account="default"} 0.0' in metrics


async def test_the_owner_of_the_grant_is_asked_for_and_told(tmp_path: Path) -> None:
    async with product(tmp_path) as running, aiohttp.ClientSession() as session:
        page = await running.login(session)

    assert "Ingrid Lindqvist" in page


async def test_one_connection_is_warm_before_the_first_call(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    app = make_app(
        tmp_path,
        listen={"host": "127.0.0.1", "port": 0},
        upstream={"url": f"http://127.0.0.1:{port}"},
    )
    await app.start()
    try:
        async with asyncio.timeout(10):
            await arrived.wait()
    finally:
        await app.stop()
        server.close()
        await server.wait_closed()
