"""One account's limits at work: admits, wakes those that wait, learns from the answers.

A ticket goes with a request from its coming to the end of its answer:

    admit ─▶ (held) ─▶ sent ─▶ answered ─▶ over
                ▲                  │
                └── 429, resend ───┘

Nothing here blocks and no task is started: one timer for all that wait.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Protocol

from proxy.config import LimitsConfig
from proxy.errors import Problem
from proxy.gateway.limits.lanes import Lanes, Rules
from proxy.gateway.limits.refusals import Backoff, number, retry_after
from proxy.gateway.limits.row import Call, Lane, Row
from proxy.gateway.limits.window import SECOND, AtOnce
from proxy.system.clock import Clock

TOGETHER = "all together"
Fields = Mapping[bytes, bytes]


class Timer(Protocol):
    """What a scheduled call can be cancelled by."""

    def cancel(self) -> None: ...


class Waiter(Protocol):
    """Who is told when a held request may go, instead of waiting in a task of its own."""

    def admitted(self) -> None:
        """Send the request now."""
        ...

    def refused(self, problem: Problem) -> None:
        """Answer with the Problem rate_limited: the wait was too long."""
        ...


class Shared(Protocol):
    """An account's budget that several replicas share; each of them has its own limits besides."""

    def ask(self, calls: Sequence[Call], decided: Callable[[Call, float | None], None]) -> None:
        """Ask for calls to go; `decided` is called for each: now (None), or in how many seconds."""
        ...

    def answered(self, call: Call, now: float, *, held: bool) -> None:
        """Note an answer; `held`: nothing of its kind may go for a second."""
        ...

    def over(self, call: Call, now: float, *, sent: bool) -> None:
        """Note that a call is over, or that nothing of it was sent."""
        ...


Schedule = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one limit is used at this moment, for the page."""

    account: str
    operation: str
    used: int
    limit: float
    unit: str
    held: int = 0
    refused: int = 0


class Ticket(Call):
    """One request's way through the limits; each method is called at most once a sending."""

    __slots__ = ("_held_since", "_limiter", "_refusals", "_waiter", "_was_sent", "held")

    def __init__(
        self, limiter: "Limiter", lane: Lane, caller: str | None, asked_at: float, max_wait: float
    ) -> None:
        super().__init__(lane, caller, asked_at, asked_at + max_wait)
        self._limiter = limiter
        self._refusals = 0
        self._was_sent = False
        self._waiter: Waiter | None = None
        self._held_since: float | None = None  # while it waits
        self.held = 0.0  # seconds that it was held back for, all in all

    def enter(self, waiter: Waiter) -> bool:
        """Go at once where the limits allow it; else the waiter is told when, or of a refusal."""
        self._waiter = waiter
        return self._limiter.enter(self)

    def sent(self) -> None:
        """Note that the request is being written to a connection."""
        self._was_sent = True
        self._limiter.sent(self)

    def answered(self, fields: Fields) -> None:
        """Note the head of the answer."""
        self._limiter.answered(self, fields)

    def resend_in(self, status: int, fields: Fields) -> float | None:
        """Return in how many seconds a refused request is to be sent again.

        None: the answer is no refusal, or the wait would be longer than max_wait allows.
        """
        if status != 429:
            return None
        wait = retry_after(fields)
        # Honour `Retry-After: 0` once; after that use our own back-off.
        if wait is None or (wait == 0 and self._refusals):
            wait = self._limiter.backoff.after(self._refusals)
        self._refusals += 1
        return wait if self._limiter.now() + wait <= self.deadline else None

    def again(self, wait: float) -> None:
        """Join the row again, not to be sent before the wait; the waiter is told when."""
        self._limiter.again(self, wait)

    def over(self) -> None:
        """Give everything back: the answer has ended, or the caller is gone; no harm if it was."""
        self._waiter = None
        self._stop_waiting(self._limiter.now())
        self._limiter.over(self, sent=self._was_sent)

    # ── called by the limiter ──

    def hold(self, now: float) -> None:
        """Begin to wait."""
        self._held_since = now
        self._was_sent = False

    def wake(self, now: float) -> None:
        """End the wait: the request may be sent."""
        self._stop_waiting(now)
        self._tell(None)

    def refuse(self, now: float, problem: Problem) -> None:
        """End the wait: it was too long."""
        self._stop_waiting(now)
        self._tell(problem)

    def _stop_waiting(self, now: float) -> None:
        if self._held_since is not None:
            self.held += now - self._held_since
            self._held_since = None

    def _tell(self, problem: Problem | None) -> None:
        # Not within the row's own work: what the waiter does next comes back to the row.
        asyncio.get_running_loop().call_soon(self._told, problem)

    def _told(self, problem: Problem | None) -> None:
        waiter = self._waiter
        if waiter is None:
            return  # its caller is gone
        if problem is None:
            waiter.admitted()
        else:
            waiter.refused(problem)


class Limiter:
    """The limits of one account's credential."""

    def __init__(
        self,
        config: LimitsConfig,
        clock: Clock,
        schedule: Schedule,
        backoff: Backoff,
        shared: Callable[[AtOnce], Shared] | None = None,
    ) -> None:
        self.backoff = backoff
        self.now = clock.monotonic
        self._schedule = schedule
        self._timer: Timer | None = None
        self._timer_at = inf
        self._config = config
        self._together = AtOnce("", 0, corrects=True)
        self._shared = shared(self._together) if shared is not None else None
        self._row = Row(self._together)
        self.configure(config)

    def configure(self, config: LimitsConfig) -> None:
        """Adopt a configuration; what waits or is under way stays where it is."""
        self._config = config
        rules = Rules(config.rules)
        self._together.limit = rules.together
        self._together.corrects = not rules.sets_together
        self._lanes = Lanes(rules)

    @property
    def held(self) -> int:
        """Count the requests that are held back."""
        return self._row.waiting

    def uses(self, account: str) -> list[Use]:
        """Return how much of each limit is used now, of those that were used before too."""
        now, held = self.now(), self._row.waiting_by_lane()
        uses = [Use(account, TOGETHER, self._together.busy, self._together.limit, "at once")]
        for lane in self._lanes.all():
            used, waiting, refused = lane.window.used(now), held.get(lane, 0), lane.refused
            limit = lane.window.limit
            uses.append(Use(account, lane.name, used, limit, "a second", waiting, refused))
        return uses

    def ticket(self, operation: str, method: bytes, path: bytes, caller: str | None) -> Ticket:
        """Make the ticket of a request that has just come."""
        lane = self._lanes.of(operation, method, path)
        return Ticket(self, lane, caller, self.now(), self._config.max_wait)

    # ── called by a ticket ──

    def enter(self, ticket: Ticket) -> bool:
        """Let it go, or let it wait."""
        now = self.now()
        if not self._row.enter(ticket, now):
            ticket.hold(now)
            self._arm(now)
            return False
        if self._shared is None:
            return True
        ticket.hold(now)
        self._shared.ask([ticket], self._decided)
        return False

    def sent(self, ticket: Ticket) -> None:
        """Count from now."""
        if ticket.place is not None:
            now = self.now()
            ticket.place.sent(now)
            if self._row.waiting:
                self._arm(now)

    def answered(self, ticket: Ticket, fields: Fields) -> None:
        """Adopt what the answer says of the limits."""
        if ticket.place is None:
            return
        now = self.now()
        ticket.place.answered(now)
        window = ticket.lane.window
        limit = number(fields.get(b"x-ratelimit-limit"))
        if limit is not None:
            window.correct(limit)
        remaining = number(fields.get(b"x-ratelimit-remaining"))
        if remaining == 0:
            window.hold(now + SECOND)
        together = number(fields.get(b"x-ratelimit-concurrent-limit"))
        if together is not None and not self._is_own(ticket.lane, together):
            self._together.correct(together)
        if self._shared is not None:
            self._shared.answered(ticket, now, held=remaining == 0)
        if self._row.waiting:
            self._pump()

    def again(self, ticket: Ticket, wait: float) -> None:
        """Put one back that was sent, in front of its row."""
        now = self.now()
        self._leave(ticket, sent=True)
        if wait > 0:
            # What is refused now would be refused to the others of its kind too.
            ticket.lane.window.hold(now + wait)
        ticket.hold(now)
        if self._row.enter(ticket, now):
            self._let_go([ticket], now)
        self._pump()

    def over(self, ticket: Ticket, *, sent: bool) -> None:
        """Remove it."""
        self._leave(ticket, sent=sent)
        if self._row.waiting:
            self._pump()

    # ── within ──

    @staticmethod
    def _is_own(lane: Lane, together: int) -> bool:
        """Return whether a concurrent limit is the operation's own, not that of all together."""
        return lane.at_once is not None and together <= lane.at_once.limit

    def _leave(self, ticket: Ticket, *, sent: bool) -> None:
        if self._shared is not None and ticket.place is not None:
            self._shared.over(ticket, self.now(), sent=sent)
        self._row.leave(ticket, sent=sent)

    def _pump(self) -> None:
        """Let go what may go, refuse what has waited for too long, and set the timer."""
        now = self.now()
        for call in self._row.expired(now):
            self._refuse(call, now)
        self._let_go(self._row.due(now), now)
        self._arm(now)

    def _let_go(self, calls: Sequence[Call], now: float) -> None:
        """Let go what has its place here, once the budget that replicas share has one too."""
        if self._shared is None:
            for call in calls:
                _ticket(call).wake(now)
        elif calls:
            self._shared.ask(calls, self._decided)

    def _decided(self, call: Call, wait: float | None) -> None:
        """Note what the shared budget decided: granted, or not before `wait` seconds."""
        if call.place is None:
            return  # its caller is gone
        now = self.now()
        if wait is None:
            _ticket(call).wake(now)
            return
        self._row.leave(call, sent=False)
        call.lane.window.hold(now + wait)
        self._row.enter(call, now)
        self._arm(now)

    def _refuse(self, call: Call, now: float) -> None:
        call.lane.refused += 1
        ahead = call.lane.waiting + 1
        seconds = max(1, ceil(ahead / call.lane.window.limit))
        _ticket(call).refuse(
            now,
            Problem(
                "rate_limited",
                "SmartRecruiters' limits held the request back for limits.max_wait "
                f"({self._config.max_wait:g} s): {ahead} more of {call.lane.name} wait. "
                "Nothing was sent.",
                retry_after=seconds,
            ),
        )

    def _arm(self, now: float) -> None:
        wakes_at = self._row.wakes_at(now)
        if self._timer is not None:
            if wakes_at == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_at = wakes_at
        if wakes_at < inf:
            self._timer = self._schedule(max(0.0, wakes_at - now), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._pump()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _ticket(call: Call) -> Ticket:
    if not isinstance(call, Ticket):
        raise TypeError("only tickets are entered into a limiter's row")
    return call
