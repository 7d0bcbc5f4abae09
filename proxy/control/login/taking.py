"""From the answer of the authorization endpoint to a grant, or to a failure that says why not.

A code is exchanged at once and exactly once; what belongs to no login of this browser consumes
nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from urllib.parse import urlsplit

from proxy.control.context import Admit, ControlContext
from proxy.control.login.outcomes import (
    LoginFailure,
    LoginNews,
    OtherUser,
    Success,
    exchange_failure,
    provider_error,
    refused,
)
from proxy.control.login.pasted import pasted_query
from proxy.control.login.pending import Login, Logins
from proxy.control.login.replacing import Held, Replacements
from proxy.control.login.taken import Ending, Taken, over
from proxy.control.owners import Owners
from proxy.errors import ProxyError
from proxy.grant.oauth import KNOWN_ERRORS, Callback, TokenSet, parse_callback

logger = logging.getLogger(__name__)


class Taking:
    """Takes callbacks, pasted addresses, and answers to the question whose grant stays."""

    def __init__(
        self, context: ControlContext, logins: Logins, owners: Owners, news: LoginNews
    ) -> None:
        self._context = context
        self._logins = logins
        self._owners = owners
        self._news = news
        self._taken = Taken(context.clock)
        self._replacements = Replacements(context.clock)

    def match(self, cookies: Mapping[str, str], query: str) -> Login | None:
        """Return this browser's login that an answer belongs to, without taking anything."""
        try:
            state = parse_callback(query).state
        except ValueError:
            return None
        return self._logins.match(cookies, state or "")

    def pasted(self, text: str) -> str:
        """Return the query of a pasted address; raises LoginFailure, and consumes nothing."""
        uris = {account.oauth.redirect_uri for account in self._context.config.accounts.values()}
        for uri in uris:
            query = pasted_query(text, uri)
            if query is not None:
                return query
        raise refused(
            "That is not the final address",
            f"Paste the whole address that begins with {' or '.join(sorted(uris))}, with its "
            "code and state; a code alone is not enough. Nothing was used up.",
            "wrong_address",
        )

    async def take(self, cookies: Mapping[str, str], query: str) -> Success:
        """Take an answer; raises LoginFailure."""
        try:
            callback = _parse(query)
            if callback.state is not None:
                await self._taken.check(callback.state)
            login = self._login_of(cookies, callback)
            if login.outcome is not None:
                raise over(login)
        except LoginFailure as failure:
            self._tell(cookies, failure)
            raise
        self._taken.begin(login.state)
        ending: Ending = exchange_failure(ProxyError())  # what nobody foresaw
        try:
            ending = success = await self._finish(login, callback)
        except LoginFailure as failure:
            ending = failure
            self._tell(cookies, failure)
            raise
        finally:
            self._taken.end(login.state, ending)
        return success

    async def decide(self, fields: Mapping[str, str]) -> Success:
        """Take the answer to the question whose grant stays; raises LoginFailure."""
        held = self._replacements.take(fields.get("replace") or fields.get("keep") or "")
        if held is None:
            raise refused(
                "Nothing waits for this answer",
                "The question is older than ten minutes, was answered already, or was put by "
                "another process. Nothing was changed; log in again.",
                "unknown_question",
            )
        if "replace" not in fields:
            failure = refused(
                "Nothing was changed",
                f"The grant of {held.previous} stays; what {held.new_owner} granted is forgotten.",
                "kept",
                finished=True,
            )
            self._news.tell(failure)
            raise failure
        try:
            await self._context.accounts[held.account].take(held.fresh, held.owner)
        except ProxyError as error:
            failure = self._failed(held.account, error)
            self._news.tell(failure)
            raise failure from None
        logger.warning("grant_replaced account=%s", held.account)
        return Success(held.account, held.owner, True, held.previous)

    def _login_of(self, cookies: Mapping[str, str], callback: Callback) -> Login:
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
        login = self._logins.match(cookies, callback.state or "")
        if login is None or login.account not in self._context.accounts:
            raise refused(
                "No login here is waiting for this",
                "The answer belongs to no login that this browser began in the last ten minutes, "
                "or to one that gave way to many newer ones. Nothing was exchanged, and a login "
                "under way goes on. If you began in another browser, copy the address of this page "
                "and paste it there.",
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
        account = login.account
        if callback.error is not None:
            failure = provider_error(callback.error, callback.error_description, finished=True)
            failure.account = account
            raise failure
        if not self._owners.has_grant(account):
            # Nothing is replaced, so it is stored before anything else.
            ended = await self._exchange(login, callback)
            if ended is not None:
                raise ended
            return Success(account, await self._owners.ask_and_keep(account))
        # Ask for the current owner in parallel, with the current token; do not delay the code
        # exchange: the code lives 30 seconds.
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self._owners.ask(account))
            exchange = group.create_task(
                self._exchange(login, callback, lambda fresh: self._admit(account, fresh, asked))
            )
        ended = exchange.result()
        if ended is not None:
            raise ended
        return Success(account, self._owners.known(account), True, asked.result())

    async def _admit(
        self, account: str, fresh: TokenSet, asked: Awaitable[str | None]
    ) -> str | None:
        """Return whose new tokens are; raise where the grant that is here is another user's."""
        owner = await self._context.owner_of_token(fresh.access_token)
        previous = await asked
        # Where the new owner is not known, the known one's grant is not replaced unasked either.
        if previous is not None and owner != previous:
            held = Held(account, fresh, owner, previous)
            raise OtherUser(held, self._replacements.hold(held))
        return owner

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

    def _tell(self, cookies: Mapping[str, str], failure: LoginFailure) -> None:
        """Notify whoever waits for a login that one came to its end without a grant.

        A decline may come without a state; the login it belongs to is one of this browser's, if it
        has one at all. What belongs to no login is noise, and ends nobody's waiting.
        """
        if failure.is_repeated or isinstance(failure, OtherUser):
            return
        pending = self._logins.pending(cookies)
        if failure.reported and failure.account is None and pending:
            failure.account = pending[-1].account
        if failure.reported and failure.account is not None:
            # The word is the provider's: one that the standard does not know could be anything.
            word = failure.reason if failure.reason in KNOWN_ERRORS else "other"
            logger.warning("login_declined account=%s error=%s", failure.account, word)
        if failure.account is not None:
            self._news.tell(failure)

    def _is_our_issuer(self, issuer: str) -> bool:
        apps = [account.oauth for account in self._context.config.accounts.values()]
        endpoints = [app.authorization_endpoint for app in apps]
        endpoints += [app.token_endpoint for app in apps]
        try:
            return urlsplit(issuer)[:2] in {urlsplit(endpoint)[:2] for endpoint in endpoints}
        except ValueError:
            return False


def _parse(query: str) -> Callback:
    try:
        return parse_callback(query)
    except ValueError:
        raise refused(
            "The answer is malformed",
            "A parameter of the answer came twice, or cannot be read. Nothing was exchanged.",
            "malformed_callback",
        ) from None
