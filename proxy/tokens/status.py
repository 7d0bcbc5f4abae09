"""What is told of one account's grant: the contract's JSON, with no token in it."""

from dataclasses import dataclass
from typing import Any

from proxy.errors import StoreError
from proxy.oauth import TokenSet
from proxy.stores.record import LastRefresh, Record
from proxy.tokens.lifecycle import has_failed, instant


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is known at one moment."""

    name: str
    state: str
    reason: str | None
    generation: int
    tokens: TokenSet | None
    last_refresh: LastRefresh | None
    # Why, in words for people, where the reason alone does not say it.
    detail: str | None = None
    warnings: tuple[str, ...] = ()
    subject: str | None = None
    store_error: StoreError | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the grant, as far as known."""
        return self.tokens.scopes if self.tokens else ()

    @property
    def refresh_expires_at(self) -> float | None:
        """Return until when the grant lives without a refresh."""
        return self.tokens.refresh_expires_at if self.tokens else None

    def as_json(self, now: float) -> dict[str, Any]:
        """Return the account's object of `GET /-/status`; `warning` only where there is one."""
        tokens, last = self.tokens, self.last_refresh
        account: dict[str, Any] = {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "scopes": list(self.scopes),
            "generation": self.generation,
            "access_token": tokens and _span(tokens.issued_at, tokens.expires_at, now),
            "refresh_token": tokens
            and _span(tokens.refresh_issued_at, tokens.refresh_expires_at, now),
            "last_refresh": last
            and {
                "at": instant(last.at),
                "outcome": last.outcome,
                "code": last.code,
                "detail": last.detail,
            },
        }
        warning = " ".join(self.warnings)
        if warning:
            account["warning"] = warning
        return account


def _span(issued_at: float, expires_at: float, now: float) -> dict[str, Any]:
    return {
        "issued_at": instant(issued_at),
        "expires_at": instant(expires_at),
        "expires_in": max(0, int(expires_at - now)),
    }


def judge(
    record: Record | None, *, usable: bool, store_error: StoreError | None
) -> tuple[str, str | None, str | None]:
    """Return state, reason and detail.

    A dead grant whose access token still works is `degraded`, with the reason why it is dead.
    """
    if record is None:
        if store_error is not None:
            return "degraded", "store_unavailable", str(store_error)
        return "login_required", "never_authorized", "Nobody has authorized the app yet."
    if record.ended is not None or record.tokens is None:
        ended = record.ended
        reason = ended.reason if ended else "never_authorized"
        state = "degraded" if usable else "login_required"
        return state, reason, ended.detail if ended else None
    if store_error is not None:
        return "degraded", "store_unavailable", str(store_error)
    if has_failed(record) and record.last_refresh is not None:
        return "degraded", record.last_refresh.code, record.last_refresh.detail
    return "authorized", None, None
