"""For tests of other programs: SmartRecruiters and the proxy, started by one line.

    async with sandbox() as smartrecruiters:
        smartrecruiters.add_candidate(firstName="Mira", lastName="Holt")
        await my_program(smartrecruiters.base_url)

    async with replay("day.har") as recorded:
        await my_program(recorded.base_url)

Everything runs on this machine, in a thread with an event loop of its own, so that programs that
block can be tested as well. The helpers may be called from any thread. In pytest the fixture
`smartrecruiters_sandbox` gives the first, started once a session and emptied for each test, and
`smartrecruiters_replay(path)` the second, until the test ends.
"""

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from proxy.app import App
    from proxy.sandbox import Sandbox

T = TypeVar("T")

# Seconds to wait for anything here to start, stop or answer.
PATIENCE = 30.0
LIFETIME = 1799


class MovedClock:
    """The machine's clock plus an offset, for the sandbox and the proxy alike."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.offset  # noqa: TID251 - the real clock is what is moved

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic() + self.offset

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the machine's."""
        await asyncio.sleep(seconds)


class RunningSandbox:
    """A SmartRecruiters with sample data and a proxy in front of it, logged in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clock = MovedClock()
        self._sandbox: Sandbox | None = None
        self._app: App | None = None

    @property
    def base_url(self) -> str:
        """Where the program under test sends its calls: `http://localhost:PORT`."""
        assert self._app is not None, "the sandbox has not started"  # noqa: S101
        return self._app.base_url

    def add_candidate(self, **fields: Any) -> dict[str, Any]:
        """Keep a candidate with these fields of the API's; return it with its `id`."""
        return self._on_loop(lambda: self._running().add_candidate(**fields))

    def add_job(self, **fields: Any) -> dict[str, Any]:
        """Keep a job with these fields of the API's; return it with its `id`."""
        return self._on_loop(lambda: self._running().add_job(**fields))

    def expire_token(self) -> None:
        """Let the access token's time run out: the next call makes the proxy refresh it."""

        def expire() -> None:
            self._clock.offset += LIFETIME

        self._on_loop(expire)

    def fail_next(self, status: int) -> None:
        """Make SmartRecruiters answer the next call with this status, such as 429 or 500."""
        self._on_loop(lambda: self._running().fail_next(status))

    def empty(self) -> None:
        """Forget all candidates and jobs, and an answer that `fail_next` asked for."""
        self._on_loop(lambda: self._running().reset(empty=True))

    async def start(self, folder: Path) -> None:
        """Start both, and log in as a browser would."""
        from proxy.app import App
        from proxy.config import Config
        from proxy.sandbox import Sandbox, SandboxSettings, approve_login
        from proxy.system.listeners import free_port

        port = free_port()
        settings = SandboxSettings(
            redirect_uris=(f"http://localhost:{port}/-/callback",),
            auto_approve=True,
            access_token_lifetime=LIFETIME,
            clock=self._clock.now,
        )
        sandbox = self._sandbox = Sandbox(settings)
        await sandbox.start()
        config = Config.build(
            {
                "listen": {"port": port},
                "oauth": {
                    "client_id": settings.client_id,
                    "client_secret": settings.client_secret,
                    "redirect_uri": settings.redirect_uris[0],
                    "authorization_endpoint": sandbox.authorization_endpoint,
                    "token_endpoint": sandbox.token_endpoint,
                },
                "upstream": {"url": sandbox.origin},
                "tokens": {"path": str(folder)},
            }
        )
        self._app = App(config, self._clock, state_folder=folder, environ={})
        await self._app.start()
        await approve_login(self._app.base_url)

    async def stop(self) -> None:
        """Stop both."""
        if self._app is not None:
            await self._app.stop()
        if self._sandbox is not None:
            await self._sandbox.close()

    def _running(self) -> "Sandbox":
        assert self._sandbox is not None, "the sandbox has not started"  # noqa: S101
        return self._sandbox

    def _on_loop(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return _finished(call(), self._loop)


@contextmanager
def running_sandbox() -> Iterator[RunningSandbox]:
    """Run sandbox and proxy for a while, for callers without an event loop."""
    with loop_in_a_thread() as loop, tempfile.TemporaryDirectory(prefix="srproxy-test-") as folder:
        running = RunningSandbox(loop)
        try:
            _finished(running.start(Path(folder)), loop)
            yield running
        finally:
            _finished(running.stop(), loop)


def sandbox() -> AbstractAsyncContextManager[RunningSandbox]:
    """Run sandbox and proxy for a while; the value has `base_url` and the helpers."""
    return _in_a_thread(running_sandbox())


@dataclass(frozen=True, slots=True)
class RunningReplay:
    """A server that gives recorded answers."""

    base_url: str
    """Where the program under test sends its calls: `http://localhost:PORT`."""


@contextmanager
def running_replay(path: str | PathLike[str]) -> Iterator[RunningReplay]:
    """Serve a HAR file's answers for a while, for callers without an event loop."""
    from proxy.control.replaying import read_tape, serving

    tape = read_tape(Path(path), lambda warning: print(warning, file=sys.stderr))  # noqa: T201
    with loop_in_a_thread() as loop:
        server = serving(tape, "localhost", 0)
        address = _finished(server.__aenter__(), loop)
        try:
            yield RunningReplay(address)
        finally:
            _finished(server.__aexit__(None, None, None), loop)


def replay(path: str | PathLike[str]) -> AbstractAsyncContextManager[RunningReplay]:
    """Serve a HAR file's answers for a while; the value has `base_url`.

    Each time begins at the first answers. HarError (a proxy.errors.ProxyError) where the file is
    none or holds no answer; what of it cannot be read is said on stderr.
    """
    return _in_a_thread(running_replay(path))


@asynccontextmanager
async def _in_a_thread(running: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave what blocks, without blocking the caller's event loop."""
    value = await asyncio.to_thread(running.__enter__)
    try:
        yield value
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="smartrecruiters", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def _finished(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)
