"""The front itself: what callers' connections share, their number, time-outs, the drain."""

import asyncio
from collections.abc import Callable, Sequence
from email.utils import formatdate

from proxy.config import ListenConfig
from proxy.errors import Problem
from proxy.gateway.forward import Forwarder
from proxy.gateway.front.connection import CallerConnection
from proxy.gateway.guards import Guards, Route
from proxy.gateway.http1 import parse_request_head
from proxy.system.clock import Clock
from proxy.telemetry.traffic import Traffic

# One sweep over all connections serves every time-out: a timer for each would cost each request.
SWEEP_INTERVAL = 1.0
# Connections beyond the limit are told so and closed; beyond this many more they are just closed.
SHED_LIMIT = 128
NOBODY = parse_request_head(b"GET / HTTP/1.1\r\n")
PROBES = frozenset({Route.LIVE, Route.READY, Route.METRICS})


class Front:
    """Makes a connection's protocol: pass it to `loop.create_server` as the factory."""

    def __init__(
        self,
        listen: ListenConfig,
        guards: Guards,
        forwarder: Forwarder,
        traffic: Traffic,
        clock: Clock,
        *,
        control_factory: Callable[[], asyncio.Protocol],
        problem_page: Callable[[Problem], bytes] | None = None,
        page_headers: Sequence[tuple[str, str]] = (),
        probes_only: bool = False,
    ) -> None:
        self.listen = listen
        self.guards = guards
        self.forwarder = forwarder
        self.traffic = traffic
        self.clock = clock
        self.control_factory = control_factory
        self.problem_page = problem_page
        self.page_headers = page_headers
        self.probes_only = probes_only
        # Asked once: without allowed origins no answer carries anything for browsers.
        self.has_cors = bool(guards.cors_headers(NOBODY, None))
        self.draining = False
        self.retiring = False
        self._connections: set[CallerConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._quiet: asyncio.Future[None] | None = None
        self._date = b""
        self._dated = -1
        shortest = min(listen.header_timeout, listen.idle_timeout, listen.stall_timeout)
        self._interval = min(SWEEP_INTERVAL, shortest / 4)

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return CallerConnection(self)

    @property
    def connections(self) -> int:
        """Return how many callers are connected."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Return how many requests are under way, those of the control routes included."""
        return sum(connection.is_busy for connection in self._connections)

    def retire(self) -> None:
        """Serve on, but let each answer be its connection's last: another process takes over."""
        self.retiring = True

    async def drain(self, timeout: float) -> bool:
        """Refuse new requests, let those under way finish; tell whether all of them did."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.close_if_idle()
        if not any(connection.holds_drain for connection in self._connections):
            return True
        self._quiet = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._quiet
        except TimeoutError:
            return False
        finally:
            self._quiet = None
        return True

    def close(self) -> None:
        """Break off what is left; an answer under way is aborted, never made to look complete."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.break_off()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    # ── what a connection tells and asks ──

    def joined(self, connection: CallerConnection) -> bool:
        """Count a connection in; false when there are too many to serve it."""
        self._connections.add(connection)
        if self._sweep is None:
            self._schedule_sweep()
        excess = len(self._connections) - self.listen.max_connections
        if excess > SHED_LIMIT:
            connection.break_off()
        return excess <= 0

    def check_open(self) -> None:
        """Refuse a request to be forwarded while draining."""
        if self.draining:
            raise Problem(
                "shutting_down", "The proxy is stopping. Nothing was forwarded; try again."
            )

    def check_route(self, route: Route) -> None:
        """Refuse what a listener for probes does not serve."""
        if self.probes_only and route not in PROBES:
            raise Problem(
                "not_found", "This listener serves /-/live, /-/ready and /-/metrics alone."
            )

    def left(self, connection: CallerConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        self.settled()

    def settled(self) -> None:
        """Look whether the drain is over, after a request or a connection ended."""
        quiet = self._quiet
        if quiet is None or quiet.done():
            return
        if not any(connection.holds_drain for connection in self._connections):
            quiet.set_result(None)

    def date_line(self) -> bytes:
        """Return the Date header for now."""
        now = int(self.clock.now())
        if now != self._dated:
            self._dated = now
            self._date = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii")
        return self._date

    # ── within ──

    def _schedule_sweep(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._interval, self._on_sweep)

    def _on_sweep(self) -> None:
        self._sweep = None
        if self._connections:
            now = self.clock.monotonic()
            for connection in tuple(self._connections):
                connection.check_deadline(now)
            self._schedule_sweep()
