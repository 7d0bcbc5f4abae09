"""Every store under one name each, and records to put into them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.grant.oauth import TokenSet
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.encryption import EncryptingCodec
from proxy.grant.stores.file import FileStore
from proxy.grant.stores.record import Binding, Codec, Ended, Intent, LastRefresh, PlainCodec, Record
from proxy.grant.stores.redis import RedisStore
from proxy.system.secret import Secret
from tests.support.clock import FakeClock
from tests.support.memory_store import MemoryStore
from tests.support.redis_server import RedisServer, redis_server

KEY = "an-encryption-key-0123456789"
STORES = ("memory", "file", "redis", "memory+key", "file+key", "redis+key")
_prefixes = itertools.count()


def cheap_codec(key: str = KEY) -> EncryptingCodec:
    """The real encryption, with a low cost of stretching the key."""
    return EncryptingCodec(Secret(key), cost=16)


def make_tokens(number: int = 1) -> TokenSet:
    return TokenSet(
        access_token=Secret(f"access-canary-{number}"),
        refresh_token=Secret(f"refresh-canary-{number}"),
        issued_at=1_790_000_000.25,
        expires_at=1_790_001_799.25,
        refresh_issued_at=1_790_000_000.25,
        refresh_expires_at=1_792_419_200.25,
        scopes=("candidates_read", "jobs_read"),
    )


def make_record(generation: int = 1, **changes: object) -> Record:
    values: dict[str, object] = {
        "account": "default",
        "generation": generation,
        "tokens": make_tokens(generation),
        "intent": Intent(generation, 1_790_000_100.5),
        "last_refresh": LastRefresh(1_790_000_100.5, "unknown", "http_500", "It failed.", 3),
        "ended": Ended("grant_revoked", 1_790_000_200.5, "It ended."),
        "forced_at": 1_790_000_050.0,
        "subject": "Ana Özdemir",
        "granted_at": 1_788_000_000.5,
        "bound": Binding("app", "https://sr.example/token", "https://sr.example"),
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class Place:
    """A place for records, which several stores (processes) open at the same time."""

    kind: str
    open: Callable[[], TokenStore]
    put: Callable[[bytes], object]  # raw bytes in place of the record
    raw: Callable[[], bytes | None]


@pytest.fixture(scope="session")
def redis_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    kind, _, encrypted = request.param.partition("+")
    clock = FakeClock()

    def codec() -> Codec:
        return cheap_codec() if encrypted else PlainCodec()

    if kind == "memory":
        memory = MemoryStore(codec())
        return Place(
            request.param,
            lambda: memory,
            lambda data: memory.data.__setitem__("default", data),
            lambda: memory.data.get("default"),
        )
    if kind == "file":
        path = tmp_path / "grants" / "default.json"

        def put(data: bytes) -> None:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(0o600)
            path.write_bytes(data)

        return Place(
            request.param,
            lambda: FileStore(tmp_path, clock, codec()),
            put,
            lambda: path.read_bytes() if path.exists() else None,
        )
    server: RedisServer = request.getfixturevalue("redis_for_all")
    prefix = f"test{next(_prefixes)}:"

    def client():
        import redis

        return redis.Redis.from_url(server.url)

    def put_in_redis(data: bytes) -> None:
        with client() as connection:
            connection.hset(f"{prefix}default", mapping={"data": data, "revision": 7})

    def raw_in_redis() -> bytes | None:
        with client() as connection:
            found = connection.hget(f"{prefix}default", "data")
            assert found is None or isinstance(found, bytes)
            return found

    return Place(
        request.param,
        lambda: RedisStore(Secret(server.url), prefix, clock, codec()),
        put_in_redis,
        raw_in_redis,
    )
