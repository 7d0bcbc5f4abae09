"""What one process knows of a grant: the record in memory, the store's trouble, who watches.

Only `load`, `look_over` and `poll` do I/O: they see what other processes stored.
"""

import logging
from collections.abc import Callable, Hashable

from proxy.errors import Problem, StoreError, TokenEndpointError
from proxy.grant import lifecycle
from proxy.grant.bound import OTHER_APP, BoundStore
from proxy.grant.lifecycle import instant
from proxy.grant.live import Live
from proxy.grant.status import AccountStatus, explain, judge, warnings
from proxy.grant.stores.record import Record
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.grant.trouble import Trouble
from proxy.grant.watchers import Watchers
from proxy.system.clock import Clock

logger = logging.getLogger(__name__)


class Known:
    """The grant of one account, as far as this process knows."""

    def __init__(
        self,
        account: str,
        store: BoundStore,
        live: Live,
        endpoint: TokenEndpoint,
        trouble: Trouble,
        clock: Clock,
        *,
        login_url: str | None,
    ) -> None:
        self.account = account
        self.live = live
        self.trouble = trouble
        self._store = store
        self._clock = clock
        self._endpoint = endpoint
        self._login_url = login_url
        self.watchers = Watchers()
        self.store_warnings: tuple[str, ...] = ()
        self._looked_over = False
        self._polled = False
        self._stamp: Hashable = None
        # The store came back older than memory, after a fail-over perhaps, and is to be mended.
        self.is_store_behind = False
        self._mended: str | None = None
        self._times_mended = 0

    @property
    def record(self) -> Record | None:
        """Return the record in memory."""
        return self.live.record

    def status(self) -> AccountStatus:
        """Return what is known."""
        record, usable, error = self.record, self.live.usable(), self.trouble.error
        state, reason, detail = judge(record, usable=usable, store_error=error)
        shown = record if record and (usable or not record.ended) else None
        return AccountStatus(
            name=self.account,
            state=state,
            reason=reason,
            detail=detail,
            generation=self.live.generation,
            tokens=shown.tokens if shown else None,
            last_refresh=record.last_refresh if record else None,
            warnings=(
                *self.store_warnings,
                *((self._mended,) if self._mended else ()),
                *warnings(record, error, self._clock.now()),
            ),
            configured_scopes=self._endpoint.oauth.scopes,
            store_warnings=self.store_warnings,
            times_mended=self._times_mended,
            subject=record.subject if record else None,
            granted_at=record.granted_at if record else None,
            store_error=error,
        )

    def readiness(self) -> Problem | None:
        """Return why a request would not be let through now; None if it would."""
        if self.live.usable():
            return None
        return explain(
            self.record,
            self.trouble.error,
            retry_after=self.trouble.retry_after(),
            login_url=self._login_url,
        )

    def publish(self) -> None:
        """Tell the watchers, if anything has changed."""
        self.watchers.tell(self.status())

    def adopt(self, record: Record | None, failure: TokenEndpointError | None = None) -> None:
        """Take a record into memory that was read, or written because of `failure`."""
        before = self.record
        if self.is_behind(record):
            self.is_store_behind = True
            return
        if record is None and before is not None:
            # Nothing of ours removes a record: an unmounted volume must not look like a logout.
            self.note_store_error(
                StoreError(
                    self._store.where(self.account),
                    "has lost the record",
                    "bring it back (was a volume unmounted?), or log in again",
                )
            )
            return
        self.is_store_behind = False
        if before is None or record is None or record.generation > before.generation:
            self._mended = None
        self.live.adopt(record)
        self._polled = False  # a write of our own has changed the stamp
        last = record.last_refresh if record else None
        mark = self._endpoint.mark(record.tokens if record else None)
        if last is not None and lifecycle.counts(last, mark):
            if before is None or before.last_refresh != last:
                retry_after = failure.retry_after if failure else None
                wait = self.trouble.delay(last.attempts, retry_after)
                self.trouble.wait(wait - max(0.0, self._clock.now() - last.at))
        elif self.trouble.error is None:
            self.trouble.wait(0)
        self.publish()

    def is_behind(self, found: Record | None) -> bool:
        """Tell whether the store's record is older than the one in memory, so that it is not taken.

        A record of a later login is newer whatever its generation: somebody logged in to an emptied
        store.
        """
        mine = self.record
        if mine is None or (mine.ended is not None and mine.ended.reason == OTHER_APP):
            return False
        if found is None:
            return self._store.may_forget and mine.tokens is not None and mine.ended is None
        if found.generation >= mine.generation or (found.ended and found.ended.reason == OTHER_APP):
            return False
        since = max(mine.granted_at or 0.0, mine.ended.at if mine.ended else 0.0)
        return (found.granted_at or 0.0) <= since

    def mended(self, found: Record | None) -> None:
        """Note that the store, which held an older record, was brought up to date."""
        self.is_store_behind = False
        self._times_mended += 1
        was = f"an older record (generation {found.generation})" if found else "no record"
        logger.warning(
            "store_brought_up_to_date account=%s generation=%d found=%s where=%s",
            self.account,
            self.live.generation,
            found.generation if found else "none",
            self._store.where(self.account),
        )
        self._mended = (
            f"At {instant(self._clock.now())} the token store held {was}, as after a fail-over or "
            f"an eviction, and was brought up to date (generation {self.live.generation})."
        )
        self.publish()

    def note_store_error(self, error: StoreError, *, writing: bool = False) -> None:
        """Remember an error of the store."""
        self.trouble.store_failed(error, writing=writing)
        self.publish()

    async def load(self) -> None:
        """Read the grant once; raises StoreError."""
        self._stamp = await self._store.stamp(self.account)
        self.store_warnings = tuple(await self._store.warnings())
        self.adopt(await self._store.load(self.account))

    async def look_over(self) -> None:
        """Check that the store can be written, until it can, and again after a failure."""
        trouble = self.trouble
        has_failed = trouble.error is not None and not trouble.is_read_error
        if self._looked_over and not (has_failed and trouble.may_retry()):
            return
        try:
            warnings = tuple(await self._store.start())
        except StoreError as error:
            self.note_store_error(error, writing=True)
            return
        if has_failed:
            trouble.store_works()
        self._looked_over = True
        if warnings != self.store_warnings:
            for warning in warnings:
                logger.warning("store_warning account=%s warning=%s", self.account, warning)
        self.store_warnings = warnings

    async def poll(self, is_busy: Callable[[], bool]) -> None:
        """Read what other processes stored, unless a refresh is under way: its record is newer."""
        try:
            stamp = await self._store.stamp(self.account)
            if stamp == self._stamp and self.trouble.error is None and self._polled:
                return
            record = await self._store.load(self.account)
            if is_busy():
                return
            gone = record is None and self.record is not None
            if self.trouble.is_read_error and not gone:
                self.trouble.store_works()
            self.adopt(record)
            self._stamp, self._polled = stamp, True
        except StoreError as error:
            if self.trouble.error is None or self.trouble.is_read_error:
                self.note_store_error(error)
