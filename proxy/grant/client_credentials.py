"""Client credentials: the app without a person (RFC 6749 section 4.4). Nothing is stored."""

import asyncio
import logging

from proxy.config import AccountConfig, Config
from proxy.errors import Outcome, Problem, TokenEndpointError
from proxy.grant.lifecycle import Why, instant
from proxy.grant.live import Live
from proxy.grant.source import Source
from proxy.grant.status import AccountStatus, unavailable
from proxy.grant.stores.record import LastRefresh, Record
from proxy.grant.tasks import Tasks
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.grant.trouble import Trouble
from proxy.grant.unattended import Unattended
from proxy.system.clock import Clock

logger = logging.getLogger(__name__)


class ClientCredentials(Unattended, Source):
    """An account whose tokens are fetched when they are needed, and renewed ahead."""

    means = "client credentials (oauth.grant_type)"

    def __init__(self, account: str, endpoint: TokenEndpoint, config: Config, clock: Clock) -> None:
        Unattended.__init__(self, account)
        self._endpoint = endpoint
        self._trouble = Trouble(account, clock)
        self._last: LastRefresh | None = None
        self._tasks = Tasks(clock)
        self._task: asyncio.Task[None] | None = None
        live = Live(clock, config.tokens.refresh_margin, config.tokens.idle_refresh)
        Source.__init__(self, live, self, clock, self._trouble.retry_after)

    def configure(self, config: AccountConfig) -> None:
        """Apply the secret and the scopes, and end the back-off: what failed had others."""
        self._endpoint.oauth = config.oauth
        self._trouble.wait(0)

    def status(self) -> AccountStatus:
        """Return what is known, without I/O."""
        record, last = self._live.record, self._last
        failed = last is not None and last.outcome != "ok"
        return AccountStatus(
            name=self.account,
            kind="client_credentials",
            state="degraded" if failed else "authorized",
            reason=last.code if last and failed else None,
            detail=last.detail if last and failed else None,
            generation=self._live.generation,
            tokens=record.tokens if record else None,
            last_refresh=last,
            subject=self._subject,
        )

    def readiness(self) -> Problem | None:
        """Return why there is no token; None also where none was needed yet."""
        last = self._last
        if self._live.usable() or last is None or last.outcome == "ok":
            return None
        return unavailable(last.code, last.detail, self._trouble.retry_after())

    async def start(self) -> None:
        """Do nothing: a token is fetched when it is needed."""

    async def close(self) -> None:
        """Cancel a fetch under way: its result would not be stored."""
        if self._task is not None:
            self._task.cancel()
        await self._tasks.finish()

    # How it is renewed (`Renewal`)

    def is_busy(self) -> bool:
        """Tell whether a token is being fetched."""
        return self._task is not None and not self._task.done()

    def may_try(self) -> bool:
        """Tell whether one may be fetched now."""
        return self.is_busy() or self._trouble.may_retry()

    def refresh_ahead(self) -> None:
        """Begin to fetch one ahead, if it is time."""
        if not self.is_busy() and self._trouble.may_retry() and not self._tasks.stopping:
            self._begin(Why.AHEAD)

    async def settle(self, why: Why) -> None:
        """Wait until a token was fetched, or could not be."""
        await asyncio.wait({self._begin(why)})

    def _begin(self, why: Why) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = self._tasks.spawn(self._fetch(why))
        return self._task

    async def _fetch(self, why: Why) -> None:
        began_at = self._clock.now()
        try:
            tokens = await self._endpoint.fetch()
        except TokenEndpointError as error:
            self._failed(error)
        except Exception:
            logger.exception("token_not_fetched account=%s", self.account)
            what = "The proxy failed; see its log."
            self._failed(TokenEndpointError(Outcome.UNKNOWN, "internal_error", what))
        else:
            generation = self._live.generation + 1
            self._last = LastRefresh(began_at, "ok")
            self._trouble.wait(0)
            self._live.adopt(Record(self.account, generation, tokens))
            logger.info(
                "token_fetched account=%s generation=%d why=%s expires_at=%s",
                self.account,
                generation,
                why,
                instant(tokens.expires_at),
            )
        self._watchers.tell(self.status())

    def _failed(self, error: TokenEndpointError) -> None:
        attempts = self._last.attempts + 1 if self._last else 1
        self._last = LastRefresh(self._clock.now(), "failed", error.reason, error.detail, attempts)
        self._trouble.back_off(attempts, error.retry_after)
        logger.warning(
            "token_not_fetched account=%s reason=%s attempt=%d detail=%s",
            self.account,
            error.reason,
            attempts,
            error.detail,
        )
