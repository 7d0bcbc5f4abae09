"""All accounts' limits: the one door that a request asks before anything else of it is done."""

import random
from collections.abc import Callable, Sequence
from functools import partial

from proxy.config import LimitsConfig
from proxy.gateway.limits.limiter import Limiter, Schedule, Ticket, Use
from proxy.gateway.limits.refusals import Backoff
from proxy.gateway.limits.shared import SharedBudget
from proxy.system.clock import Clock

SHOWN = 50


class Limits:
    """The limiters by account, each made at the account's first request."""

    def __init__(
        self,
        config: LimitsConfig,
        clock: Clock,
        schedule: Schedule,
        *,
        shared: SharedBudget | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._schedule = schedule
        self._shared = shared
        self._backoff = Backoff(jitter)
        self._limiters: dict[str, Limiter] = {}

    def configure(self, config: LimitsConfig) -> None:
        """Take up what was reloaded; it counts for the next request."""
        self._config = config
        for limiter in self._limiters.values():
            limiter.configure(config)

    def ticket(
        self, account: str, operation: str, method: bytes, path: bytes, caller: str | None
    ) -> Ticket | None:
        """Make the ticket of a request; None where limits are left to the upstream."""
        config = self._config
        if config.mode == "pass":
            return None
        limiter = self._limiters.get(account)
        if limiter is None:
            limiter = self._limiters[account] = Limiter(
                config,
                self._clock,
                self._schedule,
                self._backoff,
                partial(self._shared.account, account) if self._shared is not None else None,
            )
        return limiter.ticket(operation, method, path, caller)

    def held(self) -> int:
        """Count the requests that are held back, of all accounts."""
        return sum(limiter.held for limiter in self._limiters.values())

    def uses(self) -> Sequence[Use]:
        """Return how much of the limits is used now, the busiest first, no more than SHOWN.

        One that was used stays, so that the page is still while calls come and go.
        """
        uses = [use for name, limiter in self._limiters.items() for use in limiter.uses(name)]
        uses.sort(key=lambda use: (-use.held, -use.used / use.limit, use.operation))
        return uses[:SHOWN]

    def close(self) -> None:
        """Stop the timers."""
        for limiter in self._limiters.values():
            limiter.close()
