"""Routes: whose a target is, the upstream's or ours, by its path alone; and who may have ours."""

from enum import StrEnum

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
FORWARD = Route.FORWARD
OWN_PREFIX = b"/-/"
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


def classify(target: bytes, callbacks: tuple[bytes, ...]) -> Route:
    """Return whose a target is; `callbacks` are the paths of the accounts' redirect URIs."""
    if target.startswith(callbacks) and target.partition(b"?")[0] in callbacks:
        return Route.CALLBACK
    if target.startswith(OWN_PREFIX):
        return OWN_PATHS.get(target.partition(b"?")[0], Route.CONTROL)
    if target.startswith(TOKEN_PATH) and target.partition(b"?")[0] == TOKEN_PATH:
        return Route.TOKEN
    if target.startswith(b"/"):
        return FORWARD
    plain = origin_form(target)
    return FORWARD if plain is target else classify(plain, callbacks)
