"""`Account`, the interface of every kind of credential, and `Source`, which hands out tokens.

The app, the control routes and the commands use `Account` alone; `AccountStatus.kind` tells which
kind it is.
"""

import math
from collections.abc import Callable
from typing import Protocol

from proxy.config import AccountConfig
from proxy.errors import Problem
from proxy.grant import lifecycle
from proxy.grant.changes import Admit
from proxy.grant.lifecycle import Why
from proxy.grant.live import Credential, Live
from proxy.grant.oauth import TokenSet
from proxy.grant.status import AccountStatus, unavailable
from proxy.system.clock import Clock
from proxy.system.secret import Secret


class Account(Protocol):
    """One account's credential, and what a person may do with it."""

    account: str

    def current(self) -> Credential | None:
        """Return the valid credential from memory, or None; never waits."""
        ...

    async def credential(self) -> Credential:
        """Return a valid credential, renewed if need be; Problem if there is none."""
        ...

    async def lasting(self, seconds: float | None = None) -> Credential:
        """Return one valid for at least `seconds` (default: tokens.refresh_margin), or Problem."""
        ...

    async def rejected(self, generation: int) -> Credential | None:
        """Return a newer credential after the upstream's 401, or None: then pass the 401 on."""
        ...

    def status(self) -> AccountStatus:
        """Return what is known, without I/O."""
        ...

    def readiness(self) -> Problem | None:
        """Return why a request would not be let through now, without I/O; None if it would."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on every change of state, until the returned function is called."""
        ...

    async def start(self) -> None:
        """Begin to keep the credential valid."""
        ...

    async def load(self) -> None:
        """Read what is stored, for a command that only looks or acts once; raises StoreError."""
        ...

    async def close(self) -> None:
        """Stop once a refresh under way is stored."""
        ...

    def configure(self, config: AccountConfig) -> None:
        """Apply what may change while running: the secret, the scopes, the API key."""
        ...

    def login_problem(self) -> Problem | None:
        """Return why nobody can log in here; None where a person can."""
        ...

    async def exchange(
        self, code: Secret, code_verifier: Secret | None = None, admit: Admit | None = None
    ) -> None:
        """Exchange a code for the grant, once."""
        ...

    async def take(self, fresh: TokenSet, subject: str | None) -> None:
        """Store tokens that `admit` had refused as the grant, with its owner."""
        ...

    async def logout(self) -> None:
        """Forget the grant."""
        ...

    async def set_subject(self, subject: str) -> None:
        """Remember whose credential it is, in words for people."""
        ...

    async def export(self, passphrase: Secret, deliver: Callable[[bytes], None]) -> str:
        """Hand the grant over as a bundle, retire it, and return the old record's place."""
        ...

    async def import_bundle(self, data: bytes, passphrase: Secret) -> None:
        """Take a grant over from a bundle."""
        ...


class Renewal(Protocol):
    """How a token is renewed: one at a time, and not before it is time."""

    def is_busy(self) -> bool:
        """Tell whether a renewal is under way."""
        ...

    def may_try(self) -> bool:
        """Tell whether a renewal may bring a token now."""
        ...

    def refresh_ahead(self) -> None:
        """Begin ahead of the token's end, if that is allowed; never waits."""
        ...

    async def settle(self, why: Why) -> None:
        """Wait for the renewal under way, or a new one, to succeed or fail."""
        ...


class Source(Account):
    """Hands out one account's token: from memory, or after one renewal."""

    def __init__(
        self, live: Live, renewal: Renewal, clock: Clock, retry_after: Callable[[], int]
    ) -> None:
        self._live = live
        self._renewal = renewal
        self._clock = clock
        self._retry_after = retry_after
        self._forced_generation = 0
        self._forced_at = -math.inf

    async def _give_up(self, generation: int) -> bool:  # noqa: ARG002 - a hook
        """End the access token where it can never be renewed; tell whether that is so."""
        return False

    def current(self) -> Credential | None:
        """Return the valid credential from memory, or None; begins to renew ahead when due."""
        credential, ahead = self._live.current()
        if ahead:
            self._renewal.refresh_ahead()
        return credential

    async def credential(self) -> Credential:
        """Return a valid credential, renewed if need be; Problem if there is none."""
        credential = self.current()
        if credential is None and self._renewal.may_try():
            await self._renewal.settle(Why.EXPIRED)
            credential = self.current()
        if credential is None:
            raise self.readiness() or unavailable(None, None, self._retry_after())
        return credential

    async def lasting(self, seconds: float | None = None) -> Credential:
        """Return one valid for at least `seconds` (default: tokens.refresh_margin), or Problem.

        At most one renewal.
        """
        before = self._live.generation
        credential = await self.credential()
        if not self._lasts(seconds) and self._live.generation == before:
            if self._renewal.may_try():
                await self._renewal.settle(Why.WANTED)
            credential = await self.credential()
        if not self._lasts(seconds):
            last = self.status().last_refresh
            said = last.detail if last and last.outcome != "ok" else None
            raise Problem(
                "token_endpoint_unavailable",
                f"The access token lives {self._live.left():.0f} s more, which is less than asked "
                f"for. {said or 'SmartRecruiters issues none that lives longer.'}",
                reason=last.code if last else None,
                retry_after=self._retry_after(),
            )
        return credential

    def _lasts(self, seconds: float | None) -> bool:
        return self._live.left() >= (self._live.usual_left() if seconds is None else seconds)

    async def rejected(self, generation: int) -> Credential | None:
        """Return a newer credential after the upstream's 401, or None: then pass the 401 on."""
        credential = self.current()
        if credential is None or credential.generation != generation:
            return credential
        if await self._give_up(generation):
            return None
        if not self._renewal.is_busy():
            lately = self._clock.monotonic() - self._forced_at < lifecycle.FORCED_INTERVAL
            if lately or self._forced_generation == generation or not self._renewal.may_try():
                return None
            self._forced_generation, self._forced_at = generation, self._clock.monotonic()
        await self._renewal.settle(Why.FORCED)
        await self._give_up(generation)
        credential = self.current()
        return credential if credential and credential.generation != generation else None
