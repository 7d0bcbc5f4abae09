"""What the control routes need of the rest of the program, as one value handed in by the app.

The protocols say how little that is; tests hand in fakes of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from proxy.config import Config
from proxy.errors import Problem
from proxy.grant.oauth import TokenSet
from proxy.system.clock import Clock
from proxy.system.secret import Secret
from proxy.telemetry.traffic import RequestRecord

Unsubscribe = Callable[[], None]
# Is asked for whose tokens are before they replace a grant; raises if they may not.
Admit = Callable[[TokenSet], Awaitable[str | None]]


class AccountStatus(Protocol):
    """What is known of an account's grant at one moment."""

    @property
    def state(self) -> str:
        """Return authorized, login_required or degraded."""
        ...

    @property
    def subject(self) -> str | None:
        """Return whose grant it is, in words for people, as far as known."""
        ...

    @property
    def granted_at(self) -> float | None:
        """Return when somebody logged in for it, as far as known."""
        ...

    def as_json(self, now: float) -> dict[str, Any]:
        """Return the account's object of the contract's `GET /-/status`."""
        ...


class Account(Protocol):
    """The part of a TokenManager that the control routes use."""

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


async def _nobody(_: object) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class ControlContext:
    """Everything handed in.

    `readiness` answers for the whole program (stopping, store, grant) without calling anybody.
    `identify` asks the upstream, with an account's present token, whose grant it is (a name for
    people, or None where that cannot be told), `identify_token` with a token that is no account's
    yet; both bound their own time and raise nothing.
    """

    config: Config
    accounts: Mapping[str, Account]
    traffic: TrafficView
    metrics: MetricsView
    clock: Clock
    started_at: float
    readiness: Callable[[], Problem | None]
    version: str
    identify: Callable[[str], Awaitable[str | None]] = field(default=_nobody)
    identify_token: Callable[[Secret], Awaitable[str | None]] = field(default=_nobody)
