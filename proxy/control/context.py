"""What the control routes need of the rest of the program, as one value handed in by the app.

The protocols say how little that is; tests hand in fakes of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from proxy.config import Config
from proxy.config.changes import Changes
from proxy.errors import Problem
from proxy.grant.oauth import TokenSet
from proxy.grant.status import AccountStatus
from proxy.recording.inspector import Inspector
from proxy.system.clock import Clock
from proxy.system.secret import Secret
from proxy.telemetry.traffic import RequestRecord

Unsubscribe = Callable[[], None]
# Called before new tokens replace a grant: returns their owner, raises to refuse.
Admit = Callable[[TokenSet], Awaitable[str | None]]


class Account(Protocol):
    """The part of a TokenManager that the control routes use."""

    def login_problem(self) -> Problem | None:
        """Return why nobody can log in to it, or None."""
        ...

    async def exchange(
        self, code: Secret, code_verifier: Secret | None, admit: Admit | None = None
    ) -> None:
        """Exchange an authorization code, once, and store what comes back, if it is admitted."""
        ...

    async def take(self, fresh: TokenSet, subject: str | None) -> None:
        """Store what was not admitted at first."""
        ...

    async def logout(self) -> None:
        """Forget the grant."""
        ...

    async def set_subject(self, subject: str) -> None:
        """Remember with the grant whose it is."""
        ...

    def status(self) -> AccountStatus:
        """Return what is known, without I/O."""
        ...

    def readiness(self) -> Problem | None:
        """Return why a call of this account would not be let through now, without I/O."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> Unsubscribe:
        """Call back on every change of state."""
        ...


class TrafficView(Protocol):
    """The part of Traffic that the status page shows."""

    def recent(self) -> Sequence[RequestRecord]:
        """Return the last requests, oldest first."""
        ...

    def subscribe(self, callback: Callable[[RequestRecord], None]) -> Unsubscribe:
        """Call back with every record as its request ends."""
        ...


class MetricsView(Protocol):
    """The part of Metrics that is scraped."""

    def render(self) -> bytes:
        """Return the Prometheus text."""
        ...


class LimitUse(Protocol):
    """How much of one limit is used at this moment."""

    @property
    def account(self) -> str:
        """Return whose limit it is."""
        ...

    @property
    def operation(self) -> str:
        """Return what it counts, such as `GET /candidates`, or `all together`."""
        ...

    @property
    def used(self) -> int:
        """Return the calls that count now: of the last second, or under way."""
        ...

    @property
    def limit(self) -> float:
        """Return the number that holds now."""
        ...

    @property
    def unit(self) -> str:
        """Return what the number means: `a second` or `at once`."""
        ...

    @property
    def held(self) -> int:
        """Return how many calls are held back at this moment."""
        ...

    @property
    def refused(self) -> int:
        """Return how many calls were refused for it since the start."""
        ...


class LimitsView(Protocol):
    """The part of the limits that the status page shows."""

    def uses(self) -> Sequence[LimitUse]:
        """Return the limits that were used since the start, the busiest first; bounded."""
        ...


def is_inspecting(context: "ControlContext") -> bool:
    """Return whether requests are being kept to look into."""
    return context.inspector is not None and context.inspector.enabled


async def _nobody(_: object) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class ControlContext:
    """Everything handed in.

    `settings` returns the configuration that holds now: it is exchanged whole by a reload.
    `readiness` answers for the whole program (stopping, store, grant) without calling anybody.
    `owner_of` asks the upstream, with an account's present token, whose grant it is (a name for
    people, or None where that is not known), `owner_of_token` with a token that is no account's
    yet; both bound their own time and raise nothing. `certificate_ends_at` returns when our own
    TLS certificate ends.
    """

    settings: Callable[[], Config]
    accounts: Mapping[str, Account]
    traffic: TrafficView
    metrics: MetricsView
    clock: Clock
    started_at: float
    readiness: Callable[[], Problem | None]
    version: str
    owner_of: Callable[[str], Awaitable[str | None]] = field(default=_nobody)
    owner_of_token: Callable[[Secret], Awaitable[str | None]] = field(default=_nobody)
    limits: LimitsView | None = None
    inspector: Inspector | None = None
    certificate_ends_at: Callable[[], float | None] = field(default=lambda: None)
    reload: Callable[[], Awaitable[Changes]] | None = None

    @property
    def config(self) -> Config:
        """Return the configuration that holds now."""
        return self.settings()
