"""One operation that the sandbox answers, and what the classes of handlers share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from proxy.sandbox.data import timestamp
from proxy.sandbox.links import Links
from proxy.sandbox.records import Records
from proxy.sandbox.settings import SandboxSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation; `path` is an aiohttp template. Without scopes any credential may call it."""

    method: str
    path: str
    handler: Handler = field(repr=False)
    scopes: tuple[str, ...] = ()
    # Needs no credential, like SmartRecruiters' public postings.
    public: bool = False

    @property
    def name(self) -> str:
        """Return what limits and scopes are counted by, such as `GET /jobs/{id}`."""
        return f"{self.method} {self.path}"

    def route(self) -> web.RouteDef:
        """Return the aiohttp route; one for GET answers HEAD too."""
        if self.method == "GET":
            return web.get(self.path, self.handler)
        return web.route(self.method, self.path, self.handler)


class Routes:
    """The handlers of one area of the API, over the company's records."""

    def __init__(self, settings: SandboxSettings, records: Records, links: Links) -> None:
        self._clock = settings.clock
        self._records = records
        self._links = links

    def _now(self) -> str:
        return timestamp(self._clock())
