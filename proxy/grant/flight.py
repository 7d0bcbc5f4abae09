"""One refresh at a time: callers share the one under way, and none of them cancels it."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

from proxy.errors import StoreError
from proxy.grant import changes, lifecycle
from proxy.grant.bound import BoundStore
from proxy.grant.known import Known
from proxy.grant.lifecycle import Facts, Step, Why
from proxy.grant.refresh import Refresh
from proxy.grant.stores.base import Lease
from proxy.grant.stores.record import Record
from proxy.grant.tasks import Tasks
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.system.clock import Clock

logger = logging.getLogger(__name__)

# Seconds without a refresh after the store was mended: the other replicas' tick, and a second to
# spare.
HOLD = 6.0


class Flight:
    """The refresh of one account, under way or not."""

    def __init__(
        self,
        known: Known,
        store: BoundStore,
        endpoint: TokenEndpoint,
        tasks: Tasks,
        clock: Clock,
        *,
        patience: float,
    ) -> None:
        self.refresh = Refresh(
            endpoint, clock, delay=known.trouble.delay, stuck=self._stuck, pause=tasks.pause
        )
        self._known = known
        self._endpoint = endpoint
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._patience = patience
        self._task: asyncio.Task[None] | None = None
        # Done when the refresh under way has ended, or is only waiting for the store.
        self._settled: asyncio.Future[None] | None = None
        self._under_lease = False

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Return the last refresh, under way or ended."""
        return self._task

    def is_busy(self) -> bool:
        """Tell whether a refresh is under way."""
        return self._task is not None and not self._task.done()

    def may_try(self) -> bool:
        """Tell whether a refresh may bring a token now."""
        record, trouble = self._known.record, self._known.trouble
        if record is None:
            return trouble.error is not None and trouble.may_retry()
        if record.tokens is None or record.ended is not None:
            return False
        return self.is_busy() or trouble.may_retry()

    def refresh_ahead(self) -> None:
        """Begin to refresh ahead, if that is allowed; never waits."""
        # On the hot path while little is left: the cheap questions first.
        if self.is_busy():
            return
        record = self._known.record
        if record is None or record.ended is not None or record.intent is not None:
            return
        if self._known.trouble.may_retry() and not self._tasks.stopping:
            self.begin(Why.AHEAD)

    async def settle(self, why: Why) -> None:
        """Wait for the refresh under way, or a new one, to succeed or fail."""
        await asyncio.shield(self.begin(why))

    def begin(self, why: Why) -> asyncio.Future[None]:
        """Begin a refresh, or join the one under way."""
        if self._settled is not None and self.is_busy():
            return self._settled
        self._settled = asyncio.get_running_loop().create_future()
        generation = self._known.live.generation
        self._task = self._tasks.spawn(self._attempt(why, generation, self._settled))
        return self._settled

    def give_up(self) -> None:
        """Cancel a refresh that waits for the lease; one that has it runs to its end."""
        if self._task is not None and not self._under_lease:
            self._task.cancel()

    def lease(self) -> AbstractAsyncContextManager[Lease]:
        """Wait for the account's lease."""
        return self._store.lease(self._known.account, self._patience)

    async def _attempt(self, why: Why, generation: int, settled: asyncio.Future[None]) -> None:
        known = self._known
        try:
            async with self.lease() as lease:
                self._under_lease = True
                await self._refresh_under(lease, why, generation)
        except StoreError as error:
            known.note_store_error(error, writing=True)
            logger.warning("refresh_not_begun account=%s error=%s", known.account, error)
        except Exception:
            # An unforeseen error must not end the refreshing: try again, slowly.
            logger.exception("refresh_crashed account=%s", known.account)
            known.trouble.back_off(5)
        finally:
            self._under_lease = False
            if not settled.done():
                settled.set_result(None)
            known.publish()

    async def _refresh_under(self, lease: Lease, why: Why, generation: int) -> None:
        known, live = self._known, self._known.live
        found = await lease.load()
        if known.is_behind(found):
            found = await self._mend(lease, found)
            if live.usable():
                return
        known.adopt(found)
        record = known.record
        if found is None or record is None:
            return
        now = self._clock.now()
        facts = Facts(
            why,
            usable=live.usable(),
            newer=record.generation > generation,
            ahead=live.ahead(),
            idle=live.idle(),
            forced_lately=lifecycle.was_forced_lately(record, now),
            backing_off=lifecycle.is_backing_off(
                record.last_refresh, self._endpoint.mark(record.tokens), now
            ),
        )
        step = lifecycle.next_step(record, facts)
        if step is Step.SPEND:
            record, failure = await self.refresh.spend(lease, record, why)
            known.trouble.store_works()
            known.adopt(record, failure)
        elif step is Step.WAIT and record.intent is not None and not lifecycle.has_failed(record):
            known.adopt(await changes.tell_interrupted(lease, record, record.intent))
        known.trouble.store_works()

    async def _mend(self, lease: Lease, found: Record | None) -> Record | None:
        """Write the record in memory over an older one; StoreError if another process writes."""
        known = self._known
        assert known.record is not None  # noqa: S101 - `is_behind` compared it
        await lease.save(known.record)
        known.trouble.store_works()
        known.mended(found)
        # Wait while the access token lasts, so that a replica with an even newer record can store
        # it before we spend this token.
        known.trouble.wait(HOLD)
        return known.record

    def _stuck(self, error: StoreError) -> None:
        """Release those who wait for the refresh: its new pair cannot be stored yet."""
        self._known.note_store_error(error, writing=True)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
