"""The pool: who gets which connection, how many there are, and how long an idle one is kept.

Upstreams close idle connections without asking, and a request written into that moment is lost.
For what may be sent again that costs nothing but time, so a connection may rest for IDLE_LIMIT
(below the 60 s of AWS load balancers and the 75 s of nginx), less where the upstream's own
`Keep-Alive: timeout` says so. A POST or PATCH may not: it gets only
a connection used within FRESH_LIMIT (below the 5 s of Node and Apache, the shortest usual ones),
else a new one. Whether something waits to be read on it, which would be taken for the answer, is
looked at by whoever writes to it, at the last moment. Ages are on the wall clock, which counts
suspend.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from proxy.config import UpstreamConfig
from proxy.errors import Problem
from proxy.gateway.upstream.connection import UpstreamConnection
from proxy.gateway.upstream.seams import Home
from proxy.system.clock import Clock
from proxy.system.dialing import Dialer

logger = logging.getLogger(__name__)

IDLE_LIMIT: Final = 50.0
# An address that DNS no longer names is left after so long, however steady the traffic.
AGE_LIMIT: Final = 300.0
FRESH_LIMIT: Final = 4.0
SWEEP_INTERVAL: Final = 1.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections as they are now, for the metrics."""

    open: int
    idle: int
    waiting: int


class Upstream(Home):
    """The connections to the upstream."""

    def __init__(self, config: UpstreamConfig, dialer: Dialer, clock: Clock) -> None:
        self._config = config
        self._dialer = dialer
        self._clock = clock
        self._connections: set[UpstreamConnection] = set()
        self._idle: list[UpstreamConnection] = []
        self._dialing = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        # A sweep is coarse: short time-outs (tests, impatient users) make it finer.
        self._interval = min(SWEEP_INTERVAL, config.response_timeout / 4)

    def keep_time(self) -> None:
        """Begin watching over time-outs; no harm if it has begun."""
        if self._sweep is None:
            self._schedule_sweep()

    async def start(self) -> None:
        """Begin keeping time, and open one connection, so that the first call finds it warm."""
        self.keep_time()
        try:
            connection = await self._dial()
        except Problem as problem:
            # No reason not to start: the first call will say it to someone who can act on it.
            logger.warning("upstream not reached at start code=%s", problem.code)
        else:
            self.released(connection)

    def take(self, *, repeatable: bool, in_turn: bool = False) -> UpstreamConnection | None:
        """Take an idle connection, the last used first; a fresh one for what is not repeatable.

        Whoever waits longer comes first: without that turn there is none while others wait.
        """
        if self._waiters and not in_turn:
            return None
        idle = self._idle
        now = self._clock.now()
        limit = IDLE_LIMIT if repeatable else FRESH_LIMIT
        while idle:
            connection = idle[-1]
            # A wall clock set back makes an age negative: nothing is known of it then.
            rested = now - connection.idle_since
            if not 0 <= rested <= limit:
                return None
            idle.pop()
            young = 0 <= now - connection.opened_at <= AGE_LIMIT
            if young and rested <= connection.kept_for and connection.is_usable():
                return connection
            connection.discard()
        return None

    async def acquire(self, *, repeatable: bool, fresh: bool = False) -> UpstreamConnection:
        """Wait for a connection; with `fresh` a new one, for what an old one has failed."""
        deadline = self._clock.monotonic() + self._config.queue_timeout
        waited = False
        while True:
            if waited or not self._waiters:
                connection = None if fresh else self.take(repeatable=repeatable, in_turn=True)
                if connection is not None:
                    return connection
                if self._has_room():
                    return await self._dial()
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                    await self._turn(again=waited)
            except TimeoutError:
                raise Problem(
                    "connection_limit_reached",
                    "Every connection to the upstream was busy for upstream.queue_timeout. "
                    "Nothing was sent.",
                    retry_after=1,
                ) from None
            waited = True

    def stats(self) -> PoolStats:
        """Count the connections."""
        return PoolStats(
            len(self._connections) + self._dialing, len(self._idle), len(self._waiters)
        )

    def close(self) -> None:
        """Break every connection off."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        for connection in tuple(self._connections):
            connection.discard()

    # ── called by a connection ──

    def released(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        now = self._clock.now()
        if self._closed or not 0 <= now - connection.opened_at <= AGE_LIMIT:
            connection.discard()
            return
        connection.reused = True
        connection.idle_since = now
        self._idle.append(connection)
        if self._waiters:
            self._wake_one()

    def lost(self, connection: UpstreamConnection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_one()

    # ── within ──

    def _has_room(self) -> bool:
        if len(self._connections) + self._dialing < self._config.max_connections:
            return True
        # An idle one that this request cannot use gives its place to one that it can.
        if self._idle:
            self._idle.pop(0).discard()
        return False

    async def _dial(self) -> UpstreamConnection:
        self._dialing += 1
        try:
            connection = await self._dialer.dial(
                lambda: UpstreamConnection(self, self._clock, self._config.response_timeout)
            )
        except BaseException:
            self._dialing -= 1
            self._wake_one()
            raise
        self._dialing -= 1
        if not connection.is_usable():
            raise Problem(
                "connection_terminated",
                "The upstream closed the connection as soon as it was open. Nothing was sent.",
            )
        self._connections.add(connection)
        return connection

    async def _turn(self, *, again: bool) -> None:
        """Wait until it is worth trying again: in order, one for each place that gets free."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if again:
            self._waiters.appendleft(waiter)  # somebody was faster; the place in the row is kept
        else:
            self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one()  # the place was given to one who no longer wants it
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _schedule_sweep(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._interval, self._on_sweep)

    def _on_sweep(self) -> None:
        self._schedule_sweep()
        now = self._clock.monotonic()
        for connection in tuple(self._connections):
            connection.check_deadline(now)
        wall = self._clock.now()
        for connection in tuple(self._idle):
            limit = min(IDLE_LIMIT, connection.kept_for)
            if not 0 <= wall - connection.idle_since <= limit:
                self._idle.remove(connection)
                connection.discard()
