"""The composition root: builds every part from the Config, starts them in order, drains them.

Start: sockets (a taken port costs nothing) → store and grants → upstream → accept → ready.
Stop:  not ready → keep serving for `shutdown.delay` → stop accepting → finish what is in flight →
       finish a refresh and store it → close. A second signal skips the waiting, never the storing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proxy import __version__
from proxy.config import Config
from proxy.config.changes import Changes, compare
from proxy.control.application import Control
from proxy.control.context import ControlContext
from proxy.control.policy import security_headers
from proxy.control.rendering import render_problem_page
from proxy.errors import Problem
from proxy.gateway.forward import Forwarder, links_rewritten
from proxy.gateway.front import Front, Ports
from proxy.gateway.front.resend import send_inward
from proxy.gateway.guards import Guards, InForce
from proxy.gateway.limits import Limits, share_budget
from proxy.gateway.upstream import Upstream
from proxy.grant.accounts import Accounts
from proxy.grant.counting import watch_refreshes
from proxy.grant.owner import OwnerLookup
from proxy.grant.source import Account
from proxy.grant.stores.base import TokenStore
from proxy.recording.har_writer import HarWriter
from proxy.recording.inspector import Inspector
from proxy.recording.keep import Keep
from proxy.recording.recorder import Recorder
from proxy.system.clock import Clock
from proxy.system.dialing import Dialer
from proxy.system.network import build_ssl_context, outbound_proxy
from proxy.system.origin import CallerOrigins
from proxy.system.systemd import HandedOver
from proxy.system.waiting import cancelling, later, unless
from proxy.telemetry.audit import reopen_audit_file
from proxy.telemetry.logs import current_output, redact, set_level
from proxy.telemetry.metrics import AccountSample, Callers, Metrics
from proxy.telemetry.traces import open_traces
from proxy.telemetry.traffic import Traffic

logger = logging.getLogger(__name__)


class App:
    """Everything between the listening sockets and the token store, to be started and stopped."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        state_folder: Path,
        environ: Mapping[str, str],
        store: TokenStore | None = None,
        handed_over: HandedOver | None = None,
        record: Path | None = None,
        load: Callable[[], Config] | None = None,
    ) -> None:
        """`load` reads the configuration anew, for a reload; ConfigurationError says its faults."""
        self._config = config
        self._clock = clock
        self._environ = environ
        self._state_folder = state_folder
        self._given_store = store
        self._record_file = record
        self._load = load
        self._is_ready = False
        self._is_stopping = False
        self._ports = Ports(config.listen, handed_over)
        self._fronts: list[Front] = []
        # In the order of starting; undone in the reverse order.
        self._undo: list[Callable[[], Coroutine[Any, Any, None]]] = []

    # Looking

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the managers of the grants by account name."""
        return self._accounts

    @property
    def addresses(self) -> list[str]:
        """Return where callers reach the proxy, for people."""
        return self._ports.addresses

    @property
    def base_url(self) -> str:
        """Return the base URL for a tool on this machine."""
        # A caller over the Unix socket has no origin to open; the redirect URI's is a browser's.
        redirect = urlsplit(self._config.oauth.redirect_uri)
        return self._ports.base_url or f"{redirect.scheme}://{redirect.netloc}"

    def readiness(self) -> Problem | None:
        """Return why a call would not be let through now, without calling anybody."""
        if self._is_stopping:
            return Problem("shutting_down", "The proxy is stopping and takes no new requests.")
        problems = [manager.readiness() for manager in self._accounts.values()]
        # One account that needs a login leaves the others ready.
        return None if None in problems else problems[0]

    # Starting

    async def start(self) -> None:
        """Open the sockets, then everything behind them, then accept; all of it or nothing."""
        try:
            self._undo.append(self._ports.close)
            self._ports.open()
            await self._start_behind()
            await self._ports.accept(*self._fronts)
        except BaseException:
            await self._unwind()
            raise
        self._is_ready = True

    async def _start_behind(self) -> None:
        config, clock = self._config, self._clock
        metrics = Metrics(__version__)
        traffic = Traffic(metrics, current_output())
        # One for all: reading the system's certificates is a good part of the start.
        trust = build_ssl_context(config.upstream.ca_file)
        accounts = self._accounts = Accounts(
            config,
            clock,
            state_folder=self._state_folder,
            environ=self._environ,
            store=self._given_store,
            login_origin=self.base_url,
            ssl_context=trust,
        )
        self._undo.append(accounts.close)
        await accounts.start()

        dialer = Dialer(
            config.upstream.url,
            trust,
            config.upstream.connect_timeout,
            outbound=outbound_proxy(config.upstream.url, config.upstream.proxy, self._environ),
        )
        upstream = Upstream(config.upstream, dialer, clock)
        self._undo.append(later(upstream.close))
        upstream.keep_time()
        # Warmed beside the start, not before it: an upstream that hangs must not delay us.
        warming = asyncio.get_running_loop().create_task(upstream.start())
        self._undo.append(cancelling(warming))

        metrics.pool = upstream.stats
        metrics.callers = self._callers
        tls = self._ports.tls
        if tls is not None:
            metrics.certificate_expires_at = lambda: tls.expires_at
        metrics.accounts = lambda: [_sample(manager) for manager in accounts.values()]
        for manager in accounts.values():
            watch_refreshes(manager, metrics.refreshed, metrics.store_failed)
        shared = None
        if config.tokens.store == "redis":
            sharing = AsyncExitStack()
            self._undo.append(sharing.aclose)
            shared = await sharing.enter_async_context(share_budget(config.tokens.redis, clock))
        schedule = asyncio.get_running_loop().call_later
        limits = self._limits = Limits(config.limits, clock, schedule, shared=shared)
        self._undo.append(later(limits.close))
        metrics.held = limits.held
        forwarder = Forwarder(
            config.upstream,
            upstream,
            accounts,
            clock,
            gate=limits,
            transform_for=links_rewritten(config.upstream),
            granted=lambda account: accounts[account].status().scopes,
            limited=metrics.limited,
        )
        self._undo.append(forwarder.close)
        self._undo.append(later(traffic.flush))
        traces = open_traces(self._environ, __version__)
        if traces is not None:
            traffic.subscribe(traces.tell)
            self._undo.append(partial(asyncio.to_thread, traces.close))

        self._forwarder = forwarder
        inspector = self._open_inspector()
        in_force = self._in_force = InForce(Guards(config))
        origins = CallerOrigins(config.oauth.redirect_uri)
        owners = OwnerLookup(config.upstream.url, accounts, dialer)
        context = ControlContext(
            settings=lambda: self._config,
            accounts=accounts,
            traffic=traffic,
            metrics=metrics,
            clock=clock,
            started_at=clock.now(),
            readiness=self.readiness,
            version=__version__,
            owner_of=owners,
            owner_of_token=owners.of_token,
            limits=limits,
            certificate_ends_at=lambda: tls.expires_at if tls is not None else None,
            inspector=inspector,
            reload=self.reload,
        )
        control = Control(context)

        def front(*, probes_only: bool = False) -> Front:
            return Front(
                config.listen,
                in_force,
                forwarder,
                traffic,
                clock,
                origins,
                control=control,
                problem_page=render_problem_page,
                page_headers=security_headers(),
                probes_only=probes_only,
            )

        self._fronts = [front(), front(probes_only=True)]
        self._undo.append(self._close_fronts)
        self._undo.append(control.close)

    def _open_inspector(self) -> Inspector:
        """Look at exchanges where the configuration or a file to record to asks for it."""
        writer = None
        if self._record_file is not None:
            creator = ("smartrecruiters-proxy", __version__)
            writer = HarWriter(self._record_file, creator, redact)
            self._undo.append(partial(asyncio.to_thread, writer.close))
        keep = Keep()
        self._recorder = Recorder(self._clock, keep, writer)
        self._inspect(self._config)

        async def send(request: bytes) -> int:
            return (await send_inward(self._fronts[0], request)).status

        return Inspector(self._recorder, keep, send)

    def _inspect(self, config: Config) -> None:
        self._recorder.configure(
            inspecting=config.inspect.enabled, max_body=config.inspect.max_body
        )
        # Without a tap nothing of an exchange is looked at.
        self._forwarder.tap_for = self._recorder.tap_for if self._recorder.is_wanted else None

    # Reloading

    async def reload(self) -> Changes:
        """Read the configuration anew and take up what may change while running.

        ConfigurationError where it is wrong: nothing changes then. What needs a restart stays as it
        was, and is named. No connection is dropped.
        """
        if self._load is None:
            return Changes((), (), self._config)
        # In a thread: files may lie on a file system that hangs.
        changes = compare(self._config, await asyncio.to_thread(self._load))
        config = changes.config
        if config.log.audit_file is not None:
            reopen_audit_file(config.log.audit_file)
        self._config = config
        self._in_force.guards = Guards(config)
        self._limits.configure(config.limits)
        self._accounts.configure(config)
        self._inspect(config)
        output = current_output()
        if output is not None:
            set_level(output, config.log.level, config.log.sample)
        self._ports.renew_certificate()
        logger.info("reloaded changed=%s", ",".join(changes.taken_up) or "nothing")
        if changes.need_restart:
            logger.warning("restart_needed keys=%s", ",".join(changes.need_restart))
        return changes

    # Stopping

    async def run_until(self, stop: asyncio.Event, force: asyncio.Event) -> None:
        """Serve until `stop`, then stop in order; `force` cuts the waiting short."""
        await stop.wait()
        self._is_stopping = True
        logger.info("stopping in_flight=%d", self._in_flight())
        await unless(force, asyncio.sleep(self._config.shutdown.delay))
        await self._drain(force)
        await self.stop()

    async def stop(self) -> None:
        """Stop at once but for a refresh under way, which is finished and stored; idempotent."""
        self._is_stopping = True
        await self._unwind()

    async def finish(self) -> None:
        """Let what is in flight finish, then stop: for whoever served one login."""
        self._is_stopping = True
        try:
            await self._drain(asyncio.Event())
        finally:
            await self.stop()

    async def _drain(self, force: asyncio.Event) -> None:
        if self._ports.has_successor:
            # Callers that another process takes over must not notice: kept-alive connections are
            # closed by their next answer, not under a request that is on its way.
            for front in self._fronts:
                front.retire()
            await unless(force, self._ports.hand_over())
        self._ports.stop_accepting()
        timeout = self._config.shutdown.drain_timeout
        drains = asyncio.gather(*(front.drain(timeout) for front in self._fronts))
        done = await unless(force, drains)
        if not done:
            logger.warning("drain_cut_short in_flight=%d", self._in_flight())

    async def _close_fronts(self) -> None:
        self._ports.stop_accepting()
        for front in self._fronts:
            front.close()

    async def _unwind(self) -> None:
        while self._undo:
            undo = self._undo.pop()
            try:
                await undo()
            except Exception:
                # The rest must still be closed: a refresh under way is among it.
                logger.exception("a part of the proxy did not close")

    def _in_flight(self) -> int:
        return sum(front.in_flight for front in self._fronts)

    def _callers(self) -> Callers:
        busy = self._in_flight()
        return Callers(busy, sum(front.connections for front in self._fronts) - busy)


def _sample(manager: Account) -> AccountSample:
    status = manager.status()
    tokens = status.tokens
    return AccountSample(
        status.name,
        login_required=status.state == "login_required",
        access_token_expires_at=tokens.expires_at if tokens else None,
        grant_expires_at=status.refresh_expires_at,
        store_available=status.store_error is None,
        times_mended=status.times_mended,
    )
