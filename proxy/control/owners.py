"""Whose grant it is, where the upstream says so: asked once, and kept with the grant.

Two owners are told apart by these names alone; where none is told, that is said.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from proxy.control.context import ControlContext
from proxy.errors import ProxyError

logger = logging.getLogger(__name__)

# An upstream that gives no name (no scope, no network) is not asked at every opening of the page.
ASK_AGAIN = 60


class Owners:
    """The names of the accounts' owners; each is kept with its grant."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context
        self._asked_at: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[str | None]] = {}
        self._listeners: set[Callable[[], None]] = set()

    def known(self, account: str) -> str | None:
        """Return the owner's name if it is known already."""
        return self._context.accounts[account].status().subject

    def has_grant(self, account: str) -> bool:
        """Return whether the account has a grant at all."""
        return self._context.accounts[account].status().state != "login_required"

    def _has_token(self, account: str) -> bool:
        # Asking must not cause a refresh: beside an exchange it could bring the new owner's name
        # for the old one's, and opening the page is no traffic.
        tokens = self._context.accounts[account].status().tokens
        return tokens is not None and tokens.expires_at > self._context.clock.now()

    async def ask(self, account: str) -> str | None:
        """Return the owner's name, asking the upstream where there is a valid token to ask with."""
        name = self.known(account)
        if name is not None or not self._has_token(account):
            return name
        self._asked_at[account] = self._context.clock.monotonic()
        return await self._context.owner_of(account)

    async def ask_and_keep(self, account: str) -> str | None:
        """Ask, and have the name kept with the grant."""
        name = await self.ask(account)
        if name is not None and name != self.known(account):
            try:
                await self._context.accounts[account].set_subject(name)
            except ProxyError:
                logger.warning("owner_not_stored account=%s", account)
        return name

    def ask_soon(self, account: str) -> None:
        """Ask without waiting, if the name is unknown; listeners are called with an answer."""
        asked_at = self._asked_at.get(account, -math.inf)
        recent = self._context.clock.monotonic() - asked_at <= ASK_AGAIN
        if recent or account in self._asking or self.known(account) or not self._has_token(account):
            return
        task = asyncio.get_running_loop().create_task(self.ask_and_keep(account))
        self._asking[account] = task
        task.add_done_callback(lambda done: self._answered(account, done))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when a name becomes known."""
        self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    def close(self) -> None:
        """Stop asking."""
        for task in self._asking.values():
            task.cancel()

    def _answered(self, account: str, task: asyncio.Task[str | None]) -> None:
        del self._asking[account]
        if not task.cancelled() and task.exception() is None and task.result() is not None:
            for listener in list(self._listeners):
                listener()
