"""A grant is used for the app and the servers it was given for, and for nothing else."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.clock import SystemClock
from proxy.config import Config
from proxy.errors import GrantEnded, TokenEndpointError
from proxy.grant.bound import binding_of
from proxy.grant.oauth import TokenSet
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.encryption import EncryptingCodec
from proxy.grant.stores.file import FileStore
from proxy.grant.stores.record import Record, to_json
from proxy.grant.stores.redis import RedisStore
from proxy.system.secret import Secret
from tests.support.authorization_server import CLIENT_ID
from tests.support.granting import World, make_config, problem_of, token_of
from tests.support.memory_store import MemoryStore
from tests.support.processes import free_port, running, srproxy, wait_until_answers
from tests.support.redis_server import RedisServer, redis_server

KEY = "an encryption key of many characters"
MISMATCHES = ("client_id", "token_endpoint", "upstream")


@dataclass
class Listener:
    """A server that keeps what it is sent, and always answers 500."""

    url: str
    received: list[bytes]


@contextmanager
def listener() -> Iterator[Listener]:
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            data = self.connection.recv(65536)
            if data:
                received.append(data)
                self.connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Listener(f"http://127.0.0.1:{server.server_address[1]}", received)
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Two:
    """Two configurations, the grant of the first one stored, and all their servers."""

    home: Path
    port: int
    first: dict[str, Any]
    second: dict[str, Any]
    listeners: list[Listener]
    prefix: str = "srproxy:"

    def write(self, mapping: dict[str, Any]) -> None:
        (self.home / "c.yaml").write_text(json.dumps(mapping))

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        done = srproxy(*arguments, "-c", "c.yaml", home=self.home, stdin=stdin)
        return done.returncode, done.stdout + done.stderr

    @property
    def received(self) -> list[bytes]:
        return [data for listener in self.listeners for data in listener.received]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def open_store_of(config: Config, home: Path) -> TokenStore:
    key = config.tokens.encryption_key
    codec = EncryptingCodec(key) if key is not None else None
    if config.tokens.redis.url is not None:
        return RedisStore(config.tokens.redis.url, config.tokens.redis.prefix, SystemClock(), codec)
    return FileStore(home / "state", SystemClock(), codec)


def put(config: Config, home: Path, *, left: float) -> Record:
    """Store a grant of that configuration, its access token good for `left` seconds more."""
    now = SystemClock().now()
    tokens = TokenSet(
        Secret("access-canary"), Secret("refresh-canary"), now - 1000, now + left, now, now + 2e6
    )
    record = Record("default", 3, tokens, bound=binding_of(config))

    async def save() -> None:
        store = open_store_of(config, home)
        async with store.lease("default", 5) as lease:
            await lease.load()
            await lease.save(record)
        await store.close()

    asyncio.run(save())
    return record


def stored(config: Config, home: Path) -> Record:
    async def load() -> Record | None:
        store = open_store_of(config, home)
        try:
            return await store.load("default")
        finally:
            await store.close()

    record = asyncio.run(load())
    assert record is not None
    return record


@pytest.fixture
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    mismatch, kind = request.param
    with listener() as endpoint, listener() as api, listener() as other:
        port = free_port()
        first: dict[str, Any] = {
            "listen": {"port": port},
            "oauth": {
                "client_id": "first-app",
                "client_secret": "client-secret-0123456789",
                "token_endpoint": f"{endpoint.url}/token",
                "redirect_uri": f"http://localhost:{port}/-/callback",
            },
            "upstream": {"url": api.url},
            "tokens": {"path": str(tmp_path / "state")},
        }
        if kind == "redis":
            server = request.getfixturevalue("redis")
            first["tokens"] = {
                "store": "redis",
                "redis": {"url": server.url, "prefix": f"{mismatch}-{tmp_path.name}:"},
            }
        if kind == "encrypted":
            first["tokens"]["encryption_key"] = KEY
        second = json.loads(json.dumps(first))
        match mismatch:
            case "client_id":
                second["oauth"]["client_id"] = "second-app"
            case "token_endpoint":
                second["oauth"]["token_endpoint"] = f"{other.url}/token"
            case _:
                second["upstream"]["url"] = other.url
        made = Two(tmp_path, port, first, second, [endpoint, api, other])
        made.write(second)
        yield made


PAIRS = [(mismatch, "file") for mismatch in MISMATCHES]
KINDS = [("client_id", "encrypted"), ("upstream", "redis")]
COMMANDS = (
    ("status",),
    ("token",),
    ("check",),
    ("export", "--passphrase-file", "phrase"),
    ("logout",),
)


@pytest.mark.parametrize("left", [900, -10], ids=["valid", "ended"])
@pytest.mark.parametrize("two", [*PAIRS, *KINDS], indirect=True, ids="-".join)
def test_no_command_sends_or_changes_another_apps_grant(two: Two, left: int) -> None:
    config = Config.build(two.first)
    before = to_json(put(config, two.home, left=left))
    (two.home / "phrase").write_text("a passphrase of some length")

    said = {}
    for command in COMMANDS:
        code, text = two.run(*command)
        said[command[0]] = text
        assert code in (1, 3), (command, code, text)
    assert "login_required" in said["status"] or "login required" in said["status"]
    assert "other_app" in said["status"]
    for name in ("status", "token", "check", "export"):
        assert "was given for" in said[name], (name, said[name])
    sent = b"".join(two.received)
    assert b"canary" not in sent
    assert b"Bearer" not in sent
    assert b"refresh_token" not in sent
    assert to_json(stored(config, two.home)) == before


@pytest.mark.parametrize("two", [*PAIRS, *KINDS], indirect=True, ids="-".join)
def test_the_server_forwards_nothing_with_another_apps_grant(two: Two) -> None:
    config = Config.build(two.first)
    before = to_json(put(config, two.home, left=900))

    base = f"http://localhost:{two.port}"
    with running("serve", "-c", "c.yaml", home=two.home):
        wait_until_answers(f"{base}/-/live")
        assert wait_until_answers(f"{base}/users/me", [503]) == 503
        code, text = two.run("status")

    assert (code, "other_app" in text, "was given for" in text) == (3, True, True)
    assert two.received == []
    assert to_json(stored(config, two.home)) == before
    two.write(two.first)
    assert two.run("token") == (0, "access-canary\n")


# ── in one process, with an authorization server ──


@pytest.fixture
async def other(grant: World) -> World:
    """The same store under another app's configuration."""
    sections = {"oauth": {"client_id": "another-app"}}
    made = World(grant.server, grant.clock, grant.store, sections)
    grant.opened = made.opened  # closed with it
    return made


async def test_a_login_under_another_configuration_sets_the_grant_aside(
    grant: World, other: World
) -> None:
    await grant.authorized()
    before = to_json(await grant.record())
    assert before["bound"]["client_id"] == CLIENT_ID
    manager = await other.open()
    fresh = TokenSet(Secret("theirs"), Secret("r"), 0, 2e9, 0, 2e9)

    await manager.take(fresh, None)

    assert manager.current() is not None
    record = await grant.record()
    assert record.bound is not None
    assert (record.bound.client_id, record.generation) == ("another-app", 2)
    assert isinstance(grant.store, MemoryStore)
    assert [json.loads(data)["grant"] for data in grant.store.aside] == [before]
    assert (await problem_of(await grant.open())).reason == "other_app"


async def test_a_running_process_lets_go_of_what_became_another_apps(
    grant: World, other: World
) -> None:
    manager = await grant.authorized()
    await (await other.open()).take(TokenSet(Secret("t"), Secret("r"), 0, 2e9, 0, 2e9), None)

    await grant.clock.advance(6)

    assert manager.current() is None
    assert (manager.status().state, manager.status().reason) == ("login_required", "other_app")


async def test_a_failed_login_leaves_the_other_apps_grant(grant: World, other: World) -> None:
    await grant.authorized()
    before = to_json(await grant.record())
    manager = await other.open()

    with pytest.raises(TokenEndpointError):
        await manager.exchange(Secret("an unknown code"))

    assert to_json(await grant.record()) == before
    assert (await grant.open()).current() is not None


async def unbound(grant: World) -> None:
    """Make the stored record one of version 1: bound to nothing."""
    async with grant.store.lease("default", 5) as lease:
        await lease.load()
        await lease.save(replace(await grant.record(), bound=None))


async def test_a_record_of_an_older_version_is_bound_by_its_first_refresh(grant: World) -> None:
    await grant.authorized()
    await unbound(grant)
    manager = await grant.open()
    assert manager.current() is not None
    assert (await grant.record()).bound is None
    await grant.clock.advance(1800)

    await manager.credential()

    bound = (await grant.record()).bound
    assert bound == binding_of(grant.config())


async def test_a_bundle_of_another_app_is_refused_and_not_spent(grant: World, other: World) -> None:
    manager = await grant.authorized()
    bundles: list[bytes] = []
    await manager.export(Secret("passphrase"), bundles.append)
    presented = len(grant.server.log)
    elsewhere = await other.open(MemoryStore())

    with pytest.raises(GrantEnded, match="was given for the app client-1") as caught:
        await elsewhere.import_bundle(bundles[0], Secret("passphrase"))

    assert caught.value.reason == "other_app"
    assert len(grant.server.log) == presented
    back = await grant.open(MemoryStore())
    await back.import_bundle(bundles[0], Secret("passphrase"))
    assert token_of(await back.credential()) in grant.server.valid_access_tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://API.smartrecruiters.com", "https://api.smartrecruiters.com:443"),
        ("https://api.smartrecruiters.com/", "https://api.smartrecruiters.com/prefix"),
        ("http://[::1]:8081", "http://[::1]:8081/"),
    ],
)
def test_another_spelling_of_the_same_origin_is_no_other(one: str, other: str) -> None:
    assert (
        binding_of(make_config("http://localhost", upstream={"url": one})).upstream
        == binding_of(make_config("http://localhost", upstream={"url": other})).upstream
    )
