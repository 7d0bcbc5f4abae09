"""Writes audit lines: who acted on a grant, from where, and how it came out."""

import re
from collections.abc import Awaitable, Callable, Mapping, Set

from proxy.errors import Problem
from proxy.messages import Answer, Request, Stream
from proxy.telemetry.audit import audit

Handler = Callable[[Request], Awaitable[Answer | Stream]]

ACTIONS: Mapping[tuple[str, str], str] = {
    ("POST", "/-/login/complete"): "login",
    ("POST", "/-/logout"): "logout",
    ("POST", "/-/reload"): "reload",
}
REPLAY = re.compile(r"/-/requests/[^/]+/replay")
CODE = re.compile(r'details="([a-z_]+)"')


def auditing(handler: Handler, callback_paths: Set[str]) -> Handler:
    """Wrap whoever answers every request; the callback ends a login as well."""
    actions = {**ACTIONS, **{("GET", path): "login" for path in callback_paths}}

    def action_of(request: Request) -> str | None:
        if request.method == "POST" and REPLAY.fullmatch(request.path):
            return "replay"
        return actions.get((request.method, request.path))

    async def audited(request: Request) -> Answer | Stream:
        action = action_of(request)
        if action is None:
            return await handler(request)
        try:
            answer = await handler(request)
        except Exception as error:
            outcome = error.code if isinstance(error, Problem) else "internal_error"
            audit(action, request.caller, request.address, outcome)
            raise
        audit(action, request.caller, request.address, _outcome(answer))
        return answer

    return audited


def _outcome(answer: Answer | Stream) -> str:
    if isinstance(answer, Stream) or answer.status < 400:
        return "ok"
    code = CODE.search(dict(answer.headers).get("Proxy-Status", ""))
    return code[1] if code else str(answer.status)
