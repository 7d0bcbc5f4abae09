"""Finds out whose grant it is, by one read-only call to the upstream with its own credential.

A grant without the scope for that call is no error: its owner stays unknown.
"""

import json
import logging
from collections.abc import Mapping

from proxy.errors import ProxyError
from proxy.grant.live import bearer
from proxy.grant.source import Account
from proxy.grant.wire import Wire, WireError
from proxy.system.dialing import Dialer, DialError
from proxy.system.secret import Secret

logger = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds: a person is looking at the page that waits for it
LONGEST_NAME = 200


class OwnerLookup:
    """Asks `GET /users/me`."""

    def __init__(self, url: str, accounts: Mapping[str, Account], dialer: Dialer) -> None:
        self._accounts = accounts
        self._wire = Wire(f"{url.rstrip('/')}/users/me", dialer, TIMEOUT)

    async def __call__(self, account: str) -> str | None:
        """Return the owner's name for people, or None where the upstream does not tell."""
        try:
            credential = await self._accounts[account].credential()
        except ProxyError as error:
            logger.info("owner_unknown account=%s error=%s", account, type(error).__name__)
            return None
        return await self._ask(credential.lines)

    async def of_token(self, token: Secret) -> str | None:
        """Return the name of the owner of a token that is not stored yet."""
        return await self._ask(bearer(token, 0).lines)

    async def _ask(self, lines: bytes) -> str | None:
        name, _, value = lines.decode("ascii").strip().partition(": ")
        try:
            answer = await self._wire.send("GET", {name: value, "Accept": "application/json"})
        except (DialError, WireError) as error:
            logger.info("owner_unknown error=%s", error.args[0])
            return None
        return parse_owner(answer.body) if answer.status == 200 else None


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
