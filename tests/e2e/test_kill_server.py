"""The real server killed and stopped in the middle of refreshes, with callers on it."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from proxy.cli.clock import SystemClock
from proxy.grant.accounts import open_endpoint
from proxy.grant.manager import TokenManager
from proxy.grant.stores.file import FileStore
from proxy.grant.stores.record import Record
from proxy.system.secret import Secret
from tests.support.authorization_server import CLIENT_ID, CLIENT_SECRET, Answer, AuthorizationServer
from tests.support.granting import make_config
from tests.support.history import Kill, faults, losses
from tests.support.processes import Process, free_port, start

LIFETIME = 1.0
KILLS = 6
CALLERS = 8


@dataclass
class Setup:
    """Server, upstream, folder and the callers' counts."""

    server: AuthorizationServer
    home: Path
    port: int
    upstream: str = ""  # the grant is bound to it
    statuses: dict[int, int] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    refused: int = 0

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def command(self, *arguments: str) -> Process:
        file = str(self.home / "config.yaml")
        return start(arguments[0], "-c", file, *arguments[1:], home=self.home)

    async def start(self) -> Process:
        process = self.command("serve")
        await asyncio.to_thread(process.wait_for_output, "listening")
        return process

    async def record(self) -> Record | None:
        store = FileStore(self.home / "tokens", SystemClock())
        try:
            return await store.load("default")
        finally:
            await store.close()

    async def log_in(self) -> None:
        clock = SystemClock()
        config = make_config(self.server, upstream={"url": self.upstream})
        store, endpoint = FileStore(self.home / "tokens", clock), open_endpoint(config, clock, {})
        manager = TokenManager("default", store, endpoint, config, clock)
        await manager.exchange(Secret(self.server.issue_code()))
        await manager.close()
        await store.close()

    async def call(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with session.get(f"{self.url}/users/me") as answer:
                    await answer.read()
                    self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                    if answer.status == 200:
                        self.answered.set()
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # it is being killed or started
            await asyncio.sleep(0.01)


@asynccontextmanager
async def upstream(server: AuthorizationServer, setup: Setup) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer not in server.valid_access_tokens:
            setup.refused += 1
            return web.Response(status=401)
        return web.json_response({"id": "me"})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    server = AuthorizationServer(lifetime=LIFETIME)
    await server.start()
    made = Setup(server, tmp_path, free_port())
    async with upstream(server, made) as url:
        made.upstream = url
        config = {
            "listen": {"port": made.port},
            "oauth": {
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "token_endpoint": server.url,
            },
            "upstream": {"url": url},
            "limits": {"mode": "pass"},
            "tokens": {"path": str(tmp_path / "tokens")},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        await made.log_in()
        yield made
    await server.stop()


async def test_the_real_server_killed_under_load(
    setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    kills: list[Kill] = []
    async with aiohttp.ClientSession(trust_env=False) as session:
        callers = [asyncio.ensure_future(setup.call(session)) for _ in range(CALLERS)]
        for number in range(KILLS):
            setup.answered.clear()
            process = await setup.start()
            if number % 2:  # on a busy machine it would be killed each time before its first answer
                async with asyncio.timeout(60):
                    await setup.answered.wait()
            await asyncio.sleep(random.uniform(0.2, 1.2))  # the random instant
            began = time.monotonic()
            process.signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            await setup.server.caught_up()  # its last request may be unread on a busy machine
            kills.append(Kill(began, time.monotonic()))
            record = await setup.record()
            if record is None or record.ended is not None:
                await setup.log_in()
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)

    with capsys.disabled():
        print(
            f"\n{KILLS} kills of the real server, {len(setup.server.committed)} rotations, "
            f"{len(losses(setup.server.log))} lost; the callers saw {setup.statuses}"
        )
    assert faults(setup.server.log, kills) == []
    assert setup.refused == 0
    assert setup.statuses.get(200, 0) > 0
    assert set(setup.statuses) <= {200, 503}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
async def test_a_signal_to_stop_in_the_middle_of_a_refresh_stores_it(
    setup: Setup, number: signal.Signals
) -> None:
    process = await setup.start()
    setup.server.release = asyncio.Event()
    before = len(setup.server.requests)
    async with aiohttp.ClientSession(trust_env=False) as session:
        await asyncio.sleep(LIFETIME)  # the access token's end
        call = asyncio.ensure_future(session.get(f"{setup.url}/users/me"))
        while len(setup.server.requests) == before:
            await asyncio.sleep(0.01)
        process.signal(number)
        await asyncio.to_thread(process.wait_for_output, "(?i)drain|stopping|shutting")
        setup.server.release.set()
        answer = await call
        await answer.read()
        code = await asyncio.to_thread(process.wait)

    record = await setup.record()
    assert code == 0
    assert answer.status == 200
    assert record is not None
    assert (record.generation, record.intent) == (2, None)


@pytest.mark.parametrize("command", ["check", "token"])
async def test_a_signal_to_a_command_in_the_middle_of_a_refresh_stores_it(
    setup: Setup, command: str
) -> None:
    await asyncio.sleep(LIFETIME)  # the access token's end
    setup.server.always = Answer(delay=1.0, change={})  # a regular answer, late
    before = len(setup.server.requests)
    process = setup.command(command)
    while len(setup.server.requests) == before:
        await asyncio.sleep(0.01)
    process.signal(signal.SIGTERM)
    code = await asyncio.to_thread(process.wait)

    record = await setup.record()
    assert code == 130
    assert record is not None
    assert (record.generation, record.intent) == (2, None)
