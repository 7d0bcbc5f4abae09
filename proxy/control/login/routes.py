"""The login's routes: begin, callback, paste-back, logout.

No parameter redirects anywhere but to the authorization endpoint and, once, to the redirect URI's
own origin.
"""

import json
from dataclasses import replace
from urllib.parse import SplitResult, urlencode, urlsplit

from proxy.control.answers import as_json, as_page, as_text, redirect
from proxy.control.context import ControlContext
from proxy.control.login import cookies
from proxy.control.login.outcomes import LoginFailure, OtherUser
from proxy.control.login.pages import failure_page, success_page
from proxy.control.login.pending import LIFETIME, SUCCEEDED, Login, Logins
from proxy.control.login.taking import Taking
from proxy.control.rendering import prepare, render
from proxy.control.requests import (
    account_query,
    asked_account,
    read_fields,
)
from proxy.errors import Problem
from proxy.grant.oauth import build_authorization_url
from proxy.messages import Answer, Request
from proxy.problems import is_navigation, problem_body, problem_headers

# In the query of a login that was already sent to the redirect URI's own origin.
MOVED = "moved"
PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
LOGIN_URL = "/-/login"


class LoginRoutes:
    """The handlers of everything that begins, ends or forgets a grant."""

    def __init__(self, context: ControlContext, logins: Logins, taking: Taking) -> None:
        self._context = context
        self._logins = logins
        self._taking = taking

    async def begin(self, request: Request) -> Answer:
        """Send the browser to the authorization endpoint (GET /-/login)."""
        account = self._account(request)
        own = self._redirect_uri(account)
        if MOVED not in request.query and not _is_name_of(own, request):
            # The cookie binds to the host name (of any port), so the name must be the redirect
            # URI's, or the callback would come without it. Once only: a front may give us a name
            # of its own.
            query = urlencode(account_query(account) | {MOVED: "1"})
            return redirect(f"{own.scheme}://{own.netloc}{LOGIN_URL}?{query}")
        login = self._logins.begin(account)
        return self._with_cookie(request, login, redirect(self._authorization_url(login)))

    async def begin_here(self, request: Request) -> Answer:
        """Begin a login whose consent is given elsewhere (POST /-/login)."""
        account = self._account(request)
        login = self._logins.begin(account)
        url = self._authorization_url(login)
        if is_navigation(request.header):
            await prepare()
            answer = self._paste_page(login)
        else:
            answer = as_json({"authorization_url": url, "expires_in": LIFETIME})
        return self._with_cookie(request, login, answer)

    async def callback(self, request: Request) -> Answer:
        """Act on the code or the error (GET of the redirect URI's path); always answers a page."""
        if request.method != "GET":
            raise Problem(
                "method_not_allowed",
                "The callback is for the browser that comes back from SmartRecruiters.",
                headers=[("Allow", "GET")],
            )
        if any("prefetch" in (request.header(name) or "").lower() for name in PREFETCH_HEADERS):
            raise Problem(
                "bad_request",
                "The callback is not prefetched: it would spend the code.",
                status=503,
            )
        await prepare()  # before the code is spent: its end has to be shown
        query = request.raw_query
        login = self._taking.match(request.cookies, query)
        try:
            answer = as_page(success_page(await self._taking.take(request.cookies, query)))
        except LoginFailure as failure:
            return self._ended(request, login, failure, _problem_page(failure))
        return self._ended(request, login, None, answer)

    async def complete(self, request: Request) -> Answer:
        """Act on the final redirect URL as text (POST /-/login/complete)."""
        fields, is_form = read_fields(request)
        by_page = is_form or is_navigation(request.header)
        if by_page:
            await prepare()
        login: Login | None = None
        try:
            if "replace" in fields or "keep" in fields:
                success = await self._taking.decide(fields)
            else:
                query = self._taking.pasted(fields.get("url", ""))
                login = self._taking.match(request.cookies, query)
                success = await self._taking.take(request.cookies, query)
        except LoginFailure as failure:
            answer = self._failure_answer(request, fields, failure, by_page=by_page)
            return self._ended(request, login, failure, answer)
        if by_page:
            answer = as_page(success_page(success))
        else:
            status = self._context.accounts[success.account].status()
            account = status.as_json(self._context.clock.now())
            answer = as_json({**account, "owner": success.owner})
        return self._ended(request, login, None, answer)

    async def logout(self, request: Request) -> Answer:
        """Forget the grant (POST /-/logout)."""
        account = asked_account(request, self._context.accounts)
        manager = self._context.accounts[account]
        await manager.logout()
        if is_navigation(request.header):
            return redirect("/-/", 303)
        return as_json(manager.status().as_json(self._context.clock.now()))

    def _account(self, request: Request) -> str:
        """Return the account that is asked for, which somebody can log in to."""
        name = asked_account(request, self._context.accounts)
        problem = self._context.accounts[name].login_problem()
        if problem is not None:
            raise problem
        return name

    def _redirect_uri(self, account: str) -> SplitResult:
        return urlsplit(self._context.config.accounts[account].oauth.redirect_uri)

    def _authorization_url(self, login: Login) -> str:
        oauth = self._context.config.accounts[login.account].oauth
        return build_authorization_url(oauth, login.state, self._logins.code_challenge(login))

    def _with_cookie(self, request: Request, login: Login, answer: Answer) -> Answer:
        own = self._redirect_uri(login.account)
        return cookies.put(
            answer,
            request.cookies,
            self._logins,
            login,
            is_https=own.scheme == "https",
            is_own_name=_is_name_of(own, request),
        )

    def _ended(
        self,
        request: Request,
        login: Login | None,
        failure: LoginFailure | None,
        answer: Answer,
    ) -> Answer:
        """Have the browser keep how its login came out, if it is over."""
        if login is not None and login.outcome is None:
            if failure is None:
                return cookies.end(answer, request.cookies, self._logins, login, SUCCEEDED)
            if failure.account is not None and not isinstance(failure, OtherUser):
                return cookies.end(answer, request.cookies, self._logins, login, failure.reason)
        return answer

    def _failure_answer(
        self, request: Request, fields: dict[str, str], failure: LoginFailure, *, by_page: bool
    ) -> Answer:
        if not by_page:
            return _problem_json(failure)
        pending = self._logins.pending(request.cookies)
        if "url" not in fields or failure.account is not None or not pending:
            return _problem_page(failure)
        # Nothing was consumed: the field stays, for another try with the login under way.
        answer = self._paste_page(pending[-1], failure)
        return _as_problem(answer, failure)

    def _paste_page(self, login: Login, failure: LoginFailure | None = None) -> Answer:
        return as_page(
            render(
                "login/begin.html",
                url=self._authorization_url(login),
                redirect_uri=self._redirect_uri(login.account).geturl(),
                minutes=LIFETIME // 60,
                failure=failure,
            )
        )


def _is_name_of(uri: SplitResult, request: Request) -> bool:
    try:
        asked = urlsplit(f"//{request.header('host') or ''}").hostname
    except ValueError:
        asked = None
    return not asked or asked == uri.hostname


def _problem_page(failure: LoginFailure) -> Answer:
    return _as_problem(as_page(failure_page(failure)), failure)


def _as_problem(answer: Answer, failure: LoginFailure) -> Answer:
    problem = failure.problem
    return replace(
        answer, status=problem.status, headers=[*answer.headers, *problem_headers(problem)]
    )


def _problem_json(failure: LoginFailure) -> Answer:
    body = json.loads(problem_body(failure.problem))
    body["login_ended"] = failure.finished or failure.reported
    if isinstance(failure, OtherUser):
        body["question"] = failure.name
    text = json.dumps(body, ensure_ascii=False)
    return _as_problem(as_text(text, "application/problem+json"), failure)
