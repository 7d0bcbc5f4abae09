"""The whole product in one event loop: the real App in front of the sandbox, logging at debug.

Everything that identifies a secret is a random canary, so that it is recognised wherever it turns
up.
"""

import io
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from proxy.app import App
from proxy.config import Config
from proxy.sandbox import Sandbox, SandboxSettings
from proxy.telemetry import logs
from tests.support.processes import free_port
from tests.support.proxying import LoopClock


@dataclass
class Product:
    """A running proxy, the sandbox behind it, and what both have seen."""

    app: App
    sandbox: Sandbox
    port: int
    log: io.StringIO
    state_folder: Path
    client_secret: str
    api_calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def login(self, session: aiohttp.ClientSession, **options: Any) -> str:
        """Log in as a browser would; return the last page."""
        async with session.get(f"{self.url}/-/login", **options) as answer:
            text = await answer.text()
            assert answer.status == 200, text
        return text


@contextmanager
def logging_to(stream: io.StringIO, level: str = "debug") -> Iterator[None]:
    """Log as `serve` does, into a stream, and put everything back."""
    root = logging.getLogger()
    handlers, before = list(root.handlers), root.level
    access = logging.getLogger("aiohttp.access").disabled
    logs.configure(level, "json", stream)
    logging.captureWarnings(capture=False)  # pytest's own
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, before
        logging.getLogger("aiohttp.access").disabled = access


@asynccontextmanager
async def product(
    state_folder: Path, *, environ: dict[str, str] | None = None, **sections: dict[str, Any]
) -> AsyncIterator[Product]:
    """Run the App and the sandbox; sections of the configuration by keyword."""
    port, log = free_port(), io.StringIO()
    secret = "client-secret-" + secrets.token_urlsafe(24)
    redirect_uri = f"http://localhost:{port}/-/callback"
    sandbox = Sandbox(
        SandboxSettings(
            client_id="canary-client",
            client_secret=secret,
            redirect_uris=(redirect_uri,),
            auto_approve=True,
            throttle=False,
        )
    )
    await sandbox.start()
    sections["listen"] = {"port": port} | sections.get("listen", {})
    sections["upstream"] = {"url": sandbox.origin} | sections.get("upstream", {})
    config = Config.build(
        {
            "oauth": {
                "client_id": "canary-client",
                "client_secret": secret,
                "redirect_uri": redirect_uri,
                "authorization_endpoint": sandbox.authorization_endpoint,
                "token_endpoint": sandbox.token_endpoint,
            },
            **sections,
        }
    )
    with logging_to(log):
        app = App(config, LoopClock(), state_folder=state_folder, environ=environ or {})
        made = Product(app, sandbox, port, log, state_folder, secret)

        async def note(request: web.Request) -> web.StreamResponse | None:
            if not request.path.startswith("/identity"):
                made.api_calls.append((request.method, request.path))
            return None

        sandbox.interrupt = note
        try:
            await app.start()
            yield made
        finally:
            await app.stop()
            await sandbox.close()
