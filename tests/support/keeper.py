"""A process that keeps a grant under load until it is killed: for tests that kill.

Run by a fork server that has this module loaded, so that a thousand of them cost little. The store,
the manager, the token endpoint's client and what signals do are the program's own.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from proxy.cli.clock import SystemClock
from proxy.cli.exits import InterruptedCommandError
from proxy.cli.loop import run_async
from proxy.config import Config
from proxy.errors import Problem
from proxy.grant.accounts import open_endpoint
from proxy.grant.manager import TokenManager
from proxy.grant.stores import folder as files
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.encryption import EncryptingCodec
from proxy.grant.stores.file import FileStore
from proxy.grant.stores.record import PlainCodec
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.grant.wire import Answer
from proxy.system.secret import Secret
from tests.support.authorization_server import SENDER

CALLERS = 10


def open_store(settings: dict[str, Any]) -> TokenStore:
    key = settings.get("encryption_key")
    codec = EncryptingCodec(Secret(key), cost=16) if key else PlainCodec()
    if settings.get("redis"):
        from proxy.grant.stores.redis import RedisStore

        return RedisStore(Secret(settings["redis"]), "srproxy:", SystemClock(), codec)
    return FileStore(Path(settings["path"]), SystemClock(), codec)


def keep(mapping: dict[str, Any], settings: dict[str, Any], ready: Event | None = None) -> None:
    """Serve callers until killed or asked to end, or for `settings["seconds"]`."""
    if "trace" in settings:
        _trace_writes(Path(settings["trace"]))
    if settings.get("short_claims"):
        _shorten_claims()
    with contextlib.suppress(InterruptedCommandError):
        run_async(_keep(mapping, settings, ready))


async def _keep(mapping: dict[str, Any], settings: dict[str, Any], ready: Event | None) -> None:
    config = Config.build(mapping)
    clock = SystemClock()
    endpoint = open_endpoint(config, clock, {})
    _sign(endpoint, settings.get("sender", ""))
    store = open_store(settings)
    manager = TokenManager("default", store, endpoint, config, clock)
    await manager.start()
    if ready is not None:
        ready.set()
    try:
        async with asyncio.timeout(settings.get("seconds", 60)):
            await asyncio.gather(*(_call(manager) for _ in range(CALLERS)))
    except TimeoutError:
        pass
    finally:  # a signal, too, ends it only when a refresh under way is stored
        if ready is not None:
            ready.clear()
        await manager.close()
        await store.close()


async def _call(manager: TokenManager) -> None:
    while True:
        try:
            credential = manager.current() or await manager.credential()
        except Problem:
            await asyncio.sleep(0.01)
            continue
        if random.random() < 0.001:
            await manager.rejected(credential.generation)
        await asyncio.sleep(0.002)


def _sign(endpoint: TokenEndpoint, sender: str) -> None:
    """Let the server's log tell which process presented a token."""
    send = endpoint._wire.send

    async def signed(method: str, headers: Mapping[str, str], *rest: Any) -> Answer:
        return await send(method, {**headers, SENDER: sender}, *rest)

    endpoint._wire.send = signed  # type: ignore[assignment,method-assign]


def _shorten_claims() -> None:
    """Give claims a fifth of their times, in this process alone, for tests that let one run out."""
    from proxy.grant.stores import redis, redis_claims

    redis_claims.LASTS, redis.RENEWAL, redis.SPARE = 3.0, 0.8, 1.0


def _trace_writes(log: Path) -> None:
    """Note when a new pair was safe from a kill (in the kernel), and from a loss of power."""
    put, finish = files.Prepared.put, files.Prepared.finish

    def note(kind: str) -> None:
        with log.open("a") as stream:
            stream.write(f"{kind} {time.monotonic()}\n")

    def noting_put(self: files.Prepared, data: bytes) -> None:
        put(self, data)
        note("written")

    def noting_finish(self: files.Prepared, name: str, size: int) -> None:
        finish(self, name, size)
        note("durable")

    files.Prepared.put, files.Prepared.finish = noting_put, noting_finish  # type: ignore[method-assign]
