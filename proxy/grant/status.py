"""The status of one account's grant, as `GET /-/status` and the page show it: without any token."""

from dataclasses import dataclass
from typing import Any

from proxy.errors import Problem, Side, StoreError
from proxy.grant.bound import OTHER_APP
from proxy.grant.lifecycle import has_failed, instant, is_refused, warning_days
from proxy.grant.oauth import TokenSet
from proxy.grant.stores.record import LastRefresh, Record

REFRESH_REFUSED = "refresh_refused"
INVALID_CLIENT = "invalid_client"
GRANT_ENDS = frozenset({"grant_expired", "grant_revoked", "logged_out", "other_app"})


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is known of a grant at one moment; instants in seconds since the epoch."""

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
    granted_at: float | None = None
    store_error: StoreError | None = None
    kind: str = "authorization_code"
    configured_scopes: tuple[str, ...] = ()
    # Those of the warnings that are about the store.
    store_warnings: tuple[str, ...] = ()
    # How often the store came back older than memory and was brought up to date.
    times_mended: int = 0

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the grant, as far as known."""
        return self.tokens.scopes if self.tokens else ()

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Return what oauth.scopes asks for and the grant does not have: a login grants it."""
        if self.tokens is None or not self.tokens.scopes:
            return ()
        return tuple(s for s in self.configured_scopes if s not in self.tokens.scopes)

    @property
    def needed(self) -> str | None:
        """Name what a person is needed for: login_required or client_refused, else None."""
        if self.state == "login_required" or self.reason in GRANT_ENDS:
            # A dead grant whose last access token still works needs the person already.
            return "login_required"
        return "client_refused" if self.reason == INVALID_CLIENT else None

    @property
    def refresh_expires_at(self) -> float | None:
        """Return when the grant ends unless it is refreshed; None where it is not known."""
        tokens = self.tokens
        return tokens.refresh_expires_at if tokens and tokens.refresh_token else None

    def as_json(self, now: float) -> dict[str, Any]:
        """Return the account's object of `GET /-/status`; `owner`, `warning` only where known."""
        tokens, last = self.tokens, self.last_refresh
        account: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "reason": self.reason,
            "scopes": list(self.scopes),
            "generation": self.generation,
            "access_token": tokens and _span(tokens.issued_at, tokens.expires_at, now),
            "refresh_token": tokens
            and tokens.refresh_token
            and _span(tokens.refresh_issued_at, tokens.refresh_expires_at, now),
            "last_refresh": last
            and {
                "at": instant(last.at),
                "outcome": last.outcome,
                "code": last.code,
                "detail": last.detail,
            },
        }
        if self.granted_at is not None:
            account["granted_at"] = instant(self.granted_at)
        if self.subject is not None:
            account["owner"] = self.subject
        sentences = list(self.warnings)
        if missing := self.missing_scopes:
            account["missing_scopes"] = list(missing)
            sentences.append(
                f"oauth.scopes asks for {' '.join(missing)}, which the grant does not have: log "
                "in again to grant it."
            )
        if sentences:
            account["warning"] = " ".join(sentences)
        return account


def _span(issued_at: float, expires_at: float, now: float) -> dict[str, Any]:
    # After the clock was set back, no token is shown as living longer than it was issued for.
    left = min(expires_at - now, expires_at - issued_at)
    return {
        "issued_at": instant(issued_at),
        "expires_at": instant(expires_at),
        "expires_in": max(0, int(left)),
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
    if is_refused(record) and not usable:
        return "login_required", REFRESH_REFUSED, _refused_detail(record)
    if has_failed(record) and record.last_refresh is not None:
        return "degraded", record.last_refresh.code, record.last_refresh.detail
    return "authorized", None, None


def warnings(record: Record | None, store_error: StoreError | None, now: float) -> tuple[str, ...]:
    """Return what a person should know though calls go through, a sentence each."""
    found = []
    if store_error is not None:
        found.append(f"The token store cannot be used: {store_error}.")
    if record is not None and record.ended is not None and record.ended.reason == OTHER_APP:
        found.append(record.ended.detail)
    elif record is not None and record.tokens is not None:
        tokens = record.tokens
        if record.ended is not None:
            found.append(record.ended.detail)
        elif warning_days(tokens.refresh_expires_at, now) is not None:
            found.append(
                f"The grant ends on {instant(tokens.refresh_expires_at)} unless a refresh succeeds."
            )
    return tuple(found)


def explain(
    record: Record | None,
    store_error: StoreError | None,
    *,
    retry_after: int,
    login_url: str | None,
) -> Problem | None:
    """Return why there is no access token, as a caller is told; None where a refresh is due."""
    if record is None and store_error is None:
        detail = "Nobody has authorized the app yet."
        return _login_required("never_authorized", detail, login_url)
    if record is not None and (record.ended is not None or record.tokens is None):
        ended = record.ended
        reason = ended.reason if ended else "never_authorized"
        return _login_required(reason, ended.detail if ended else "There is no grant.", login_url)
    if store_error is not None:
        # The store's place is left out: callers and probes may ask without a key.
        detail = (
            f"The token store cannot be used ({store_error.what}). Nothing was lost. The log, "
            "srproxy status and srproxy check say where it is and what to do."
        )
        return Problem("store_unavailable", detail, retry_after=retry_after)
    if record is not None and is_refused(record):
        return _login_required(REFRESH_REFUSED, _refused_detail(record), login_url)
    last = record.last_refresh if record else None
    if last is not None and last.outcome != "ok":
        return unavailable(last.code, last.detail, retry_after)
    return None


def _refused_detail(record: Record) -> str:
    said = record.last_refresh.detail if record.last_refresh else ""
    return (
        f"SmartRecruiters has refused every recent refresh. {said} The grant is kept, and the "
        "proxy goes on trying. Correct the configuration, or log in again."
    )


def unavailable(code: str | None, detail: str | None, retry_after: int) -> Problem:
    """Build the problem of an access token that is not there and cannot be had now."""
    # Our id or secret is refused: that is mended in the configuration here.
    side = Side.PROXY if code == INVALID_CLIENT else None
    return Problem(
        "token_endpoint_unavailable",
        "There is no valid access token, and none could be had at the moment. "
        f"{detail or 'The token endpoint gave none.'} "
        "Nothing is lost, and the proxy tries again by itself.",
        reason=code,
        retry_after=retry_after,
        side=side,
    )


def _login_required(reason: str, detail: str, login_url: str | None) -> Problem:
    advice = "" if "og in" in detail else " Open the login page and authorize the app."
    return Problem("login_required", detail + advice, reason=reason, login_url=login_url)
