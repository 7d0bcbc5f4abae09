"""The budget that replicas share through Redis: asked in batches, by one script at a time.

Each replica keeps its own limits besides, and they alone count while Redis is away. What is under
way is a lease in Redis, renewed while it lasts: a replica that dies gives its places back within
half a minute. What the script does, and why a sliding log, is in shared.lua.
"""

import asyncio
import json
import logging
import pkgutil
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

from proxy.config import RedisConfig
from proxy.gateway.limits.row import Call
from proxy.gateway.limits.window import SECOND, AtOnce
from proxy.system.clock import Clock
from proxy.system.redis import open_redis

logger = logging.getLogger(__name__)

RENEWAL_INTERVAL = 10.0
# A Redis that is slower than this is taken as away: it would hold every call back.
TIMEOUT = 0.5
AWAY_FOR = 1.0
MOST_ASKED = 64
MOST_KEPT = 1000

# Runs a script on keys with one argument; what it returns are numbers.
Run = Callable[[str, Sequence[str], str], Awaitable[Sequence[int]]]
Decided = Callable[[Call, float | None], None]


@dataclass(frozen=True, slots=True)
class _Place:
    """A call's place in Redis: its name, its window's key, the keys of those at once."""

    member: str
    window: str
    queue: str
    numbers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Question:
    call: Call
    place: _Place
    decided: Decided


@dataclass(slots=True)
class _News:
    """What is to be sent at the next turn, by the names of the keys."""

    settle: list[tuple[str, str, int]] = field(default_factory=list)
    hold: list[tuple[str, int]] = field(default_factory=list)
    over: list[tuple[str, str]] = field(default_factory=list)


@asynccontextmanager
async def share_budget(config: RedisConfig, clock: Clock) -> AsyncIterator["SharedBudget"]:
    """Open the budget of the replicas that use this Redis, and close it in the end."""
    if config.url is None:
        raise ValueError("tokens.redis.url is not set")
    async with open_redis(config.url, config.ca_file) as client:

        async def run(script: str, keys: Sequence[str], argument: str) -> Sequence[int]:
            waits: Sequence[int] = await client.run(
                lambda redis: redis.eval(script, len(keys), *keys, argument)
            )
            return waits

        budget = SharedBudget(run, clock, replica=secrets.token_hex(6), prefix=config.prefix)
        budget.start()
        try:
            yield budget
        finally:
            await budget.close()


class SharedBudget:
    """All accounts' share in one Redis, and the one task that talks to it."""

    def __init__(self, run: Run, clock: Clock, *, replica: str, prefix: str) -> None:
        self._run = run
        self._clock = clock
        self._replica = f"{replica}:"
        self._prefix = prefix
        self._questions: list[_Question] = []
        self._news = _News()
        self._places: dict[Call, _Place] = {}
        self._has_work = asyncio.Event()
        self._numbers = count(1)
        self._task: asyncio.Task[None] | None = None
        self._renewed_at = clock.monotonic()
        self._away_until = 0.0
        self._is_away = False
        self._is_closing = False
        self._script = (pkgutil.get_data(__package__, "shared.lua") or b"").decode("utf-8")

    def account(self, name: str, together: AtOnce) -> "SharedAccount":
        """Return one account's part."""
        return SharedAccount(self, f"{self._prefix}limits:{name}:", together)

    def start(self) -> None:
        """Begin to exchange with Redis."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Give back what is under way, and end."""
        # Asked to end, not cancelled: redis-py would read a cancellation as a failure of the
        # connection, and a turn ends by itself.
        self._is_closing = True
        self._has_work.set()
        if self._task is not None:
            await self._task
        for call in tuple(self._places):
            self.give_back(call, 0.0)
        await self._turn()

    # ── called by the accounts ──

    def next_member(self) -> str:
        """Name the next place."""
        return f"{self._replica}{next(self._numbers)}"

    def ask(self, questions: Sequence[_Question]) -> None:
        """Ask at the next turn."""
        self._questions += questions
        self._has_work.set()

    def settle(self, call: Call, seconds: float, *, held: bool) -> None:
        """Report how long a call's place in its window still counts."""
        place = self._places.get(call)
        if place is not None:
            self._settle(place, seconds)
            if held:
                self._news.hold.append((place.window + ":held", round(SECOND * 1000)))

    def give_back(self, call: Call, seconds: float) -> None:
        """Report that a call is no longer under way, and how long it still counts."""
        place = self._places.pop(call, None)
        if place is not None:
            self._settle(place, seconds)
            self._news.over += [(key, place.member) for key, _ in place.numbers]

    def _settle(self, place: _Place, seconds: float) -> None:
        self._news.settle.append((place.window, place.member, max(0, round(seconds * 1000))))
        self._has_work.set()

    # ── the task ──

    async def _work(self) -> None:
        while not self._is_closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL_INTERVAL if self._places else None):
                    await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._turn()
            except Exception:
                # Whoever asks next must still be answered.
                logger.exception("sharing limits failed in a way that was not foreseen")

    async def _turn(self) -> None:
        questions = self._questions[:MOST_ASKED]
        del self._questions[:MOST_ASKED]
        if self._questions:
            self._has_work.set()
        news, self._news = self._news, _News()
        waits = await self._tell(news, questions)
        denied: list[tuple[_Question, float]] = []
        for index, question in enumerate(questions):
            wait = waits[index] / 1000 if waits is not None else 0.0
            if wait > 0:
                denied.append((question, wait))
                continue
            if waits is not None:
                self._places[question.call] = question.place
                if question.call.place is None:  # its caller has gone meanwhile
                    self.give_back(question.call, 0.0)
            question.decided(question.call, None)
        # Each goes back to the front of its row: the last one first, so that the order stays.
        for question, wait in reversed(denied):
            question.decided(question.call, wait)

    async def _tell(self, news: _News, questions: Sequence[_Question]) -> Sequence[int] | None:
        """Run the script; None while Redis is away."""
        now = self._clock.monotonic()
        if now < self._away_until:
            self._keep(news)
            return None
        keys: dict[str, int] = {}

        def key(name: str) -> int:
            return keys.setdefault(name, len(keys) + 1)

        message = json.dumps(
            {
                "replica": self._replica,
                "settle": [(key(name), member, ms) for name, member, ms in news.settle],
                "hold": [(key(name), ms) for name, ms in news.hold],
                "over": [(key(name), member) for name, member in news.over],
                "renew": [(key(name), member) for name, member in self._renewals(now)],
                "ask": [_asked(question, key) for question in questions],
            }
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                waits = await self._run(self._script, list(keys), message)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with Redis, calls go on
            self._away_until = self._clock.monotonic() + AWAY_FOR
            if not self._is_away:
                self._is_away = True
                reason = str(error) or type(error).__name__
                logger.warning("limits_not_shared reason=%r", reason)
            # Whether the script ran is unknown: what it may have granted is given back by name.
            for question in questions:
                place = question.place
                news.settle.append((place.window, place.member, 0))
                news.over += [(key, place.member) for key, _ in place.numbers]
            self._keep(news)
            return None
        if self._is_away:
            self._is_away = False
            logger.info("limits_shared_again")
        return waits

    def _keep(self, news: _News) -> None:
        """Report later what could not be sent; what is too much ends with its lease."""
        if len(self._news.settle) + len(news.settle) <= MOST_KEPT:
            self._news.settle += news.settle
            self._news.over += news.over

    def _renewals(self, now: float) -> list[tuple[str, str]]:
        if now - self._renewed_at < RENEWAL_INTERVAL:
            return []
        self._renewed_at = now
        return [(key, place.member) for place in self._places.values() for key, _ in place.numbers]


class SharedAccount:
    """One account's part of the budget: what its limiter calls."""

    def __init__(self, budget: SharedBudget, prefix: str, together: AtOnce) -> None:
        self._budget = budget
        self._prefix = prefix
        self._together = together

    def ask(self, calls: Sequence[Call], decided: Decided) -> None:
        """Ask for calls to go; `decided` is called for each: now (None), or in how many seconds."""
        self._budget.ask([_Question(call, self._place(call), decided) for call in calls])

    def answered(self, call: Call, now: float, *, held: bool) -> None:
        """Note an answer; `held`: nothing of its kind may go for a second."""
        if call.place is not None:
            self._budget.settle(call, call.place.until - now, held=held)

    def over(self, call: Call, now: float, *, sent: bool) -> None:
        """Note that a call is over, or that nothing of it was sent."""
        if call.place is not None:
            self._budget.give_back(call, call.place.until - now if sent else 0.0)

    def _place(self, call: Call) -> _Place:
        lane, prefix = call.lane, self._prefix
        numbers = [(f"{prefix}once:", self._together.limit)]
        if lane.at_once is not None:
            numbers.append((f"{prefix}once:{lane.at_once.name}", lane.at_once.limit))
        return _Place(
            self._budget.next_member(),
            f"{prefix}second:{lane.window.name}",
            f"{prefix}queue:{lane.window.name}",
            tuple(numbers),
        )


def _asked(question: _Question, key: Callable[[str], int]) -> dict[str, object]:
    place = question.place
    return {
        "member": place.member,
        "window": key(place.window),
        "limit": question.call.lane.window.limit,
        "hold": key(place.window + ":held"),
        "queue": key(place.queue),
        "last": key(place.queue + ":last"),
        "numbers": [(key(name), limit) for name, limit in place.numbers],
    }
