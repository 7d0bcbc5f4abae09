"""The callbacks that were taken, and how each login came out.

A code is never presented twice (RFC 6749 section 10.5 has servers revoke the grant then), so a
callback that is opened again, by a reload, from the history or in another tab, is answered with the
outcome of the first time. While that is still under way, the second waits for it.
"""

import asyncio

from cachetools import TTLCache

from proxy.control.login.outcomes import LoginFailure, OtherUser, Success, refused
from proxy.control.login.pending import LIFETIME, SUCCEEDED, Login, digest
from proxy.errors import Problem
from proxy.system.clock import Clock

MOST = 4096
# How long a second request waits for an exchange that is under way.
PATIENCE = 60.0

Ending = Success | LoginFailure


class Taken:
    """What this process took, for as long as its states would be good."""

    def __init__(self, clock: Clock) -> None:
        self._endings: TTLCache[str, asyncio.Future[Ending]] = TTLCache(
            maxsize=MOST, ttl=LIFETIME + 60, timer=clock.monotonic
        )

    async def check(self, state: str) -> None:
        """Raise how the login of this state came out, if its callback was taken before."""
        ending = self._endings.get(digest(state))
        if ending is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                known = await asyncio.shield(ending)
        except TimeoutError:
            raise refused(
                "This login is under way",
                "Its code is being exchanged since this address was opened first. The status page "
                "shows what comes of it.",
                "already_taken",
            ) from None
        raise _again(known)

    def begin(self, state: str) -> None:
        """Note that the callback of this state is taken now."""
        self._endings[digest(state)] = asyncio.get_running_loop().create_future()

    def end(self, state: str, ending: Ending) -> None:
        """Note how it came out."""
        future = self._endings.get(digest(state))
        if future is not None and not future.done():
            future.set_result(ending)


def over(login: Login) -> LoginFailure:
    """Return how a login came out that its browser remembers to be over."""
    if login.outcome == SUCCEEDED:
        return _again(Success(login.account, None))
    return _again(
        refused(
            "The login did not succeed",
            "SmartRecruiters' answer was taken, and brought no grant. Start again.",
            login.outcome or "",
            account=login.account,
        )
    )


def _again(ending: Ending) -> LoginFailure:
    if isinstance(ending, OtherUser):
        return ending  # the question still waits for its answer
    if isinstance(ending, Success):
        problem = Problem(
            "bad_request",
            "This address was opened before, and the login succeeded then. Nothing was sent again.",
            status=409,
            reason="already_taken",
        )
        failure = LoginFailure("You are logged in already", problem, account=ending.account)
    else:
        problem = Problem(
            ending.problem.code,
            f"{ending.problem.detail} This address was opened before; nothing was sent again.",
            status=ending.problem.status,
            reason=ending.problem.reason,
        )
        failure = LoginFailure(ending.heading, problem, account=ending.account)
    failure.is_repeated = True
    return failure
