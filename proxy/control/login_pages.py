"""What a login came to, in words: each end of it as a Problem or a success, and as a page."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from proxy.control.markup import Html, html, join, when
from proxy.control.pages import button, facts, paragraph, step_page
from proxy.control.replacing import Held
from proxy.errors import (
    GrantEnded,
    Outcome,
    Problem,
    ProxyError,
    StoreError,
    TokenEndpointError,
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

    def __init__(self, heading: str, problem: Problem, *, finished: bool = True) -> None:
        super().__init__(heading, problem.detail)
        self.heading = heading
        self.problem = problem
        self.account = "default"
        # The login has ended; otherwise nothing was consumed, and it may still succeed.
        self.finished = finished
        # The provider said so itself, instead of sending a code.
        self.reported = False


class OtherUser(LoginFailure):
    """A login by another user than the one whose grant is here; it waits for an answer."""

    def __init__(self, held: Held, name: str) -> None:
        detail = (
            f"You logged in as {held.owner}, but the grant here is that of {held.previous}. "
            "Nothing was changed yet: calls go on as before until you say which of them stays."
        )
        problem = Problem("bad_request", detail, status=409, reason="other_user")
        super().__init__("Another user's grant is here", problem, finished=False)
        self.held = held
        self.name = name
        self.account = held.account


@dataclass(frozen=True, slots=True)
class Success:
    """A login that succeeded: whose grant it is, and whose it replaces, where known."""

    account: str
    owner: str | None
    replaced: bool = False
    previous_owner: str | None = None

    @property
    def is_other_person(self) -> bool:
        """Tell whether the grant changed hands, as far as known."""
        return self.replaced and None not in (self.owner, self.previous_owner) and (
            self.owner != self.previous_owner
        )  # fmt: skip


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


def refused(heading: str, detail: str, reason: str, *, finished: bool = False) -> LoginFailure:
    """Make the failure of a callback that was not taken."""
    problem = Problem("bad_request", detail, reason=reason)
    return LoginFailure(heading, problem, finished=finished)


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
        return LoginFailure("The login did not succeed", error)
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
        Problem("internal_error", "The proxy failed in a way that it did not foresee."),
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


def failure_page(failure: LoginFailure) -> bytes:
    """Build the page of a login that did not succeed, with the way to start again."""
    problem = failure.problem
    again = "/-/login"
    if failure.account != "default":
        again += "?account=" + quote(failure.account, safe="")
    reason = problem.reason or problem.code
    return step_page(
        failure.heading,
        paragraph(problem.detail),
        facts([("Reason", html("<code>$reason</code>", reason=reason))]),
        tone="warn" if problem.status < 500 else "bad",
        actions=join([button("Start again", again), button("Status page", "/-/", primary=False)]),
        script="step.js",
        finished=failure.finished,
    )


def replace_page(question: OtherUser) -> bytes:
    """Build the page that asks whose grant stays."""
    held = question.held
    answer = html(
        '<form method="post" action="/-/login/complete" class="actions">'
        '<button class="button primary" name="keep" value="$name">Keep $previous</button>'
        '<button class="button" name="replace" value="$name">Replace: act as $owner</button>'
        "</form>",
        name=question.name,
        previous=held.previous,
        owner=held.owner,
    )
    return step_page(
        question.heading,
        paragraph(question.problem.detail),
        paragraph(
            f"If you replace it, every program that calls through this proxy acts as {held.owner} "
            f"from then on. To go back, {held.previous} has to log in again.",
            "quiet",
        ),
        answer,
        tone="warn",
        script="step.js",
        has_form=True,
        finished=True,
    )


def success_page(success: Success) -> bytes:
    """Build the page of a login that succeeded: done, whose account, close this."""
    if success.is_other_person:
        change = html(
            '<p class="notice" role="status">This <strong>replaces the grant of $previous</strong>:'
            " calls through the proxy now act as $owner. If that was not meant, log in again as "
            "$previous.</p>",
            previous=success.previous_owner,
            owner=success.owner,
        )
    elif success.replaced and success.owner is None:
        change = html(
            '<p class="notice" role="status">It <strong>replaces the grant of $previous</strong>. '
            "Whose account it is now cannot be told: that takes the scope "
            "<code>user_me_read</code>.</p>",
            previous=success.previous_owner or "an unknown owner",
        )
    elif success.replaced and success.previous_owner is None:
        change = paragraph("It replaces the grant that was here before, whose owner is not known.")
    else:
        change = when(success.replaced, paragraph("It takes the place of your earlier grant."))
    owner = (
        html("<p>The proxy now acts for <strong>$owner</strong>.</p>", owner=success.owner)
        if success.owner
        else paragraph("The proxy now has a grant, and keeps it alive by itself.")
    )
    return step_page(
        "You are logged in",
        owner,
        change,
        paragraph("Your tools can call now. You may close this page.", "quiet"),
        tone="warn" if success.is_other_person else "good",
        actions=button("Status page", "/-/"),
        script="step.js",
        finished=True,
    )


def begin_page(authorization_url: str, redirect_uri: str, minutes: int) -> bytes:
    """Build the page for a login whose consent is given in a browser elsewhere."""
    body = html(
        """<ol class="steps">
<li><p>Open this address in any browser and click <b>Authorize</b>:</p>
<p><a class="button primary" href="$url" target="_blank" rel="noopener noreferrer"
 data-authorize>Open SmartRecruiters</a></p>
<p><label for="authorization-url">Address to open</label>
<textarea id="authorization-url" readonly rows="4" data-select>$url</textarea></p></li>
<li><p>That browser then goes to an address that begins with <code>$redirect</code>. The page may
well fail to load there; only its address counts. Copy the whole address.</p></li>
<li><form method="post" action="/-/login/complete">
<p><label for="final-url">Final address</label>
<input id="final-url" name="url" type="text" inputmode="url" autocomplete="off"
 autocapitalize="none" spellcheck="false" required placeholder="$redirect?code=…&amp;state=…"
 aria-describedby="code-clock"></p>
<p id="code-clock" class="quiet" role="status" data-code-clock>After <b>Authorize</b> you have
30 seconds to paste it here.</p>
<p class="actions"><button class="button primary">Finish the login</button></p></form></li>
</ol>
<p class="quiet">This login is good for $minutes minutes, in this browser.</p>""",
        url=authorization_url,
        redirect=redirect_uri,
        minutes=minutes,
    )
    return step_page("Log in from another browser", Html(body), script="step.js", has_form=True)


def _short(text: str, limit: int = MOST_SHOWN) -> str:
    # Control characters have no place in a page, and a long text hides the advice.
    clean = "".join(c if c.isprintable() else " " for c in text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
