"""One operation that the sandbox answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation, its path as aiohttp spells templates; no scopes: any credential may call it."""

    method: str
    path: str
    handler: Handler = field(repr=False)
    scopes: tuple[str, ...] = ()
    # Answered without a credential too, as SmartRecruiters' public postings are.
    public: bool = False

    @property
    def name(self) -> str:
        """Return what limits and scopes are counted by, such as `GET /jobs/{id}`."""
        return f"{self.method} {self.path}"

    def route(self) -> web.RouteDef:
        """Return it as aiohttp wants it; GET answers HEAD too."""
        if self.method == "GET":
            return web.get(self.path, self.handler)
        return web.route(self.method, self.path, self.handler)
