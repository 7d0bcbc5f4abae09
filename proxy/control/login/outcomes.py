"""What a login came to: success, or each kind of failure as a Problem with a heading for people."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.control.login.replacing import Held
from proxy.errors import (
    GrantEnded,
    Outcome,
    Problem,
    ProxyError,
    StoreError,
    TokenEndpointError,
    unforeseen,
)

MOST_SHOWN = 300
# What providers send besides a decline, RFC 6749 section 4.1.2.1.
PROVIDER_ERRORS = {
    "access_denied": "The request for access was declined. Nothing was changed.",
    "invalid_scope": "SmartRecruiters does not know one of the scopes in oauth.scopes, or this "
    "app may not ask for it.",
    "unauthorized_client": "SmartRecruiters does not let this app use this kind of login.",
    "server_error": "SmartRecruiters failed; try again.",
    "temporarily_unavailable": "SmartRecruiters is not available at the moment; try again later.",
}


class LoginFailure(ProxyError):
    """A login that did not succeed: the problem, and a heading for people."""

    def __init__(
        self, heading: str, problem: Problem, *, finished: bool = True, account: str | None = None
    ) -> None:
        super().__init__(heading, problem.detail)
        self.heading = heading
        self.problem = problem
        # Whose login it was, where that is known.
        self.account = account
        # The login has ended; otherwise nothing was consumed, and it may still succeed.
        self.finished = finished
        # The provider said so itself, instead of sending a code.
        self.reported = False
        # It is not news: the callback was taken before.
        self.is_repeated = False

    @property
    def reason(self) -> str:
        """Return the word that distinguishes this failure from others."""
        return self.problem.reason or self.problem.code


class OtherUser(LoginFailure):
    """A login by another user than the one whose grant is here; it waits for an answer."""

    def __init__(self, held: Held, name: str) -> None:
        detail = (
            f"You logged in as {held.new_owner}, but the grant here is that of {held.previous}. "
            "Nothing was changed yet: calls go on as before until you say which of them stays."
        )
        problem = Problem("bad_request", detail, status=409, reason="other_user")
        heading = "Another user's grant is here"
        super().__init__(heading, problem, finished=False, account=held.account)
        self.held = held
        self.name = name


@dataclass(frozen=True, slots=True)
class Success:
    """A login that succeeded: whose grant it is, and whose it replaces, where known."""

    account: str
    owner: str | None
    replaced: bool = False
    previous_owner: str | None = None

    @property
    def is_other_person(self) -> bool:
        """Return whether the grant changed hands, as far as known."""
        known = self.owner is not None and self.previous_owner is not None
        return self.replaced and known and self.owner != self.previous_owner


class LoginNews:
    """Tells whoever waits for a login that one ended without a grant."""

    def __init__(self) -> None:
        self._listeners: set[Callable[[LoginFailure], None]] = set()

    def subscribe(self, callback: Callable[[LoginFailure], None]) -> Callable[[], None]:
        """Call back until the returned function is called."""
        self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    def tell(self, failure: LoginFailure) -> None:
        """Call everybody."""
        for listener in list(self._listeners):
            listener(failure)


def refused(
    heading: str, detail: str, reason: str, *, finished: bool = False, account: str | None = None
) -> LoginFailure:
    """Make the failure of a callback that was not taken."""
    problem = Problem("bad_request", detail, reason=reason)
    return LoginFailure(heading, problem, finished=finished, account=account)


def provider_error(error: str, description: str | None, *, finished: bool = False) -> LoginFailure:
    """Make the failure that the provider reported instead of a code."""
    heading = "Access was declined" if error == "access_denied" else "The login did not succeed"
    detail = PROVIDER_ERRORS.get(error, "SmartRecruiters reported an error instead of a code.")
    if description:
        detail += f" SmartRecruiters says: “{_short(description)}”."
    failure = refused(heading, detail, _short(error, 80), finished=finished)
    failure.reported = True
    return failure


def exchange_failure(error: ProxyError) -> LoginFailure:
    """Make the failure of an exchange. The code is spent or lost: never a second try with it."""
    if isinstance(error, StoreError):
        return LoginFailure(
            "The grant could not be stored", Problem("store_unavailable", f"{error}.")
        )
    if isinstance(error, Problem):
        failure = LoginFailure("The login did not succeed", error)
        if error.reason == "already_taken":
            # By another process, or before a restart: as this process tells of its own.
            failure.heading, failure.is_repeated = "This address was opened before", True
        return failure
    ended = isinstance(error, GrantEnded)
    if ended or (isinstance(error, TokenEndpointError) and error.outcome is Outcome.INVALID_GRANT):
        return refused(
            "The code had expired",
            "SmartRecruiters no longer accepted the authorization code: it lives 30 seconds and "
            "works once. Nothing was changed; start again.",
            "invalid_grant",
            finished=True,
        )
    if isinstance(error, TokenEndpointError):
        return _token_endpoint_failure(error)
    return LoginFailure(
        "The login did not succeed",
        unforeseen(),
    )


def _token_endpoint_failure(error: TokenEndpointError) -> LoginFailure:
    if error.reason == "invalid_client":
        heading = "The app's id or secret was refused"
        advice = "Mend the configuration, restart the proxy and start again."
    elif error.outcome is Outcome.UNKNOWN:
        heading = "The outcome is unknown"
        advice = (
            "Whether SmartRecruiters issued tokens cannot be known. The code is not sent a second "
            "time, for that could end what was issued; start again."
        )
    else:
        heading = "The code was not exchanged"
        advice = "Nothing was changed; start again in a moment."
    detail = f"{error.detail.rstrip('.')}. {advice}"
    return LoginFailure(heading, Problem("token_endpoint_unavailable", detail, reason=error.reason))


def _short(text: str, limit: int = MOST_SHOWN) -> str:
    # Control characters have no place in a page, and a long text hides the advice.
    clean = "".join(c if c.isprintable() else " " for c in text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
