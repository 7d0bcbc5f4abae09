"""The connections of a listener: their number and its limit, time-outs, the drain.

At the limit a connection at rest gives its place to a new one, the longest-resting first: programs
keep idle connections open by the hundred. One at work never does. Beyond the limit of those at work
a request is refused once its head is read, so that a probe is always answered.
"""

import asyncio
from typing import Final

from proxy.errors import Problem
from proxy.gateway.guards import Route
from proxy.system.clock import Clock

# One sweep over all connections serves every time-out: a timer for each would cost each request.
SWEEP_INTERVAL: Final = 1.0
# Above the limit and so many more, also close connections that are still sending a request head.
SHED_LIMIT: Final = 128
# Probes find out whether we live: that must not depend on how many callers there are.
ALWAYS: Final = frozenset({Route.LIVE, Route.READY})


class Registered:
    """A connection, as the registry knows it."""

    resting_since: float

    @property
    def is_busy(self) -> bool:
        """Return whether a request is under way."""
        raise NotImplementedError

    @property
    def is_resting(self) -> bool:
        """Return whether nothing happens on it: no request, no part of a head."""
        raise NotImplementedError

    @property
    def holds_drain(self) -> bool:
        """Return whether the drain waits for it."""
        raise NotImplementedError

    def close_if_idle(self) -> None:
        raise NotImplementedError

    def evict(self) -> None:
        raise NotImplementedError

    def break_off(self) -> None:
        raise NotImplementedError

    def check_deadline(self, now: float) -> None:
        raise NotImplementedError


class Connections:
    """All connections of one listener."""

    def __init__(self, limit: int, clock: Clock, shortest_timeout: float) -> None:
        self._limit = limit
        self._clock = clock
        self._interval = min(SWEEP_INTERVAL, shortest_timeout / 4)
        self._connections: set[Registered] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._quiet: asyncio.Future[None] | None = None
        self.draining = False
        self.retiring = False  # each answer is its connection's last

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Count the requests under way, those of the control routes included."""
        return sum(connection.is_busy for connection in self._connections)

    def join(self, connection: Registered) -> None:
        """Count a connection in; at the limit another one goes for it."""
        excess = len(self._connections) + 1 - self._limit
        if excess > 0:
            self._make_room(hard=excess > SHED_LIMIT)
        self._connections.add(connection)
        if self._sweep is None:
            self._schedule_sweep()

    def leave(self, connection: Registered) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        self.settled()

    def check_room(self, route: Route) -> None:
        """Refuse a request that would be one too many at work."""
        if len(self._connections) <= self._limit or route in ALWAYS:
            return
        if self.in_flight >= self._limit:
            raise Problem(
                "connection_limit_reached",
                "More callers are at work than listen.max_connections admits. Nothing was "
                "forwarded.",
                retry_after=1,
            )

    async def drain(self, timeout: float) -> bool:
        """Refuse new requests, let those under way finish; return whether all of them did."""
        self.draining = self.retiring = True
        for connection in tuple(self._connections):
            connection.close_if_idle()
        if not self._holds_drain():
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

    def settled(self) -> None:
        """Check whether the drain is over, after a request or a connection ended."""
        quiet = self._quiet
        if quiet is not None and not quiet.done() and not self._holds_drain():
            quiet.set_result(None)

    def close(self) -> None:
        """Break off what is left; an answer under way is aborted, never made to look complete."""
        self.draining = self.retiring = True
        for connection in tuple(self._connections):
            connection.break_off()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    # ── within ──

    def _holds_drain(self) -> bool:
        return any(connection.holds_drain for connection in self._connections)

    def _make_room(self, *, hard: bool) -> None:
        candidates = [one for one in self._connections if one.is_resting]
        if not candidates and hard:
            candidates = [one for one in self._connections if not one.is_busy]
        if candidates:
            longest = min(candidates, key=lambda one: one.resting_since)
            self._connections.discard(longest)
            longest.evict()

    def _schedule_sweep(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._interval, self._on_sweep)

    def _on_sweep(self) -> None:
        self._sweep = None
        if self._connections:
            now = self._clock.monotonic()
            for connection in tuple(self._connections):
                connection.check_deadline(now)
            self.settled()
            self._schedule_sweep()
