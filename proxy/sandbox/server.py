"""The sandbox's server, and what tests can make it do."""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.sandbox.api import build_endpoints
from proxy.sandbox.data import Json, timestamp
from proxy.sandbox.gate import Gate
from proxy.sandbox.identity import AUTHORIZATION_PATH, TOKEN_PATH, Identity, Presentation
from proxy.sandbox.links import Links
from proxy.sandbox.records import Records
from proxy.sandbox.settings import SandboxSettings

# Tries to find one port that is free in both loopback families.
_PORT_ATTEMPTS = 20


class Sandbox:
    """Identity and API on one port.

    Tests may put an `interrupt` before every request (identity's too): an answer from it is given
    in place of the sandbox's own, None lets the request through.
    """

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self.interrupt: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self._identity = Identity(self.settings)
        self._links = Links()
        self._records = Records()
        self._gate: Gate | None = None
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """`http://localhost:PORT`: the upstream's URL, and what `actions` in bodies begin with."""
        return self._links.origin

    @property
    def authorization_endpoint(self) -> str:
        """Where the user is sent."""
        return f"{self.origin}{AUTHORIZATION_PATH}"

    @property
    def token_endpoint(self) -> str:
        """Where codes and refresh tokens are presented."""
        return f"{self.origin}{TOKEN_PATH}"

    @property
    def presentations(self) -> deque[Presentation]:
        """Every code and refresh token presented by the authenticated app, oldest first."""
        return self._identity.presentations

    def authenticates(self, access_token: str) -> bool:
        """Tell whether the API side would take this token now."""
        return self._identity.grants.authenticate(access_token) is not None

    def revoke_access_tokens(self) -> None:
        """Answer 401 to every access token given out so far; refresh tokens stay good."""
        self._identity.grants.revoke_access_tokens()

    def end_grants(self) -> None:
        """End every grant, as deleting the user who gave it does."""
        self._identity.grants.end()

    def fail_next(self, status: int) -> None:
        """Answer the next API request with this status, whatever it asks; once started."""
        if self._gate is not None:
            self._gate.fail_next(status)

    def add_candidate(self, **fields: Any) -> Json:
        """Keep a new candidate, with these fields of the API's; return it with its id."""
        return self._records.add_candidate(fields, timestamp(self.settings.clock()))

    def add_job(self, **fields: Any) -> Json:
        """Keep a new job, with these fields of the API's; return it with its id."""
        return self._records.add_job(fields, timestamp(self.settings.clock()))

    def reset(self, *, empty: bool = False) -> None:
        """Go back to the sample data, or to a company without candidates and jobs."""
        self._records.reset(empty=empty)
        if self._gate is not None:
            self._gate.reset()

    async def start(self, host: str = "localhost", port: int = 0) -> int:
        """Listen, and return the port; `localhost` means both loopback families."""
        endpoints = build_endpoints(self.settings, self._links, self._records)
        gate = self._gate = Gate(self.settings, self._identity.grants, endpoints)
        application = web.Application(
            middlewares=[self._interruption(), gate.middleware()],
            client_max_size=self.settings.max_body_size,
        )
        application.add_routes(self._identity.routes())
        application.add_routes([endpoint.route() for endpoint in endpoints])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        sockets = _open_sockets(host, port)
        for listening in sockets:
            await web.SockSite(self._runner, listening).start()
        port = int(sockets[0].getsockname()[1])
        self._links.origin = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        return port

    async def close(self) -> None:
        """Stop listening and end what is open."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        # A connection that was just accepted has its transport two turns of the loop later; on
        # CPython 3.11 it is left open if its server closes before that.
        for _ in range(3):
            await asyncio.sleep(0)
        await runner.cleanup()

    def _interruption(self) -> Middleware:
        @web.middleware
        async def interruption(request: web.Request, handler: Handler) -> web.StreamResponse:
            answer = await self.interrupt(request) if self.interrupt is not None else None
            return await handler(request) if answer is None else answer

        return interruption


def _open_sockets(host: str, port: int) -> list[socket.socket]:
    if host != "localhost":
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [_listen(family, host, port)]
    for _ in range(_PORT_ATTEMPTS):
        first = _listen(socket.AF_INET, "127.0.0.1", port)
        try:
            return [first, _listen(socket.AF_INET6, "::1", first.getsockname()[1])]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [first]  # a machine without IPv6
            first.close()
            if port:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free on both loopback families")


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(128)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
