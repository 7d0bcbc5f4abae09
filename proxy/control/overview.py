"""The upper part of the status page: may my tools call now, the grant clock, and what to do."""

from dataclasses import dataclass

from proxy.control.context import Account, ControlContext
from proxy.control.owners import Owners
from proxy.control.rendering import render
from proxy.control.requests import with_account
from proxy.errors import Problem
from proxy.grant.status import AccountStatus
from proxy.smartrecruiters.scopes import operations_of

# Said where the grant's own detail says nothing.
REASONS = {
    "never_authorized": "Nobody has logged in yet.",
    "grant_expired": "The grant has ended: it was not renewed within its 28 days.",
    "grant_revoked": "SmartRecruiters no longer accepts the grant. It was revoked, its user was "
    "deleted, or its refresh token was used elsewhere.",
    "logged_out": "The grant was forgotten by a log-out.",
}
GOOD = {
    "authorization_code": "Every call gets a fresh access token.",
    "client_credentials": "Every call gets a fresh access token, which the app asks for by itself.",
    "smart_token": "Every call carries the API key of the configuration.",
}
ADVICE = "Log in once with SmartRecruiters; from then on the proxy renews the grant by itself."


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to the one question that people come with, of one account or of all."""

    tone: str
    heading: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Span:
    """A token's life: seconds in all and left, and when it ends."""

    begins_at: float
    ends_at: float
    left: float
    renewed_after: float | None = None

    @property
    def whole(self) -> float:
        """Return the whole of it; never nothing, for a meter is drawn of it."""
        return max(1.0, self.ends_at - self.begins_at)


@dataclass(frozen=True, slots=True)
class AccountCard:
    """What the page shows of one account."""

    status: AccountStatus
    verdict: Verdict
    owner: str | None
    # What callers are answered with instead of being let through.
    problem: Problem | None
    access: Span | None
    grant: Span | None
    kind: str
    # Whether a person logs in to it; else its credential is in the configuration.
    has_login: bool
    # Each scope that was granted, with the operations that are known to need it.
    scopes: list[tuple[str, tuple[str, ...]]]
    # Configured, and not among those that were granted.
    missing_scopes: list[str]
    notices: list[str]

    @property
    def has_grant(self) -> bool:
        """Return whether there is something to log out of."""
        return self.status.state != "login_required"

    @property
    def login_url(self) -> str:
        """Return where a login of this account begins."""
        return with_account("/-/login", self.status.name)

    @property
    def logout_url(self) -> str:
        """Return where this account's grant is forgotten."""
        return with_account("/-/logout", self.status.name)


def overview(context: ControlContext, owners: Owners) -> str:
    """Build the part of the page that changes with the grants."""
    now = context.clock.now()
    cards = [
        _card(context, account, owners.known(name), now)
        for name, account in context.accounts.items()
    ]
    return render(
        "overview.html",
        cards=cards,
        verdict=cards[0].verdict if len(cards) == 1 else _verdict_of_all(cards),
    )


def _card(context: ControlContext, account: Account, owner: str | None, now: float) -> AccountCard:
    status = account.status()
    whole = context.readiness() if len(context.accounts) == 1 else None
    problem = account.readiness() or whole
    configured = context.config.accounts[status.name]
    verdict = _verdict(status, problem, GOOD[configured.kind])
    said = [verdict.explanation]
    last = status.last_refresh
    notices = [
        *status.warnings,
        *([status.detail] if status.detail and verdict.tone != "good" else []),
        *([problem.detail] if problem and problem.code != "login_required" else []),
        *([last.detail] if last and last.outcome != "ok" and last.detail else []),
    ]
    access, grant = _spans(context, status, now)
    return AccountCard(
        status=status,
        verdict=verdict,
        owner=owner,
        problem=problem,
        access=access,
        grant=grant,
        kind=configured.kind,
        has_login=account.login_problem() is None,
        scopes=[(scope, operations_of(scope)) for scope in status.scopes],
        missing_scopes=list(status.missing_scopes),
        notices=[fresh for notice in notices if (fresh := _unsaid(notice, said))],
    )


def _verdict(status: AccountStatus, problem: Problem | None, good: str) -> Verdict:
    if status.state == "login_required":
        reason = status.detail or REASONS.get(str(status.reason), "There is no usable grant.")
        if status.reason in ("never_authorized", "logged_out"):
            reason = REASONS[status.reason]
        advice = "" if "og in " in reason else f" {ADVICE}"
        return Verdict("bad", "Your tools cannot call now", reason + advice)
    if problem is not None:
        return Verdict("bad", "Calls are refused for now", problem.detail)
    if status.state == "degraded":
        return Verdict(
            "warn",
            "Working, but not renewing",
            "Calls still go through where the access token allows. Renewing it fails; the proxy "
            "keeps trying by itself, and the grant is kept.",
        )
    return Verdict("good", "Your tools can call now", good)


def _verdict_of_all(cards: list[AccountCard]) -> Verdict:
    unable = [card.status.name for card in cards if card.verdict.tone == "bad"]
    if not unable:
        tone = "warn" if any(card.verdict.tone == "warn" for card in cards) else "good"
        return Verdict(tone, "Your tools can call now", "Every account serves calls.")
    names = ", ".join(unable)
    if len(unable) == len(cards):
        return Verdict("bad", "Your tools cannot call now", "No account serves calls.")
    return Verdict("warn", "Some calls are refused", f"These accounts serve none: {names}.")


def _spans(
    context: ControlContext, status: AccountStatus, now: float
) -> tuple[Span | None, Span | None]:
    tokens = status.tokens
    if tokens is None or status.state == "login_required":
        return None, None
    begin, end = tokens.issued_at, tokens.expires_at
    margin = min(context.config.tokens.refresh_margin, max(1.0, end - begin) / 2)
    access = Span(begin, end, max(0.0, end - now), end - margin)
    begin, end = tokens.refresh_issued_at, tokens.refresh_expires_at
    grant = Span(begin, end, max(0.0, end - now)) if tokens.refresh_token is not None else None
    return access, grant


def _unsaid(text: str, said: list[str]) -> str:
    """Return the sentences that were not said yet, and note them as said."""
    sentences = [sentence.strip() for sentence in text.replace(". ", ".\n").split("\n")]
    fresh = [one for one in sentences if one and not any(one in other for other in said)]
    said.extend(fresh)
    return " ".join(fresh)
