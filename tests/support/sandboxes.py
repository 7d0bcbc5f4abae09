"""A sandbox in a thread of its own, for tests whose callers block (curl, requests)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from aiohttp import web

from proxy.sandbox import Presentation, Sandbox, SandboxSettings
from proxy.testing import loop_in_a_thread

T = TypeVar("T")
Interrupt = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class RunningSandbox:
    """The sandbox as a test sees it: its log, and the means to control it."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self._sandbox = sandbox
        self._loop = loop

    @property
    def origin(self) -> str:
        return self._sandbox.origin

    @property
    def authorization_endpoint(self) -> str:
        return self._sandbox.authorization_endpoint

    @property
    def token_endpoint(self) -> str:
        return self._sandbox.token_endpoint

    @property
    def settings(self) -> SandboxSettings:
        return self._sandbox.settings

    @property
    def presentations(self) -> list[Presentation]:
        return self._call(lambda: list(self._sandbox.presentations))

    @property
    def refreshes(self) -> list[Presentation]:
        return [p for p in self.presentations if p.grant_type == "refresh_token"]

    def revoke_access_tokens(self) -> None:
        self._call(self._sandbox.revoke_access_tokens)

    def end_grants(self) -> None:
        self._call(self._sandbox.end_grants)

    def interrupt(self, interrupt: Interrupt | None) -> None:
        """Answer in the sandbox's place from now on, or no longer."""
        self._call(lambda: setattr(self._sandbox, "interrupt", interrupt))

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)


@contextmanager
def running_sandbox(settings: SandboxSettings, port: int = 0) -> Iterator[RunningSandbox]:
    """Run a sandbox on both loopback families for a while."""
    sandbox = Sandbox(settings)
    with loop_in_a_thread() as loop:
        try:
            asyncio.run_coroutine_threadsafe(sandbox.start("localhost", port), loop).result(10)
            yield RunningSandbox(sandbox, loop)
        finally:
            asyncio.run_coroutine_threadsafe(sandbox.close(), loop).result(10)
