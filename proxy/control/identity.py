"""Whose grant it is, where the upstream tells: asked once in a while, kept in memory only."""

import asyncio
import json
from collections.abc import Callable

from proxy.control.context import ControlContext

# Another process may have logged in as somebody else: a name is not believed for longer.
BELIEVED = 600
# An upstream that does not tell (no scope, no network) is not asked at every look at the page.
ASK_AGAIN = 60
LONGEST_NAME = 200


def parse_owner(body: bytes) -> str | None:
    """Read a user of the API (`GET /users/me`) as a name for people, or None if it is none."""
    try:
        user = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(user, dict):
        return None
    texts = {key: value.strip() for key, value in user.items() if isinstance(value, str)}
    name = " ".join(filter(None, (texts.get("firstName"), texts.get("lastName"))))
    email = texts.get("email") or texts.get("id")
    if name and email:
        return f"{name} ({email})"[:LONGEST_NAME]
    return (name or email or "")[:LONGEST_NAME] or None


class Identities:
    """The names of the accounts' owners, as far as known."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context
        self._answers: dict[str, tuple[str | None, float]] = {}
        self._asking: dict[str, asyncio.Task[str | None]] = {}
        self._listeners: set[Callable[[], None]] = set()

    def known(self, account: str) -> str | None:
        """Return the owner's name if it is known already."""
        name, asked_at = self._answers.get(account, (None, 0.0))
        return name if self._context.clock.monotonic() - asked_at <= BELIEVED else None

    async def ask(self, account: str) -> str | None:
        """Return the owner's name, asking the upstream where there is a grant to ask with."""
        name = self.known(account)
        if name is None and self.has_grant(account):
            name = await self._context.identify(account)
            self._answers[account] = name, self._context.clock.monotonic()
        return name

    def ask_soon(self, account: str) -> None:
        """Ask without waiting, if the name is unknown; listeners hear of an answer."""
        _, asked_at = self._answers.get(account, (None, -ASK_AGAIN - 1.0))
        recent = self._context.clock.monotonic() - asked_at <= ASK_AGAIN
        if account in self._asking or recent or self.known(account) is not None:
            return
        task = asyncio.get_running_loop().create_task(self.ask(account))
        self._asking[account] = task
        task.add_done_callback(lambda done: self._answered(account, done))

    def has_grant(self, account: str) -> bool:
        """Tell whether the account has a grant at all."""
        now = self._context.clock.now()
        state: object = self._context.accounts[account].status().as_json(now)["state"]
        return state != "login_required"

    def forget(self, account: str) -> None:
        """Forget the name: the grant is another now, or gone."""
        self._answers.pop(account, None)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when a name becomes known."""
        self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    async def close(self, _: object = None) -> None:
        """Stop asking."""
        for task in self._asking.values():
            task.cancel()

    def _answered(self, account: str, task: asyncio.Task[str | None]) -> None:
        del self._asking[account]
        if not task.cancelled() and task.exception() is None and task.result() is not None:
            for listener in list(self._listeners):
                listener()
