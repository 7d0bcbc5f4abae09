"""The pages of a login's ends."""

from proxy.control.login.outcomes import LoginFailure, OtherUser, Success
from proxy.control.rendering import render
from proxy.control.requests import with_account


def failure_page(failure: LoginFailure) -> str:
    """Build the page of a login that did not succeed, with the way to start again."""
    if isinstance(failure, OtherUser):
        return render("login/replace.html", question=failure, held=failure.held)
    return render(
        "login/failure.html",
        failure=failure,
        tone="warn" if failure.problem.status < 500 else "bad",
        again=with_account("/-/login", failure.account),
    )


def success_page(success: Success) -> str:
    """Build the page of a login that succeeded: done, whose account, close this."""
    return render(
        "login/success.html",
        success=success,
        tone="warn" if success.is_other_person else "good",
    )
