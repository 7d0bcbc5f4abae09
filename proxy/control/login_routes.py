"""The login's routes: begin, callback, paste-back, logout.

A code is exchanged at once and exactly once (rules of the grant, 2); whatever arrives that belongs
to no login of this browser consumes nothing. No parameter redirects anywhere but to the
authorization endpoint and, once, to the redirect URI's own origin.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Mapping
from urllib.parse import quote, urlsplit

from aiohttp import web

from proxy.control.context import Admit, ControlContext
from proxy.control.identity import Identities
from proxy.control.login import HOST_PREFIX, LIFETIME, MOST_LOGINS, Login, Logins
from proxy.control.login_pages import (
    LoginFailure,
    LoginNews,
    OtherUser,
    Success,
    begin_page,
    exchange_failure,
    failure_page,
    provider_error,
    refused,
    replace_page,
    success_page,
)
from proxy.control.replacing import Held, Replacements
from proxy.control.requests import account_name, is_navigation, read_body, read_fields
from proxy.errors import Problem, ProxyError
from proxy.grant.oauth import Callback, TokenSet, build_authorization_url, parse_callback
from proxy.problems import problem_body, problem_headers

logger = logging.getLogger(__name__)

# In the query of a login that was already sent to the redirect URI's own origin.
MOVED = "moved"
PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
LOGIN_URL = "/-/login"


class LoginRoutes:
    """The handlers of everything that begins, ends or forgets a grant."""

    def __init__(
        self, context: ControlContext, logins: Logins, identities: Identities, news: LoginNews
    ) -> None:
        self._context = context
        self._oauth = context.config.oauth
        self._logins = logins
        self._identities = identities
        self._news = news
        self._replacements = Replacements(context.clock)
        self._own = urlsplit(self._oauth.redirect_uri)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Send the browser to the authorization endpoint (GET /-/login)."""
        account = account_name(request, self._context.accounts)
        moved = self._own_origin(request, account)
        if moved is not None:
            return _redirect(moved)
        login = self._logins.begin(account)
        return self._with_cookie(request, login, _redirect(self._authorization_url(login)))

    async def begin_here(self, request: web.Request) -> web.StreamResponse:
        """Begin a login whose consent is given elsewhere (POST /-/login)."""
        account = account_name(request, self._context.accounts)
        await read_body(request)
        login = self._logins.begin(account)
        url = self._authorization_url(login)
        if is_navigation(request.headers):
            page = begin_page(url, self._oauth.redirect_uri, LIFETIME // 60)
            answer = _page(page)
        else:
            answer = web.json_response({"authorization_url": url, "expires_in": LIFETIME})
        return self._with_cookie(request, login, answer)

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """Take the code or the error (GET of the redirect URI's path); always answers a page."""
        if request.method != "GET":
            raise Problem(
                "method_not_allowed",
                "The callback is for the browser that comes back from SmartRecruiters.",
                headers=[("Allow", "GET")],
            )
        if any("prefetch" in request.headers.get(name, "").lower() for name in PREFETCH_HEADERS):
            raise Problem(
                "bad_request",
                "The callback is not prefetched: it would spend the code.",
                status=503,
            )
        login: Login | None = None
        try:
            callback = self._parse(request.rel_url.raw_query_string)
            login = self._login_of(request, callback)
            answer = _page(success_page(await self._finish(login, callback)))
        except LoginFailure as failure:
            self._tell(request, failure)
            answer = _failure_page(failure)
        return self._without_cookie(request, login, answer)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Take the final redirect URL as text (POST /-/login/complete)."""
        fields, is_form = await read_fields(request)
        as_page = is_form or is_navigation(request.headers)
        login: Login | None = None
        try:
            if "replace" in fields or "keep" in fields:
                success = await self._decide(fields)
            else:
                callback = self._parse(self._pasted_query(fields.get("url", "")))
                login = self._login_of(request, callback)
                success = await self._finish(login, callback)
        except LoginFailure as failure:
            self._tell(request, failure)
            answer = _failure_page(failure) if as_page else self._failure_json(failure)
            return self._without_cookie(request, login, answer)
        if as_page:
            answer = _page(success_page(success))
        else:
            status = self._context.accounts[success.account].status()
            account = status.as_json(self._context.clock.now())
            answer = web.json_response({**account, "owner": success.owner})
        return self._without_cookie(request, login, answer)

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """Forget the grant (POST /-/logout)."""
        account = account_name(request, self._context.accounts)
        await read_body(request)
        manager = self._context.accounts[account]
        await manager.logout()
        if is_navigation(request.headers):
            return web.Response(status=303, headers={"Location": "/-/"})
        return web.json_response(manager.status().as_json(self._context.clock.now()))

    def _own_origin(self, request: web.Request, account: str) -> str | None:
        """Return where the login has to begin, if the caller used another name for us.

        The cookie binds to the host name (of any port), so the name must be the redirect URI's, or
        the callback would come without it. Once only: a front may give us a name of its own.
        """
        if MOVED in request.query or self._is_own_name(request):
            return None
        named = "" if account == "default" else f"account={quote(account, safe='')}&"
        return f"{self._own.scheme}://{self._own.netloc}{LOGIN_URL}?{named}{MOVED}=1"

    def _is_own_name(self, request: web.Request) -> bool:
        try:
            asked = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        except ValueError:
            asked = None
        return not asked or asked == self._own.hostname

    def _authorization_url(self, login: Login) -> str:
        challenge = self._logins.code_challenge(login)
        return build_authorization_url(self._oauth, login.state, challenge)

    def _pasted_query(self, text: str) -> str:
        """Return the query of a pasted address, if it is an address of our redirect URI."""
        # The vendor's own decline example has raw spaces in it; browsers show them decoded.
        url = " ".join(text.split()).strip("<>\"'")
        try:
            parts = urlsplit(url)
            place = parts.scheme, parts.hostname, parts.port, parts.path
        except ValueError:
            place = None
            parts = urlsplit("")
        own = self._own.scheme, self._own.hostname, self._own.port, self._own.path
        if place != own or parts.username is not None:
            raise refused(
                "That is not the final address",
                f"Paste the whole address that begins with {self._oauth.redirect_uri}, with its "
                "code and state; a code alone is not enough. Nothing was used up.",
                "wrong_address",
            )
        return parts.query.replace(" ", "%20")

    def _parse(self, query: str) -> Callback:
        try:
            return parse_callback(query)
        except ValueError:
            raise refused(
                "The answer is malformed",
                "A parameter of the answer came twice, or cannot be read. Nothing was exchanged.",
                "malformed_callback",
            ) from None

    def _login_of(self, request: web.Request, callback: Callback) -> Login:
        """Return the login that a callback belongs to; raises, and consumes nothing, otherwise."""
        if callback.iss is not None and not self._is_our_issuer(callback.iss):
            # RFC 9207: an answer of another authorization server than the one asked.
            raise refused(
                "The answer is another server's",
                "The answer names an issuer that this proxy did not ask. Nothing was exchanged.",
                "foreign_issuer",
            )
        if callback.error is not None and callback.state is None:
            raise provider_error(callback.error, callback.error_description)
        login = self._logins.match(request.cookies, callback.state or "")
        if login is None or login.account not in self._context.accounts:
            raise refused(
                "No login here is waiting for this",
                "The answer belongs to no login that this browser began in the last ten minutes, "
                "or it was used already. Nothing was exchanged, and a login under way goes on. If "
                "you began in another browser, copy the address of this page and paste it there.",
                "unknown_state",
            )
        if callback.error is None and callback.code is None:
            raise refused(
                "The answer has no code",
                "SmartRecruiters sent neither a code nor an error. Nothing was exchanged.",
                "no_code",
            )
        return login

    async def _finish(self, login: Login, callback: Callback) -> Success:
        self._logins.consume(login)
        if callback.error is not None:
            raise provider_error(callback.error, callback.error_description, finished=True)
        account = login.account
        if not self._identities.has_grant(account):
            # Nothing is replaced, so it is stored before anything else.
            failure = await self._exchange(login, callback)
            if failure is not None:
                raise failure
            return Success(account, await self._identities.ask_and_keep(account))
        # The question about the present owner goes out first, with the token that is present, and
        # keeps the exchange from nothing: the code lives 30 seconds.
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self._identities.ask(account))
            exchange = group.create_task(
                self._exchange(login, callback, lambda fresh: self._admit(account, fresh, asked))
            )
        failure = exchange.result()
        if failure is not None:
            raise failure
        return Success(account, self._identities.known(account), True, asked.result())

    async def _admit(
        self, account: str, fresh: TokenSet, asked: Awaitable[str | None]
    ) -> str | None:
        """Return whose new tokens are; raise where the grant that is here is another user's."""
        owner = await self._context.identify_token(fresh.access_token)
        previous = await asked
        if owner is not None and previous is not None and owner != previous:
            held = Held(account, fresh, owner, previous)
            raise OtherUser(held, self._replacements.hold(held))
        return owner

    async def _decide(self, fields: Mapping[str, str]) -> Success:
        """Take the answer to the question whose grant stays."""
        held = self._replacements.take(fields.get("replace") or fields.get("keep") or "")
        if held is None:
            raise refused(
                "Nothing waits for this answer",
                "The question is older than ten minutes, was answered already, or was put by "
                "another process. Nothing was changed; log in again.",
                "unknown_question",
            )
        if "replace" not in fields:
            raise refused(
                "Nothing was changed",
                f"The grant of {held.previous} stays; what {held.owner} granted is forgotten.",
                "kept",
                finished=True,
            )
        try:
            await self._context.accounts[held.account].take(held.fresh, held.owner)
        except ProxyError as error:
            raise self._failed(held.account, error) from None
        logger.warning("grant_replaced account=%s", held.account)
        return Success(held.account, held.owner, True, held.previous)

    async def _exchange(
        self, login: Login, callback: Callback, admit: Admit | None = None
    ) -> LoginFailure | None:
        assert callback.code is not None  # noqa: S101 - _login_of has seen to it
        verifier = self._logins.code_verifier(login)
        try:
            await self._context.accounts[login.account].exchange(callback.code, verifier, admit)
        except OtherUser as question:
            logger.warning("login_by_other_user account=%s", login.account)
            return question
        except ProxyError as error:
            return self._failed(login.account, error)
        logger.info("login_succeeded account=%s", login.account)
        return None

    def _failed(self, account: str, error: ProxyError) -> LoginFailure:
        failure = exchange_failure(error)
        failure.account = account
        problem = failure.problem
        logger.warning(
            "login_failed account=%s code=%s reason=%s", account, problem.code, problem.reason
        )
        return failure

    def _tell(self, request: web.Request, failure: LoginFailure) -> None:
        """Tell whoever waits for a login that one came to its end without a grant.

        A decline may come without a state; the login it belongs to is one of this browser's, if it
        has one at all. What belongs to no login is noise, and ends nobody's waiting.
        """
        if isinstance(failure, OtherUser):
            return
        declined = failure.reported and bool(self._logins.open(request.cookies))
        if failure.finished or declined:
            self._news.tell(failure)

    def _is_our_issuer(self, issuer: str) -> bool:
        endpoints = self._oauth.authorization_endpoint, self._oauth.token_endpoint
        own = [urlsplit(endpoint) for endpoint in endpoints]
        try:
            theirs = urlsplit(issuer)
        except ValueError:
            return False
        return any((o.scheme, o.netloc) == (theirs.scheme, theirs.netloc) for o in own)

    def _with_cookie(
        self, request: web.Request, login: Login, answer: web.Response
    ) -> web.Response:
        pending = self._logins.open(request.cookies)
        for old in pending[: max(0, len(pending) - MOST_LOGINS + 1)]:
            self._without_cookie(request, old, answer)
        is_secure = self._own.scheme == "https"
        # A browser takes the prefix only over TLS, which is in front of us: by its name for us.
        prefix = HOST_PREFIX if is_secure and self._is_own_name(request) else ""
        self._set_cookie(
            answer, prefix + login.cookie_name, self._logins.seal(login), LIFETIME, is_secure
        )
        return answer

    def _without_cookie(
        self, request: web.Request, login: Login | None, answer: web.Response
    ) -> web.Response:
        for prefix in (HOST_PREFIX, ""):
            if login is not None and prefix + login.cookie_name in request.cookies:
                self._set_cookie(answer, prefix + login.cookie_name, "", 0, bool(prefix))
        return answer

    @staticmethod
    def _set_cookie(
        answer: web.Response, name: str, value: str, max_age: int, is_secure: bool
    ) -> None:
        answer.set_cookie(
            name, value, max_age=max_age, path="/", secure=is_secure, httponly=True, samesite="Lax"
        )

    def _failure_json(self, failure: LoginFailure) -> web.Response:
        problem = failure.problem
        body = json.loads(problem_body(problem))
        body["login_ended"] = failure.finished or failure.reported
        if isinstance(failure, OtherUser):
            body["question"] = failure.name
        return web.Response(
            status=problem.status,
            body=json.dumps(body, ensure_ascii=False).encode(),
            content_type="application/problem+json",
            headers=problem_headers(problem),
        )


def _redirect(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url})


def _page(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="text/html", charset="utf-8")


def _failure_page(failure: LoginFailure) -> web.Response:
    page = replace_page(failure) if isinstance(failure, OtherUser) else failure_page(failure)
    answer = _page(page, failure.problem.status)
    answer.headers.extend(problem_headers(failure.problem))
    return answer
