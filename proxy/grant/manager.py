"""TokenManager: keeps one account's grant alive, and hands out its access token.

Promises: `current` does no I/O; one refresh runs at a time, whatever the number of callers; no
caller's hang-up cancels it; a failed refresh leaves a valid access token in use; tokens are durable
before they are used. It has no user interface: subscribers learn its state and decide what to show.

It owns the long-lived tasks of the grant: a tick of at most 5 s, and the refresh under way.
"""

import asyncio
import logging
from collections.abc import Callable

from proxy.config import AccountConfig, Config, OAuthConfig
from proxy.errors import GrantEnded, Problem, ProxyError, StoreError
from proxy.grant import changes, lifecycle
from proxy.grant.bound import BoundStore, binding_of
from proxy.grant.bundle import bundler, open_bundle, take_in
from proxy.grant.flight import Flight
from proxy.grant.known import Known
from proxy.grant.lifecycle import Why
from proxy.grant.live import Live
from proxy.grant.oauth import TokenSet
from proxy.grant.source import Source
from proxy.grant.status import AccountStatus
from proxy.grant.stores import codes
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.record import Ended, Record
from proxy.grant.tasks import Tasks
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.grant.trouble import EndWarning, Trouble, chance
from proxy.system.clock import Clock
from proxy.system.secret import Secret

logger = logging.getLogger(__name__)

TICK = 5.0
# Seconds; a lease may be held for one token request, and so much longer.
LEASE_SPARE = 15.0


class TokenManager(Source):
    """The grant of one account."""

    def __init__(
        self,
        account: str,
        store: TokenStore,
        endpoint: TokenEndpoint,
        config: Config,
        clock: Clock,
        *,
        oauth: OAuthConfig | None = None,
        jitter: Callable[[], float] = chance,
        login_url: str | None = None,
    ) -> None:
        self.account = account
        self._store = BoundStore(store, binding_of(config, oauth))
        self._endpoint = endpoint
        self._live = Live(clock, config.tokens.refresh_margin, config.tokens.idle_refresh)
        self._tasks = Tasks(clock)
        trouble = Trouble(account, clock, jitter)
        self._known = Known(
            account, self._store, self._live, endpoint, trouble, clock, login_url=login_url
        )
        self._flight = Flight(
            self._known,
            self._store,
            endpoint,
            self._tasks,
            clock,
            patience=endpoint.oauth.timeout + LEASE_SPARE,
        )
        self._ending = EndWarning()
        super().__init__(self._live, self._flight, clock, trouble.retry_after)

    async def _give_up(self, generation: int) -> bool:
        """End the access token of a dead grant, in memory at once and then in the record."""
        record = self._known.record
        if record is None or record.ended is None:
            return False
        self._live.credential = None
        self._known.publish()

        async def write() -> None:
            try:
                async with self._flight.lease() as lease:
                    expired = await changes.expire(lease, generation, self._clock.now())
            except StoreError as error:
                logger.warning("record_not_saved account=%s error=%s", self.account, error)
                return
            if expired is not None:
                self._known.adopt(expired)

        await asyncio.shield(self._tasks.spawn(write()))
        return True

    # Looking

    def status(self) -> AccountStatus:
        """Return what is known, without I/O."""
        return self._known.status()

    def readiness(self) -> Problem | None:
        """Return why a request would not be let through now, without I/O; None if it would."""
        return self._known.readiness()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on every change of state, until the returned function is called."""
        return self._known.watchers.subscribe(callback)

    # Starting and stopping

    async def start(self) -> None:
        """Read the grant and begin to refresh it; a failing store is reported and tried again."""
        await self._known.look_over()
        await self._known.poll(self._flight.is_busy)
        record = self._known.record
        if missing := self.status().missing_scopes:
            logger.warning("scopes_missing account=%s scopes=%s", self.account, " ".join(missing))
        if record is not None and record.tokens is not None and record.ended is None:
            if record.intent is not None:
                logger.warning(
                    "refresh_was_cut_off account=%s generation=%d at=%s",
                    self.account,
                    record.generation,
                    lifecycle.instant(record.intent.at),
                )
                self._flight.begin(Why.RESOLVE)
            elif self._live.idle():
                left = record.tokens.refresh_expires_at - self._clock.now()
                logger.warning(
                    "grant_was_idle account=%s days_left=%.1f", self.account, left / lifecycle.DAY
                )
                self._flight.begin(Why.IDLE)
            elif lifecycle.has_failed(record) and self._flight.may_try():
                # The settings that it failed with may have been corrected.
                self._flight.begin(Why.AHEAD if self._live.usable() else Why.EXPIRED)
        self._tasks.spawn(self._run_ticks())

    async def load(self) -> None:
        """Read the grant, for a command that only looks or acts once; raises StoreError."""
        await self._known.load()

    async def close(self) -> None:
        """Stop once a refresh under way is stored; one that waits for the lease is cancelled."""
        self._flight.give_up()
        await self._tasks.finish()

    def configure(self, config: AccountConfig) -> None:
        """Apply the secret and the scopes."""
        self._endpoint.oauth = config.oauth
        self._known.publish()

    # Acting

    def login_problem(self) -> None:
        """Return None: a person can log in."""

    async def exchange(
        self, code: Secret, code_verifier: Secret | None = None, admit: changes.Admit | None = None
    ) -> None:
        """Exchange a code for the grant, once; an earlier grant is used until that is stored.

        Problem with the reason `already_taken`: some process presented this code before (rule 11
        of the grant).
        TokenEndpointError, or what `admit` raises: nothing changed. StoreError: the new grant could
        not be stored, or, if the store could not even be read, nothing was sent.
        """
        await asyncio.shield(self._tasks.spawn(self._exchange(code, code_verifier, admit)))

    async def take(self, fresh: TokenSet, subject: str | None) -> None:
        """Store tokens that `admit` had refused as the grant, with its owner."""
        await asyncio.shield(self._tasks.spawn(self._take(fresh, subject)))

    async def logout(self) -> None:
        """Forget the grant; the record is set aside."""
        await asyncio.shield(self._tasks.spawn(self._retire("The grant was forgotten.")))

    async def set_subject(self, subject: str) -> None:
        """Store whose grant it is, in words for people."""

        async def write() -> None:
            async with self._flight.lease() as lease:
                record = await changes.set_subject(lease, subject)
            if record is not None:
                self._known.adopt(record)

        await asyncio.shield(self._tasks.spawn(write()))

    async def export(self, passphrase: Secret, deliver: Callable[[bytes], None]) -> str:
        """Hand the grant over as an encrypted bundle, retire it, and return the old record's place.

        `deliver` keeps the bundle durably, in a thread; if it raises, nothing is retired.
        GrantEnded: there is no grant to hand over.
        """
        detail = "The grant was exported to another machine."
        aside: list[str] = []
        retiring = self._retire(detail, bundler(passphrase, deliver), aside.append)
        await asyncio.shield(self._tasks.spawn(retiring))
        return aside[0]

    async def import_bundle(self, data: bytes, passphrase: Secret) -> None:
        """Take a grant over from a bundle and refresh it at once.

        StoreError: the bundle or the store is at fault. GrantEnded: the grant in it is dead.
        TokenEndpointError: it could not be tried. Each leaves what was here before.
        """
        await asyncio.shield(self._tasks.spawn(self._import(data, passphrase)))

    async def _import(self, data: bytes, passphrase: Secret) -> None:
        bundled = await open_bundle(self.account, data, passphrase)
        seen = self._store.seen(bundled, "the bundle")
        if seen is not None and seen.ended is not None:
            raise GrantEnded(seen.ended.reason, seen.ended.detail)
        where, generation = self._store.where(self.account), self._live.generation
        async with self._flight.lease() as lease:
            record = await take_in(lease, where, bundled, generation, self._flight.refresh)
        self._known.adopt(record)

    async def _exchange(
        self, code: Secret, code_verifier: Secret | None, admit: changes.Admit | None
    ) -> None:
        await self._store.load(self.account)
        name = codes.digest(code)
        earlier = await self._store.take_code(self.account, name)
        if earlier is not None:
            raise changes.presented_before(earlier)
        try:
            fresh = await self._endpoint.exchange(code, code_verifier)
            await self._take(fresh, await admit(fresh) if admit else None)
        except ProxyError as error:
            await self._note(name, str(error.args[-1]))  # the last argument of each is its detail
            raise
        await self._note(name, changes.SUCCEEDED)

    async def _note(self, name: str, outcome: str) -> None:
        try:
            await self._store.note_code(self.account, name, outcome)
        except StoreError as error:
            logger.warning("login_not_noted account=%s error=%s", self.account, error)

    async def _take(self, fresh: TokenSet, subject: str | None) -> None:
        async with self._flight.lease() as lease:
            generation = self._live.generation
            record = await changes.log_in(lease, self.account, fresh, generation, subject)
        self._known.trouble.store_works()
        self._known.adopt(record)
        logger.info("authorized account=%s generation=%d", self.account, record.generation)

    async def _retire(
        self,
        detail: str,
        deliver: Callable[[Record], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        ended = Ended("logged_out", self._clock.now(), detail)
        async with self._flight.lease() as lease:
            retired = await changes.retire(lease, ended, self._live.generation, deliver)
        if retired is not None:
            record, aside = retired
            self._known.adopt(record)
            logger.info("logged_out account=%s kept_as=%s", self.account, aside)
            if tell is not None:
                tell(aside)

    # Ticking

    async def _run_ticks(self) -> None:
        while not await self._tasks.pause(min(TICK, self._known.trouble.left() or TICK)):
            try:
                await self._tick()
            except Exception:
                logger.exception("tick_crashed account=%s", self.account)

    async def _tick(self) -> None:
        known, flight = self._known, self._flight
        was_troubled = known.trouble.error is not None
        if not flight.is_busy():
            await known.look_over()
            await known.poll(flight.is_busy)
        if known.is_store_behind and not flight.is_busy() and known.trouble.may_retry():
            flight.begin(Why.EXPIRED)
        if not flight.is_busy() and flight.may_try():
            record = known.record
            troubled = was_troubled or (
                record is not None and (record.intent is not None or lifecycle.has_failed(record))
            )
            if troubled and not self._live.usable():
                flight.begin(Why.EXPIRED)
            elif record is not None and record.intent is None and self._live.idle():
                flight.begin(Why.IDLE)
        self._ending.look(known.record, self._clock.now())
        known.publish()
