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
from collections.abc import Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any

from proxy.clock import Clock
from proxy.config import Config
from proxy.errors import GrantEnded, Problem, StoreError, TokenEndpointError
from proxy.retry import backoff
from proxy.secret import Secret
from proxy.stores.base import Lease, TokenStore
from proxy.stores.record import Ended, LastRefresh, Record
from proxy.token_endpoint import TokenEndpoint
from proxy.tokens import lifecycle
from proxy.tokens.lifecycle import Facts, Step, Why
from proxy.tokens.live import Credential, Live
from proxy.tokens.refresh import Refresh
from proxy.tokens.status import AccountStatus, judge

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
        self._store = store
        self._endpoint = endpoint
        self._clock = clock
        self._jitter = jitter
        self._login_url = login_url
        self._patience = config.oauth.timeout + LEASE_SPARE
        self._live = Live(clock, config.tokens.refresh_margin, config.tokens.idle_refresh)
        self._refresh = Refresh(
            endpoint, clock, jitter=jitter, stuck=self._stuck, pause=self._pause
        )
        self._callbacks: list[Callable[[], None]] = []
        self._store_warnings: tuple[str, ...] = ()
        self._store_error: StoreError | None = None
        self._is_read_error = False
        self._looked_over = False
        self._polled = False
        self._stamp: Hashable = None
        self._told: tuple[object, ...] = ()
        self._warned_days: int | None = None
        self._store_attempts = 0
        self._retry_at = -math.inf
        self._forced_generation = 0
        self._forced_at = -math.inf
        self._task: asyncio.Task[None] | None = None
        # Done when the refresh under way has ended, or is only waiting for the store.
        self._settled: asyncio.Future[None] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._others: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()

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
            raise problem or self._unavailable("no_access_token", "The refresh brought no token.")
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
        credential = self.current()
        return credential if credential and credential.generation != generation else None

    # Looking

    def status(self) -> AccountStatus:
        """Return what is known, without I/O."""
        record = self._live.record
        usable = self._live.usable()
        state, reason, detail = judge(record, usable=usable, store_error=self._store_error)
        return AccountStatus(
            name=self.account,
            state=state,
            reason=reason,
            detail=detail,
            generation=self._live.generation,
            tokens=record.tokens if record and (usable or not record.ended) else None,
            last_refresh=record.last_refresh if record else None,
            warnings=self._warnings(),
            subject=record.subject if record else None,
            store_error=self._store_error,
        )

    def readiness(self) -> Problem | None:
        """Return why a request would not be let through now, without I/O; None if it would."""
        record = self._live.record
        if self._live.usable():
            return None
        if record is None and self._store_error is None:
            return self._login_required(
                GrantEnded("never_authorized", "Nobody has authorized the app yet.")
            )
        if record is not None and (record.ended is not None or record.tokens is None):
            ended = record.ended or Ended("never_authorized", 0.0, "There is no grant.")
            return self._login_required(GrantEnded(ended.reason, ended.detail))
        if self._store_error is not None:
            return Problem(
                "store_unavailable",
                f"The token store cannot be used: {self._store_error}. Nothing was lost.",
                retry_after=self._retry_after(),
            )
        last = record.last_refresh if record else None
        if last is not None and last.outcome != "ok":
            return self._unavailable(last.code, last.detail)
        return None

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on every change of state, until the returned function is called."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._callbacks.remove(callback)

        return unsubscribe

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
        self._ticker = self._spawn(self._run_ticks())

    async def load(self) -> None:
        """Read the grant, for a command that only looks or acts once; raises StoreError."""
        self._stamp = await self._store.stamp(self.account)
        self._adopt(await self._store.load(self.account))

    async def close(self) -> None:
        """Stop, after what is under way has been stored."""
        self._closing.set()
        if self._ticker is not None:
            self._ticker.cancel()
        while self._others:
            await asyncio.wait(set(self._others))

    # Acting

    async def exchange(self, code: Secret, code_verifier: Secret | None = None) -> None:
        """Turn a code into the grant: at once, once; the earlier grant serves until it is stored.

        TokenEndpointError: nothing changed. StoreError: the new grant could not be stored, or, if
        the store could not even be read, nothing was sent.
        """
        await asyncio.shield(self._spawn(self._exchange(code, code_verifier)))

    async def logout(self) -> None:
        """Forget the grant; the record is set aside."""
        await asyncio.shield(self._spawn(self._retire("logged_out", "The grant was forgotten.")))

    async def set_subject(self, subject: str) -> None:
        """Remember whose grant it is, in words for people."""

        async def write() -> None:
            async with self._lease() as lease:
                record = await lease.load()
                if record is not None and record.tokens is not None and record.subject != subject:
                    record = replace(record, subject=subject)
                    await lease.save(record)
                    self._adopt(record)

        await asyncio.shield(self._spawn(write()))

    async def _exchange(self, code: Secret, code_verifier: Secret | None) -> None:
        await self._store.load(self.account)
        fresh = await self._endpoint.exchange(code, code_verifier)
        async with self._lease() as lease:
            before = await lease.load()
            generation = max(before.generation if before else 0, self._live.generation) + 1
            record = Record(
                account=self.account,
                generation=generation,
                tokens=fresh,
                previous=before.tokens if before else None,
            )
            await lease.save(record)
        self._clear_store_error()
        self._adopt(record)
        logger.info("authorized account=%s generation=%d", self.account, generation)

    async def _retire(
        self, reason: str, detail: str, deliver: Callable[[Record], None] | None = None
    ) -> None:
        async with self._lease() as lease:
            record = await lease.load()
            if record is None or record.tokens is None:
                return
            if deliver is not None:
                await asyncio.to_thread(deliver, record)
            await lease.set_aside(record)
            ended = Ended(reason, self._clock.now(), detail)
            record = Record(
                account=self.account,
                generation=record.generation,
                tokens=None,
                last_refresh=record.last_refresh,
                ended=ended,
            )
            await lease.save(record)
        self._adopt(record)
        logger.info("%s account=%s", reason, self.account)

    # Refreshing

    def _may_try(self) -> bool:
        record = self._live.record
        if record is None:
            return self._store_error is not None and self._clock.monotonic() >= self._retry_at
        if record.tokens is None or record.ended is not None:
            return False
        return self._busy() or self._clock.monotonic() >= self._retry_at

    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _go_ahead(self) -> None:
        # On the hot path while little is left: the cheap questions first.
        if self._task is not None and not self._task.done():
            return
        record = self._live.record
        if record is None or record.ended is not None or record.intent is not None:
            return
        if self._clock.monotonic() >= self._retry_at and not self._closing.is_set():
            self._begin(Why.AHEAD)

    async def _settle(self, why: Why) -> None:
        """Wait until a refresh, the one under way or a new one, has come to something."""
        settled = self._begin(why)
        await asyncio.shield(settled)

    def _begin(self, why: Why) -> asyncio.Future[None]:
        if self._settled is not None and self._busy():
            return self._settled
        self._settled = asyncio.get_running_loop().create_future()
        self._task = self._spawn(self._attempt(why, self._live.generation, self._settled))
        return self._settled

    async def _attempt(self, why: Why, generation: int, settled: asyncio.Future[None]) -> None:
        try:
            async with self._lease() as lease:
                await self._refresh_under(lease, why, generation)
        except StoreError as error:
            self._note_store_error(error, writing=True)
            logger.warning("refresh_not_begun account=%s error=%s", self.account, error)
        except Exception:
            # Nothing may end the keeper of the grant; what is unforeseen is tried again, slowly.
            logger.exception("refresh_crashed account=%s", self.account)
            self._retry_at = self._clock.monotonic() + backoff(5, self._jitter())
        finally:
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
            self._clear_store_error()
            self._adopt(record, failure)
        elif step is Step.WAIT and record.intent is not None and not lifecycle.has_failed(record):
            # The holder of this intent is gone: tell it, and everybody who reads the record.
            at = lifecycle.instant(record.intent.at)
            detail = f"A refresh begun at {at} was cut off; the access token serves to its end."
            last = LastRefresh(record.intent.at, "unknown", "interrupted", detail)
            record = replace(record, last_refresh=last)
            await lease.save(record)
            self._adopt(record)
        self._clear_store_error()

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
        last = record.last_refresh if record else None
        if last is not None and last.outcome != "ok" and last.attempts:
            if before is None or before.last_refresh != last:
                wait = backoff(
                    last.attempts, self._jitter(), failure.retry_after if failure else None
                )
                elapsed = max(0.0, self._clock.now() - last.at)
                self._retry_at = self._clock.monotonic() + max(0.0, wait - elapsed)
        elif not (last is not None and last.outcome != "ok"):
            self._retry_at = -math.inf
        self._publish()

    def _note_store_error(self, error: StoreError, *, writing: bool = False) -> None:
        if self._store_error is None or str(error) != str(self._store_error):
            logger.error("store_unavailable account=%s error=%s", self.account, error)
        self._store_error = error
        self._is_read_error = not writing
        if writing:
            self._store_attempts += 1
            wait = backoff(self._store_attempts, self._jitter())
            self._retry_at = self._clock.monotonic() + wait
        self._publish()

    def _clear_store_error(self) -> None:
        if self._store_error is not None:
            logger.info("store_available account=%s", self.account)
        self._store_error = None
        self._store_attempts = 0

    def _publish(self) -> None:
        """Tell the watchers, if anything that they can see has changed."""
        state = self.status()
        told = (state.state, state.reason, state.detail, state.generation, state.last_refresh,
                state.warnings, state.tokens is None)  # fmt: skip
        if told == self._told:
            return
        self._told = told
        for callback in list(self._callbacks):
            callback()

    def _warnings(self) -> tuple[str, ...]:
        warnings = self._store_warnings
        record = self._live.record
        if self._store_error is not None:
            warnings = (*warnings, f"The token store cannot be used: {self._store_error}.")
        if record is not None and record.tokens is not None and record.ended is None:
            days = lifecycle.warning_days(record.tokens.refresh_expires_at, self._clock.now())
            if days is not None:
                at = lifecycle.instant(record.tokens.refresh_expires_at)
                warnings = (*warnings, f"The grant ends on {at} unless a refresh succeeds.")
        elif record is not None and record.ended is not None and record.tokens is not None:
            warnings = (*warnings, record.ended.detail)
        return warnings

    def _login_required(self, ended: GrantEnded) -> Problem:
        detail = f"{ended.detail} Open the login page and authorize the app."
        return Problem("login_required", detail, reason=ended.reason, login_url=self._login_url)

    def _unavailable(self, code: str | None, detail: str | None) -> Problem:
        return Problem(
            "token_endpoint_unavailable",
            f"The access token has ended and cannot be refreshed at the moment. {detail or ''} "
            "The grant is kept, and the proxy tries again by itself.",
            reason=code,
            retry_after=self._retry_after(),
        )

    def _retry_after(self) -> int:
        left = self._retry_at - self._clock.monotonic()
        return max(1, math.ceil(left)) if math.isfinite(left) else 1

    # Ticking

    async def _run_ticks(self) -> None:
        while not await self._pause(self._tick_length()):
            try:
                await self._tick()
            except Exception:
                logger.exception("tick_crashed account=%s", self.account)

    def _tick_length(self) -> float:
        left = self._retry_at - self._clock.monotonic()
        return min(TICK, left) if left > 0 else TICK

    async def _tick(self) -> None:
        if not self._looked_over:
            await self._look_over()
        if not self._busy():
            await self._poll()
        if not self._busy() and self._may_try():
            record = self._live.record
            troubled = self._store_error is not None or (
                record is not None and (record.intent is not None or lifecycle.has_failed(record))
            )
            if troubled and not self._live.usable():
                self._begin(Why.EXPIRED)
            elif record is not None and record.intent is None and self._live.idle():
                self._begin(Why.IDLE)
        self._warn_of_the_end()
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
            if stamp == self._stamp and self._store_error is None and self._polled:
                return
            record = await self._store.load(self.account)
            if self._busy():
                return
            if self._is_read_error and not (record is None and self._live.record is not None):
                self._clear_store_error()
            self._adopt(record)
            self._stamp, self._polled = stamp, True
        except StoreError as error:
            if self._store_error is None or self._is_read_error:
                self._note_store_error(error)

    def _warn_of_the_end(self) -> None:
        record = self._live.record
        if record is None or record.tokens is None or record.ended is not None:
            self._warned_days = None
            return
        days = lifecycle.warning_days(record.tokens.refresh_expires_at, self._clock.now())
        if days is not None and (self._warned_days is None or days < self._warned_days):
            logger.warning(
                "grant_ending account=%s within_days=%d expires_at=%s",
                self.account,
                days,
                lifecycle.instant(record.tokens.refresh_expires_at),
            )
        self._warned_days = days

    async def _pause(self, seconds: float) -> bool:
        """Wait, but no longer than until the program stops; tell whether it does."""
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({sleep, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            closing.cancel()
        return self._closing.is_set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._others.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._others.discard(task)
            if not task.cancelled():
                task.exception()  # whoever waits raises it; nobody may be waiting any more

        task.add_done_callback(done)
        return task
