"""Tells the audit who acted on a grant, from where, and how it came out."""

import re
from collections.abc import Awaitable, Callable, Mapping, Set
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.telemetry.audit import audit

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACTIONS: Mapping[tuple[str, str], str] = {
    ("POST", "/-/login/complete"): "login",
    ("POST", "/-/logout"): "logout",
    ("POST", "/-/reload"): "reload",
}
REPLAY = re.compile(r"/-/requests/[^/]+/replay")
CALLER = "X-SRProxy-Caller"
CODE = re.compile(r'details="([a-z_]+)"')


def auditing(callback_paths: Set[str]) -> Middleware:
    """Build the middleware; the callback ends a login as well."""
    actions = {**ACTIONS, **{("GET", path): "login" for path in callback_paths}}

    def action_of(request: web.Request) -> str | None:
        if request.method == "POST" and REPLAY.fullmatch(request.path):
            return "replay"
        return actions.get((request.method, request.path))

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        action = action_of(request)
        if action is None:
            return await handler(request)
        answer = await handler(request)
        # Set by the front, which has looked at the key.
        who = request.headers.get(CALLER)
        audit(action, who and unquote(who), request.remote or None, _outcome(answer))
        return answer

    return tell


def _outcome(answer: web.StreamResponse) -> str:
    if answer.status < 400:
        return "ok"
    code = CODE.search(answer.headers.get("Proxy-Status", ""))
    return code[1] if code else str(answer.status)
