"""A SmartRecruiters API key as an account's credential: sent as it is, nothing is stored."""

from proxy.config import AccountConfig
from proxy.errors import Problem
from proxy.grant.live import Credential
from proxy.grant.status import AccountStatus
from proxy.grant.unattended import Unattended


class SmartToken(Unattended):
    """An account that calls with an API key."""

    means = "a SmartRecruiters API key (smart_token)"

    def __init__(self, config: AccountConfig) -> None:
        super().__init__(config.name)
        self._generation = 0
        self.configure(config)

    def configure(self, config: AccountConfig) -> None:
        """Apply the API key."""
        assert config.smart_token is not None  # noqa: S101 - it makes the account one of this kind
        line = b"X-SmartToken: %b\r\n" % config.smart_token.reveal().encode()
        self._generation += 1
        self._credential = Credential(line, self._generation)

    def current(self) -> Credential:
        """Return the API key's header."""
        return self._credential

    async def credential(self) -> Credential:
        """Return the API key's header."""
        return self._credential

    async def lasting(self, seconds: float | None = None) -> Credential:  # noqa: ARG002
        """Return the API key's header; when it ends is not known."""
        return self._credential

    async def rejected(self, generation: int) -> Credential | None:
        """Return the key that was exchanged for the refused one, or None."""
        return self._credential if generation != self._generation else None

    def status(self) -> AccountStatus:
        """Return `authorized`: only a call can show whether SmartRecruiters accepts the key."""
        return AccountStatus(
            name=self.account,
            kind="smart_token",
            state="authorized",
            reason=None,
            generation=self._generation,
            tokens=None,
            last_refresh=None,
            subject=self._subject,
        )

    def readiness(self) -> Problem | None:
        """Return None: a call would be let through."""
        return None

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
