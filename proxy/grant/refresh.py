"""The only sequence that spends a refresh token; it runs under a lease.

    record as reloaded
      → prepare the place of the next one                       (the disk is full: not spent)
      → save it with the intent "about to spend generation N"   (fails: not spent, StoreError)
      → spend                                                   (the window opens when the server
      → save the new pair with generation N+1                    rotates, and closes here)
      → only then use it

No caller cancels it: it runs in a task of the manager's. A new pair that cannot be stored is kept
in memory, with the lease, until it can; the earlier access token is used meanwhile.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from proxy.errors import GrantEnded, Outcome, StoreError, TokenEndpointError
from proxy.grant.answer import RotatedError
from proxy.grant.lifecycle import Why, counts, ended_detail, ended_reason, instant
from proxy.grant.oauth import REFRESH_LIFETIME, TokenSet
from proxy.grant.stores.base import Lease
from proxy.grant.stores.record import Ended, Intent, LastRefresh, Record
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.system.clock import Clock

logger = logging.getLogger(__name__)


class Refresh:
    """Spends the refresh tokens of one account."""

    def __init__(
        self,
        endpoint: TokenEndpoint,
        clock: Clock,
        *,
        delay: Callable[[int], float],
        stuck: Callable[[StoreError], None],
        pause: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        # The seconds to wait after so many failed attempts.
        self._delay = delay
        self._stuck = stuck
        # Waits, and tells whether the program is stopping.
        self._pause = pause

    async def spend(
        self, lease: Lease, record: Record, why: Why
    ) -> tuple[Record, TokenEndpointError | None]:
        """Spend a record's refresh token; return the record that replaces it, and what failed.

        StoreError: the token was not spent, because the store could not have kept the new pair.
        """
        tokens = record.tokens
        assert tokens is not None  # noqa: S101 - next_step has seen to it
        began_at = self._clock.now()
        intent = record.intent or Intent(record.generation, began_at)
        forced_at = began_at if why is Why.FORCED else record.forced_at
        marked = replace(record, intent=intent, forced_at=forced_at)
        await lease.prepare()
        try:
            await lease.save(marked)
            lease.ensure_held()
            fresh = await self._endpoint.refresh(tokens, lease.ensure_held)
        except StoreError:
            # Nothing was sent, so remove the intent: it would wrongly mark the token as possibly
            # spent.
            with suppress(StoreError):
                await lease.save(record)
            raise
        except RotatedError as error:
            return await self._keep(lease, self._rotated(marked, error)), error
        except TokenEndpointError as error:
            if error.outcome is Outcome.INVALID_GRANT:
                return await self._ended(lease, marked, error, record.intent), error
            return await self._failed(lease, marked, error, record.intent), error
        return await self._store_new(lease, marked, fresh, why), None

    async def take_over(self, lease: Lease, record: Record) -> Record:
        """Spend the token of a record that is not in the store, and store the new pair.

        No intent is written: whatever fails, the store stays as it was. GrantEnded: the token is
        dead. TokenEndpointError: in another way. StoreError: it was not spent.
        """
        tokens = record.tokens
        assert tokens is not None  # noqa: S101 - the caller has seen to it
        began_at = self._clock.now()
        await lease.prepare()
        lease.ensure_held()
        try:
            fresh = await self._endpoint.refresh(tokens, lease.ensure_held)
        except RotatedError as error:
            await self._keep(lease, self._rotated(record, error))
            raise
        except TokenEndpointError as error:
            if error.outcome is not Outcome.INVALID_GRANT:
                raise
            raise GrantEnded(
                ended_reason(tokens.refresh_expires_at, began_at),
                "SmartRecruiters does not accept the bundle's token any more: it was imported "
                "before, or another copy of the grant was used since. Nothing was changed here. "
                "Log in.",
            ) from None
        return await self._store_new(lease, record, fresh, "import")

    async def _store_new(self, lease: Lease, spent: Record, fresh: TokenSet, why: str) -> Record:
        new = _next(spent, fresh, LastRefresh(fresh.issued_at, "ok"))
        new = await self._keep(lease, new)
        logger.info(
            "refreshed account=%s generation=%d why=%s expires_at=%s",
            new.account,
            new.generation,
            why,
            instant(fresh.expires_at),
        )
        return new

    async def _keep(self, lease: Lease, new: Record) -> Record:
        """Store a new pair, trying until it works; StoreError only when the program stops."""
        try:
            await lease.save(new)
        except StoreError as error:
            logger.warning("new_tokens_refused account=%s error=%s", new.account, error)
        else:
            return new
        attempt, stopping = 0, False
        while True:
            try:
                # At once the first time: a fail-over may have put an older record there.
                found = await lease.regain()
                if found is not None and found.generation >= new.generation:
                    return found  # the write came through after all, or somebody logged in
                await lease.save(new)
            except StoreError as error:
                failure = error
            else:
                return new
            if stopping:
                raise failure
            attempt += 1
            logger.error(
                "new_tokens_not_stored account=%s generation=%d attempt=%d error=%s",
                new.account,
                new.generation,
                attempt,
                failure,
            )
            self._stuck(failure)
            stopping = await self._pause(self._delay(attempt))

    async def _failed(
        self, lease: Lease, marked: Record, error: TokenEndpointError, earlier: Intent | None
    ) -> Record:
        unknown = error.outcome is Outcome.UNKNOWN
        outcome = "unknown" if unknown or earlier else "failed"
        # This failure does not tell whether an earlier attempt, without an answer, spent the token.
        failed = replace(
            marked,
            intent=marked.intent if unknown else earlier,
            last_refresh=self._note(marked, error, outcome),
        )
        try:
            await lease.save(failed)
        except StoreError as store_error:
            # Without this record the intent stands, which errs on the safe side.
            logger.warning("record_not_saved account=%s error=%s", failed.account, store_error)
        return failed

    def _rotated(self, marked: Record, error: RotatedError) -> Record:
        """Return the next record: the new refresh token beside the present access token."""
        assert marked.tokens is not None  # noqa: S101 - it was spent
        now = self._clock.now()
        tokens = replace(
            marked.tokens,
            refresh_token=error.refresh_token,
            refresh_issued_at=now,
            refresh_expires_at=now + REFRESH_LIFETIME,
        )
        return _next(marked, tokens, self._note(marked, error, "failed", tokens))

    def _note(
        self,
        marked: Record,
        error: TokenEndpointError,
        outcome: str,
        rotated: TokenSet | None = None,
    ) -> LastRefresh:
        """Make the note of a failed attempt, and log it."""
        last, mark = marked.last_refresh, self._endpoint.mark(marked.tokens)
        before = last if counts(last, mark) else None
        attempts = before.attempts + 1 if before else 1
        refusals = before.refusals if before else 0
        logger.warning(
            "refresh_failed account=%s generation=%d outcome=%s reason=%s attempt=%d detail=%s",
            marked.account,
            marked.generation,
            error.outcome,
            error.reason,
            attempts,
            error.detail,
        )
        return LastRefresh(
            self._clock.now(),
            outcome,
            error.reason,
            error.detail,
            attempts,
            refusals + error.is_refusal,
            self._endpoint.mark(rotated) if rotated else mark,
        )

    async def _ended(
        self, lease: Lease, marked: Record, error: TokenEndpointError, earlier: Intent | None
    ) -> Record:
        """End the grant, unless a newer generation turns up after all."""
        try:
            found = await lease.load()
        except StoreError:
            found = None
        if found is not None and found.tokens is not None and found.generation > marked.generation:
            logger.warning(
                "refresh_overtaken account=%s spent=%d found=%d",
                marked.account,
                marked.generation,
                found.generation,
            )
            return found
        assert marked.tokens is not None  # noqa: S101 - it was spent
        now = self._clock.now()
        detail = ended_detail(marked.tokens, earlier, now, error.reason)
        reason = ended_reason(marked.tokens.refresh_expires_at, now)
        logger.error("grant_ended account=%s reason=%s detail=%s", marked.account, reason, detail)
        dead = replace(
            marked,
            intent=None,
            ended=Ended(reason, now, detail),
            last_refresh=LastRefresh(now, "failed", error.reason, detail),
        )
        try:
            await lease.set_aside(marked)
            await lease.save(dead)
        except StoreError as store_error:
            logger.warning("record_not_saved account=%s error=%s", dead.account, store_error)
        return dead


def _next(record: Record, tokens: TokenSet, last_refresh: LastRefresh) -> Record:
    """Return the record of the next generation."""
    return replace(
        record,
        generation=record.generation + 1,
        tokens=tokens,
        intent=None,
        last_refresh=last_refresh,
        ended=None,
    )
