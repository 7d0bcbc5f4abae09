"""The months in minutes: load, upstream restarts, token endpoint outages, log rotation, samples."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from proxy.sandbox import Sandbox, SandboxSettings
from tests.e2e.soak.callers import Ask, Caller, Tally
from tests.e2e.soak.looks import Looks
from tests.e2e.soak.measures import RotatedLog, Sample, sample
from tests.e2e.soak.upstream import MisbehavingUpstream
from tests.support.processes import clean_environment, free_port

# The longest back-off of a refresh, and a little for what was under way.
BACKOFF = 31.0
MAX_REPLAY_BODY = 65536


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how hard, how often what goes wrong."""

    duration: float
    rate: float
    callers: int
    access_token_lifetime: int
    trouble_interval: float
    outage: float
    restart: float
    rotation_interval: float
    sample_interval: float


@dataclass(slots=True)
class Trouble:
    """Something that was wrong with the world for a while."""

    kind: str
    begun_at: float
    ended_at: float = float("inf")


@dataclass(slots=True)
class World:
    """Everything that runs, and everything that was seen."""

    plan: Plan
    home: Path
    sandbox: Sandbox = field(init=False)
    upstream: MisbehavingUpstream = field(init=False)
    proxy: subprocess.Popen[bytes] = field(init=False)
    log: RotatedLog = field(init=False)
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    before: Sample = field(init=False)
    after: Sample = field(init=False)
    # Token requests that an outage swallowed.
    swallowed: int = 0
    exit_code: int | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def run(self) -> None:
        """Tell the whole story."""
        self.sandbox = Sandbox(
            SandboxSettings(
                redirect_uris=(f"{self.url}/-/callback",),
                auto_approve=True,
                access_token_lifetime=self.plan.access_token_lifetime,
                throttle=False,
            )
        )
        await self.sandbox.start("localhost", 0)
        self.upstream = MisbehavingUpstream(self.sandbox.authenticates, Looks(self.home / "looks"))
        await self.upstream.start()
        self._start_proxy()
        try:
            await self._log_in()
            await asyncio.sleep(0.5)
            self.before = sample(self.proxy.pid, time.monotonic())
            await self._load()
            await self._settle()
            self.after = sample(self.proxy.pid, time.monotonic())
            self.tally.set_crossed_apart(self.upstream.seen.crossed, self.upstream.seen.nameless)
            self.final_metrics = await self.metrics()
            self.final_status = json.loads(await self._get("/-/status"))
        finally:
            self.proxy.terminate()
            self.exit_code = await asyncio.to_thread(self.proxy.wait, 40)
            await self.upstream.stop()
            await self.sandbox.close()
            self.log.finish()

    final_metrics: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(init=False)
    final_status: Any = field(init=False)

    def _start_proxy(self) -> None:
        config = {
            "listen": {"port": self.port, "max_connections": 2000},
            "oauth": {
                "client_id": self.sandbox.settings.client_id,
                "client_secret": self.sandbox.settings.client_secret,
                "redirect_uri": self.sandbox.settings.redirect_uris[0],
                "authorization_endpoint": self.sandbox.authorization_endpoint,
                "token_endpoint": self.sandbox.token_endpoint,
                "timeout": 5,
            },
            "upstream": {
                "url": f"http://127.0.0.1:{self.upstream.port}",
                "response_timeout": 10,
                "max_replay_body": MAX_REPLAY_BODY,
            },
            "limits": {"mode": "pass"},
            "tokens": {"path": str(self.home / "tokens")},
            "log": {"format": "json"},
        }
        file = self.home / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        self.log = RotatedLog(self.home / "stderr.log")
        # Appending, as `2>>` does: a truncated file is then written from its start again.
        with self.log.path.open("ab") as stderr:
            self.proxy = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.e2e.soak.looks", str(self.home / "looks")),
                    *("serve", "-c", str(file)),
                ],
                cwd=self.home,
                env=clean_environment(self.home),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    async def _log_in(self) -> None:
        async with aiohttp.ClientSession() as browser:
            for _ in range(200):
                try:
                    async with browser.get(f"{self.url}/-/login") as page:
                        assert page.status == 200, await page.text()
                        return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        raise AssertionError("the proxy did not come up: " + self.log.path.read_text())

    async def _load(self) -> None:
        stop = asyncio.Event()
        interval = self.plan.callers / self.plan.rate
        async with asyncio.TaskGroup() as group:
            for number in range(self.plan.callers):
                caller = Caller(self.port, self.tally, self._excuse, number)
                group.create_task(caller.run(stop, interval))
            aside = [
                group.create_task(self._every(self.plan.sample_interval, self._sample)),
                group.create_task(self._every(self.plan.rotation_interval, self._rotate)),
                group.create_task(self._trouble()),
            ]
            await asyncio.sleep(self.plan.duration)
            for task in aside:
                task.cancel()
            await asyncio.gather(*aside, return_exceptions=True)
            await self._end_troubles()
            stop.set()

    async def _every(self, interval: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval)
            await act()

    async def _sample(self) -> None:
        self.samples.append(sample(self.proxy.pid, time.monotonic()))

    async def _rotate(self) -> None:
        self.log.rotate()

    # ── what goes wrong ──

    async def _trouble(self) -> None:
        kinds = ("restart", "outage_503", "restart", "outage_cut", "revoked", "outage_500")
        for kind in itertools.cycle(kinds):
            await asyncio.sleep(self.plan.trouble_interval)
            trouble = Trouble(kind, time.monotonic())
            self.troubles.append(trouble)
            match kind:
                case "restart":
                    await self.upstream.stop()
                    await asyncio.sleep(self.plan.restart)
                    await self.upstream.start()
                case "revoked":
                    self.sandbox.revoke_access_tokens()
                    await asyncio.sleep(1)
                case _:
                    self.sandbox.interrupt = self._outage(kind)
                    await asyncio.sleep(self.plan.outage)
                    self.sandbox.interrupt = None
            trouble.ended_at = time.monotonic()

    async def _end_troubles(self) -> None:
        self.sandbox.interrupt = None
        for trouble in self.troubles:
            if trouble.ended_at == float("inf"):
                trouble.ended_at = time.monotonic()
                if trouble.kind == "restart":
                    await self.upstream.start()

    def _outage(self, kind: str) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
        async def outage(request: web.Request) -> web.StreamResponse | None:
            if not request.path.endswith("/token"):
                return None
            self.swallowed += 1
            if kind == "outage_cut" and request.transport is not None:
                request.transport.abort()
            return web.Response(status=500 if kind == "outage_500" else 503, text="<h1>sorry</h1>")

        return outage

    def _excuse(self, ask: Ask, outcome: str, begun_at: float) -> str | None:
        """Say why the upstream would not have answered this either; None: it would have."""
        now = time.monotonic()

        def during(prefix: str, after: float) -> bool:
            return any(
                trouble.kind.startswith(prefix)
                and trouble.begun_at <= now
                and begun_at <= trouble.ended_at + after
                for trouble in self.troubles
            )

        if outcome in ("connection_refused", "connection_terminated", "cut"):
            if during("restart", 0.5):
                return "upstream was restarting"
            # Rule 9 of requests: a POST whose fate is unknown is not sent again.
            unknown = outcome == "connection_terminated" and ask.method == "POST"
            if unknown and ask.id not in self.upstream.seen.answered:
                return "connection closed under a POST"
        if outcome == "token_endpoint_unavailable" and during("outage", BACKOFF):
            return "no token to be had"
        large = ask.method == "POST" and ask.body > MAX_REPLAY_BODY
        if outcome.startswith("status 401") and large and during("revoked", 2):
            return "token revoked under a large upload"
        return None

    # ── the end ──

    async def _settle(self) -> None:
        """Wait until nothing is under way, and the last outage is overcome."""
        until = time.monotonic() + BACKOFF
        while time.monotonic() < until:
            await self._get("/soak/last")
            state = json.loads(await self._get("/-/status"))["accounts"][0]["state"]
            metrics = await self.metrics()
            in_flight = metrics.get(("srproxy_requests_in_flight", frozenset()), 0)
            if state == "authorized" and in_flight <= 1:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        text = await self._get("/-/metrics")
        return {
            (point.name, frozenset(point.labels.items())): point.value
            for family in text_string_to_metric_families(text)
            for point in family.samples
        }

    async def _get(self, path: str) -> str:
        url = self.url + path
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()
