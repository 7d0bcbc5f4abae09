"""TokenManager: one account's grant, kept alive and handed out.

Promises: `current` costs no I/O; whatever the number of callers, one refresh runs at a time; no
caller's hang-up cancels it; a failed refresh takes nothing away from a valid access token; what is
used is durable. Knows no user interface: it says what is wrong, and who watches decides.

It owns the long-lived tasks of the program: a tick of at most 5 s, and the refresh under way.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager

from proxy.config import Config
from proxy.errors import GrantEnded, Problem, StoreError, TokenEndpointError
from proxy.grant import changes, lifecycle
from proxy.grant.backoff import backoff
from proxy.grant.bound import BoundStore, binding_of
from proxy.grant.lifecycle import Facts, Step, Why
from proxy.grant.live import Credential, Live
from proxy.grant.moving import bundler, move_in, unpack
from proxy.grant.oauth import TokenSet
from proxy.grant.refresh import Refresh
from proxy.grant.status import AccountStatus, explain, judge, unavailable, warnings
from proxy.grant.stores.base import Lease, TokenStore
from proxy.grant.stores.record import Ended, Record
from proxy.grant.tasks import Tasks
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.grant.trouble import EndWarning, Trouble
from proxy.grant.watchers import Watchers
from proxy.system.clock import Clock
from proxy.system.secret import Secret

logger = logging.getLogger(__name__)

TICK = 5.0
# A lease may be held for one token request, and a little longer.
LEASE_SPARE = 15.0
_chance = secrets.SystemRandom().random


class TokenManager:
    """The grant of one account."""

    def __init__(
        self,
        account: str,
        store: TokenStore,
        endpoint: TokenEndpoint,
        config: Config,
        clock: Clock,
        *,
        jitter: Callable[[], float] = _chance,
        login_url: str | None = None,
    ) -> None:
        self.account = account
        self._store = BoundStore(store, binding_of(config))
        self._endpoint = endpoint
        self._clock = clock
        self._jitter = jitter
        self._login_url = login_url
        self._patience = config.oauth.timeout + LEASE_SPARE
        self._live = Live(clock, config.tokens.refresh_margin, config.tokens.idle_refresh)
        self._tasks = Tasks(clock)
        pause = self._tasks.pause
        self._refresh = Refresh(endpoint, clock, jitter=jitter, stuck=self._stuck, pause=pause)
        self._watchers = Watchers()
        self._store_warnings: tuple[str, ...] = ()
        self._trouble = Trouble(account, clock, jitter)
        self._looked_over = False
        self._polled = False
        self._stamp: Hashable = None
        self._ending = EndWarning()
        self._forced_generation = 0
        self._forced_at = -math.inf
        self._task: asyncio.Task[None] | None = None
        # Done when the refresh under way has ended, or is only waiting for the store.
        self._settled: asyncio.Future[None] | None = None
        self._under_lease = False

    # Handing out

    def current(self) -> Credential | None:
        """Return the valid credential from memory, or None; starts a refresh ahead when due."""
        credential, ahead = self._live.current()
        if ahead:
            self._go_ahead()
        return credential

    async def credential(self) -> Credential:
        """Return a valid credential, after a refresh if need be; Problem if there is none."""
        credential = self.current()
        if credential is None and self._may_try():
            await self._settle(Why.EXPIRED)
            credential = self.current()
        if credential is None:
            problem = self.readiness()
            raise problem or unavailable(None, None, self._trouble.retry_after())
        return credential

    async def rejected(self, generation: int) -> Credential | None:
        """Return a newer credential after the upstream's 401, or None: then pass the 401 on."""
        credential = self.current()
        if credential is None or credential.generation != generation:
            return credential
        if self._task is None or self._task.done():
            lately = self._clock.monotonic() - self._forced_at < lifecycle.FORCED_INTERVAL
            if lately or self._forced_generation == generation or not self._may_try():
                return None
            self._forced_generation, self._forced_at = generation, self._clock.monotonic()
        await self._settle(Why.FORCED)
        if self._live.record is not None and self._live.record.ended is not None:
            # The upstream refuses the access token and the token endpoint the refresh token:
            # nothing of the grant is left to use.
            self._live.credential = None
            self._publish()
        credential = self.current()
        return credential if credential and credential.generation != generation else None

    # Looking

    def status(self) -> AccountStatus:
        """Return what is known, without I/O."""
        record = self._live.record
        usable = self._live.usable()
        state, reason, detail = judge(record, usable=usable, store_error=self._trouble.error)
        return AccountStatus(
            name=self.account,
            state=state,
            reason=reason,
            detail=detail,
            generation=self._live.generation,
            tokens=record.tokens if record and (usable or not record.ended) else None,
            last_refresh=record.last_refresh if record else None,
            warnings=(
                *self._store_warnings,
                *warnings(record, self._trouble.error, self._clock.now()),
            ),
            subject=record.subject if record else None,
            granted_at=record.granted_at if record else None,
            store_error=self._trouble.error,
        )

    def readiness(self) -> Problem | None:
        """Return why a request would not be let through now, without I/O; None if it would."""
        if self._live.usable():
            return None
        return explain(
            self._live.record,
            self._trouble.error,
            retry_after=self._trouble.retry_after(),
            login_url=self._login_url,
        )

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on every change of state, until the returned function is called."""
        return self._watchers.subscribe(callback)

    # Starting and stopping

    async def start(self) -> None:
        """Read the grant and begin to keep it; a store that fails is told, and tried again."""
        await self._look_over()
        await self._poll()
        record = self._live.record
        if record is not None and record.tokens is not None and record.ended is None:
            if record.intent is not None:
                logger.warning(
                    "refresh_was_cut_off account=%s generation=%d at=%s",
                    self.account,
                    record.generation,
                    lifecycle.instant(record.intent.at),
                )
                self._begin(Why.RESOLVE)
            elif self._live.idle():
                left = record.tokens.refresh_expires_at - self._clock.now()
                logger.warning(
                    "grant_was_idle account=%s days_left=%.1f", self.account, left / lifecycle.DAY
                )
                self._begin(Why.IDLE)
        self._tasks.spawn(self._run_ticks())

    async def load(self) -> None:
        """Read the grant, for a command that only looks or acts once; raises StoreError."""
        self._stamp = await self._store.stamp(self.account)
        self._store_warnings = tuple(await self._store.warnings())
        self._adopt(await self._store.load(self.account))

    async def close(self) -> None:
        """Stop, after what is under way has been stored; what only waits its turn is given up."""
        if self._task is not None and not self._under_lease:
            self._task.cancel()
        await self._tasks.finish()

    # Acting

    async def exchange(
        self, code: Secret, code_verifier: Secret | None = None, admit: changes.Admit | None = None
    ) -> None:
        """Turn a code into the grant: at once, once; the earlier grant serves until it is stored.

        TokenEndpointError, or what `admit` raises: nothing changed. StoreError: the new grant could
        not be stored, or, if the store could not even be read, nothing was sent.
        """
        await asyncio.shield(self._tasks.spawn(self._exchange(code, code_verifier, admit)))

    async def take(self, fresh: TokenSet, subject: str | None) -> None:
        """Store tokens that `admit` had refused, and whose they are, as the grant."""
        await asyncio.shield(self._tasks.spawn(self._take(fresh, subject)))

    async def logout(self) -> None:
        """Forget the grant; the record is set aside."""
        await asyncio.shield(self._tasks.spawn(self._retire("The grant was forgotten.")))

    async def set_subject(self, subject: str) -> None:
        """Remember whose grant it is, in words for people."""

        async def write() -> None:
            async with self._lease() as lease:
                record = await changes.name(lease, subject)
            if record is not None:
                self._adopt(record)

        await asyncio.shield(self._tasks.spawn(write()))

    async def export(self, passphrase: Secret, deliver: Callable[[bytes], None]) -> None:
        """Hand the grant over as an encrypted bundle, then retire it here.

        `deliver` keeps the bundle durably, in a thread; if it raises, nothing is retired.
        GrantEnded: there is no grant to hand over.
        """
        detail = "The grant was exported to another machine."
        await asyncio.shield(self._tasks.spawn(self._retire(detail, bundler(passphrase, deliver))))

    async def import_bundle(self, data: bytes, passphrase: Secret) -> None:
        """Take a grant over from a bundle and refresh it at once.

        StoreError: the bundle or the store is at fault. GrantEnded: the grant in it is dead.
        TokenEndpointError: it was taken over, and could not be verified yet.
        """
        await asyncio.shield(self._tasks.spawn(self._import(data, passphrase)))

    async def _import(self, data: bytes, passphrase: Secret) -> None:
        moved = await unpack(self.account, data, passphrase)
        seen = self._store.seen(moved, "the bundle")
        if seen is not None and seen.ended is not None:
            raise GrantEnded(seen.ended.reason, seen.ended.detail)
        async with self._lease() as lease:
            where = self._store.where(self.account)
            record, failure = await move_in(lease, where, moved, self._refresh)
        self._adopt(record, failure)
        if record.ended is not None:
            raise GrantEnded(record.ended.reason, record.ended.detail)
        if failure is not None:
            raise failure

    async def _exchange(
        self, code: Secret, code_verifier: Secret | None, admit: changes.Admit | None
    ) -> None:
        await self._store.load(self.account)
        fresh = await self._endpoint.exchange(code, code_verifier)
        await self._take(fresh, await admit(fresh) if admit else None)

    async def _take(self, fresh: TokenSet, subject: str | None) -> None:
        async with self._lease() as lease:
            generation = self._live.generation
            record = await changes.log_in(lease, self.account, fresh, generation, subject)
        self._trouble.store_works()
        self._adopt(record)
        logger.info("authorized account=%s generation=%d", self.account, record.generation)

    async def _retire(self, detail: str, deliver: Callable[[Record], None] | None = None) -> None:
        ended = Ended("logged_out", self._clock.now(), detail)
        async with self._lease() as lease:
            record = await changes.retire(lease, ended, deliver)
        if record is not None:
            self._adopt(record)
            logger.info("logged_out account=%s", self.account)

    # Refreshing

    def _may_try(self) -> bool:
        record = self._live.record
        if record is None:
            return self._trouble.error is not None and self._trouble.may_retry()
        if record.tokens is None or record.ended is not None:
            return False
        return self._busy() or self._trouble.may_retry()

    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _go_ahead(self) -> None:
        # On the hot path while little is left: the cheap questions first.
        if self._task is not None and not self._task.done():
            return
        record = self._live.record
        if record is None or record.ended is not None or record.intent is not None:
            return
        if self._trouble.may_retry() and not self._tasks.stopping:
            self._begin(Why.AHEAD)

    async def _settle(self, why: Why) -> None:
        """Wait until a refresh, the one under way or a new one, has come to something."""
        await asyncio.shield(self._begin(why))

    def _begin(self, why: Why) -> asyncio.Future[None]:
        if self._settled is not None and self._busy():
            return self._settled
        self._settled = asyncio.get_running_loop().create_future()
        self._task = self._tasks.spawn(self._attempt(why, self._live.generation, self._settled))
        return self._settled

    async def _attempt(self, why: Why, generation: int, settled: asyncio.Future[None]) -> None:
        try:
            async with self._lease() as lease:
                self._under_lease = True
                await self._refresh_under(lease, why, generation)
        except StoreError as error:
            self._note_store_error(error, writing=True)
            logger.warning("refresh_not_begun account=%s error=%s", self.account, error)
        except Exception:
            # Nothing may end the keeper of the grant; what is unforeseen is tried again, slowly.
            logger.exception("refresh_crashed account=%s", self.account)
            self._trouble.wait(backoff(5, self._jitter()))
        finally:
            self._under_lease = False
            if not settled.done():
                settled.set_result(None)
            self._publish()

    async def _refresh_under(self, lease: Lease, why: Why, generation: int) -> None:
        found = await lease.load()
        self._adopt(found)
        now = self._clock.now()
        record = self._live.record
        if found is None or record is None:
            return
        facts = Facts(
            why,
            usable=self._live.usable(),
            newer=record.generation > generation,
            ahead=self._live.ahead(),
            idle=self._live.idle(),
            forced_lately=lifecycle.was_forced_lately(record, now),
            backing_off=lifecycle.is_backing_off(record.last_refresh, now),
        )
        step = lifecycle.next_step(record, facts)
        if step is Step.SPEND:
            record, failure = await self._refresh.spend(lease, record, why)
            self._trouble.store_works()
            self._adopt(record, failure)
        elif step is Step.WAIT and record.intent is not None and not lifecycle.has_failed(record):
            self._adopt(await changes.tell_interrupted(lease, record, record.intent))
        self._trouble.store_works()

    def _lease(self) -> AbstractAsyncContextManager[Lease]:
        return self._store.lease(self.account, self._patience)

    def _stuck(self, error: StoreError) -> None:
        """Let the waiters of a refresh go: its new pair waits for the store."""
        self._note_store_error(error, writing=True)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    # What is known

    def _adopt(self, record: Record | None, failure: TokenEndpointError | None = None) -> None:
        before = self._live.record
        if record is None and before is not None:
            # Nothing of ours removes a record: an unmounted volume must not look like a logout.
            self._note_store_error(
                StoreError(
                    self._store.where(self.account),
                    "the record has disappeared",
                    "restore it (was a volume unmounted?), or log in again",
                )
            )
            return
        self._live.adopt(record)
        self._polled = False  # what was stored since the last look has another stamp
        last = record.last_refresh if record else None
        if last is not None and last.outcome != "ok" and last.attempts:
            if before is None or before.last_refresh != last:
                retry_after = failure.retry_after if failure else None
                wait = backoff(last.attempts, self._jitter(), retry_after)
                self._trouble.wait(wait - max(0.0, self._clock.now() - last.at))
        elif self._trouble.error is None and (last is None or last.outcome == "ok"):
            self._trouble.wait(0)
        self._publish()

    def _note_store_error(self, error: StoreError, *, writing: bool = False) -> None:
        self._trouble.store_failed(error, writing=writing)
        self._publish()

    def _publish(self) -> None:
        self._watchers.tell(self.status())

    # Ticking

    async def _run_ticks(self) -> None:
        while not await self._tasks.pause(min(TICK, self._trouble.left() or TICK)):
            try:
                await self._tick()
            except Exception:
                logger.exception("tick_crashed account=%s", self.account)

    async def _tick(self) -> None:
        if not self._looked_over:
            await self._look_over()
        if not self._busy():
            await self._poll()
        if not self._busy() and self._may_try():
            record = self._live.record
            troubled = self._trouble.error is not None or (
                record is not None and (record.intent is not None or lifecycle.has_failed(record))
            )
            if troubled and not self._live.usable():
                self._begin(Why.EXPIRED)
            elif record is not None and record.intent is None and self._live.idle():
                self._begin(Why.IDLE)
        self._ending.look(self._live.record, self._clock.now())
        self._publish()

    async def _look_over(self) -> None:
        try:
            self._store_warnings = tuple(await self._store.start())
        except StoreError as error:
            self._note_store_error(error)
            return
        self._looked_over = True
        for warning in self._store_warnings:
            logger.warning("store_warning account=%s warning=%s", self.account, warning)

    async def _poll(self) -> None:
        """See what other processes stored."""
        try:
            stamp = await self._store.stamp(self.account)
            if stamp == self._stamp and self._trouble.error is None and self._polled:
                return
            record = await self._store.load(self.account)
            if self._busy():
                return
            gone = record is None and self._live.record is not None
            if self._trouble.is_read_error and not gone:
                self._trouble.store_works()
            self._adopt(record)
            self._stamp, self._polled = stamp, True
        except StoreError as error:
            if self._trouble.error is None or self._trouble.is_read_error:
                self._note_store_error(error)
