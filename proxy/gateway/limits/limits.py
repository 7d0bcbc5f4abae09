"""All accounts' limits: the one door that a request asks before anything else of it is done."""

import random
from collections.abc import Callable

from proxy.config import LimitsConfig
from proxy.gateway.limits.limiter import Limiter, Schedule, Shared, Ticket
from proxy.gateway.limits.refusals import Backoff
from proxy.system.clock import Clock


class Limits:
    """The limiters by account, each made at the account's first request."""

    def __init__(
        self,
        config: Callable[[], LimitsConfig],
        clock: Clock,
        schedule: Schedule,
        *,
        shared: Callable[[str], Shared] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`config` is asked at each request, so that a reload counts for the next one."""
        self._config = config
        self._known = config()
        self._clock = clock
        self._schedule = schedule
        self._shared = shared
        self._backoff = Backoff(jitter)
        self._limiters: dict[str, Limiter] = {}

    def ticket(
        self, account: str, operation: str, method: bytes, path: bytes, caller: str | None
    ) -> Ticket | None:
        """Make the ticket of a request; None where limits are left to the upstream."""
        config = self._config()
        if config is not self._known:
            self._known = config
            for known in self._limiters.values():
                known.configure(config)
        if config.mode == "pass":
            return None
        limiter = self._limiters.get(account)
        if limiter is None:
            limiter = self._limiters[account] = Limiter(
                config,
                self._clock,
                self._schedule,
                self._backoff,
                self._shared(account) if self._shared is not None else None,
            )
        return limiter.ticket(operation, method, path, caller)

    def held(self) -> int:
        """Count the requests that are held back, of all accounts."""
        return sum(limiter.held for limiter in self._limiters.values())

    def held_by_operation(self, account: str) -> dict[str, int]:
        """Count an account's requests that are held back, by operation."""
        limiter = self._limiters.get(account)
        return limiter.held_by_operation() if limiter is not None else {}

    def close(self) -> None:
        """Stop the timers."""
        for limiter in self._limiters.values():
            limiter.close()
