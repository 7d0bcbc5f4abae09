"""Routes: whose a target is, the upstream's or ours, by its path alone; and who may have ours."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from proxy.gateway.guards.targets import origin_form


class Route(StrEnum):
    """Whose a target is: the upstream's, or which of our own."""

    FORWARD = "forward"
    TOKEN = "token"  # noqa: S105 - where a tool asks for a token itself
    LIVE = "live"
    READY = "ready"
    METRICS = "metrics"
    CALLBACK = "callback"
    PAGE = "page"
    LOGIN = "login"
    OPEN = "open"  # under /-/, for every caller with a key
    CONTROL = "control"


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
FORWARD: Final = Route.FORWARD
CONTROL: Final = Route.CONTROL
OWN_PREFIX: Final = b"/-/"
OWN_PATHS = {
    b"/-/": Route.PAGE,
    b"/-/live": Route.LIVE,
    b"/-/ready": Route.READY,
    b"/-/metrics": Route.METRICS,
    b"/-/login": Route.LOGIN,
    b"/-/status": Route.OPEN,
    b"/-/postman.json": Route.OPEN,
    b"/-/postman-collection.json": Route.OPEN,
}
TOKEN_PATH = b"/identity/oauth/token"
# Probes use addresses, and learn nothing here that a port scan would not show.
ANY_HOST = frozenset({Route.LIVE, Route.READY})
# Probes and scrapers have no key; the callback's key is its `state`; a tool that asks for a token
# brings its key in the request's body.
NO_KEY = frozenset({Route.LIVE, Route.READY, Route.METRICS, Route.CALLBACK, Route.TOKEN})
# Where a link or a redirect of another site may lead a person: none of them acts on a plain GET.
NAVIGABLE = frozenset({Route.CALLBACK, Route.PAGE, Route.LOGIN})
# Once a key is an administrator's, only such a key gets these; what is not listed above is among
# them, so that a new route is closed until somebody opens it.
FOR_ADMINS = frozenset({Route.PAGE, Route.LOGIN, Route.CONTROL})


class Routes:
    """Tells a target's route by its path."""

    def __init__(self, callbacks: Iterable[bytes]) -> None:
        """`callbacks` are the paths of the accounts' redirect URIs."""
        self._known = {
            TOKEN_PATH: Route.TOKEN, **OWN_PATHS, **dict.fromkeys(callbacks, Route.CALLBACK)
        }  # fmt: skip

    def of(self, path: bytes) -> Route:
        """Return the route of a path, which may be an absolute form's: with its authority."""
        route = self._known.get(path)
        if route is not None:
            return route
        if path.startswith(OWN_PREFIX):
            return CONTROL
        if path.startswith(b"/"):
            return FORWARD
        plain = origin_form(path)
        return FORWARD if plain is path else self.of(plain)
