"""The control routes: the table of them, and who answers which.

A route answers or raises a Problem; the front, which has guarded the request (Host, Origin, keys),
writes either, with the headers that every answer of ours carries.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from proxy.control.answers import as_json
from proxy.control.auditing import auditing
from proxy.control.context import ControlContext
from proxy.control.events import Events
from proxy.control.inspecting import PREFIX, Inspecting
from proxy.control.login.outcomes import LoginNews
from proxy.control.login.pending import Logins
from proxy.control.login.routes import LoginRoutes
from proxy.control.login.taking import Taking
from proxy.control.owners import Owners
from proxy.control.postman import build_environment
from proxy.control.probes import Probes
from proxy.control.reloading import Reloading
from proxy.control.requests import base_url
from proxy.control.status_page import StatusPage
from proxy.errors import Problem
from proxy.messages import Answer, Request, Stream
from proxy.smartrecruiters.collection import build_collection
from proxy.smartrecruiters.operations import operations

Handler = Callable[[Request], Awaitable[Answer | Stream]]


class Control:
    """Answers a request for the proxy itself."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context
        owners = self._owners = Owners(context)
        logins = Logins(
            lambda: context.config.accounts, context.clock, lambda: secrets.token_urlsafe(32)
        )
        news = LoginNews()
        login = LoginRoutes(context, logins, Taking(context, logins, owners, news))
        events = self._events = Events(context, owners, news)
        probes = Probes(context)
        inspecting = Inspecting(context)
        self._routes: Mapping[str, Mapping[str, Handler]] = {
            "/-/": {"GET": StatusPage(context, owners).show},
            "/-/status": {"GET": probes.status},
            "/-/login": {"GET": login.begin, "POST": login.begin_here},
            "/-/login/complete": {"POST": login.complete},
            "/-/logout": {"POST": login.logout},
            "/-/live": {"GET": probes.live},
            "/-/ready": {"GET": probes.ready},
            "/-/metrics": {"GET": probes.metrics},
            "/-/events": {"GET": events.stream},
            "/-/postman.json": {"GET": self._postman},
            "/-/postman-collection.json": {"GET": self._collection},
            "/-/reload": {"POST": Reloading(context).reload},
            "/-/requests.har": {"GET": inspecting.har},
        }
        uris = {account.oauth.redirect_uri for account in context.config.accounts.values()}
        self._callback_paths = {urlsplit(uri).path or "/" for uri in uris}
        self._callback = login.callback
        self._inspected = inspecting.handle
        self._answer = auditing(self._dispatch, self._callback_paths)

    async def __call__(self, request: Request) -> Answer | Stream:
        """Answer, or raise the Problem that says why not."""
        return await self._answer(request)

    async def close(self) -> None:
        """End the event streams, and ask nobody any more."""
        await self._events.close()
        self._owners.close()

    async def _dispatch(self, request: Request) -> Answer | Stream:
        # By the path as it came: what is spelt in another way is another path.
        path = request.path
        if path in self._callback_paths:
            return await self._callback(request)
        if path.startswith(PREFIX):
            return await self._inspected(request)
        methods = self._routes.get(path)
        if methods is None:
            listed = ", ".join([*self._routes, "/-/requests/ID", "/-/requests/ID/replay"])
            raise Problem("not_found", f"The proxy has no such route. Its own are: {listed}.")
        method = "GET" if request.method == "HEAD" and "GET" in methods else request.method
        if method not in methods:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            raise Problem(
                "method_not_allowed", f"This route takes {allowed}.", headers=[("Allow", allowed)]
            )
        return await methods[method](request)

    async def _postman(self, request: Request) -> Answer:
        config = self._context.config
        keys_required = bool(config.access.api_keys)
        environment = build_environment(base_url(request, config), keys_required=keys_required)
        name = "smartrecruiters-proxy.postman_environment.json"
        return as_json(environment, [("Content-Disposition", f'attachment; filename="{name}"')])

    async def _collection(self, request: Request) -> Answer:
        config = self._context.config
        built = build_collection(
            operations(),
            base_url(request, config),
            keys_required=bool(config.access.api_keys),
        )
        name = "smartrecruiters.postman_collection.json"
        return as_json(built, [("Content-Disposition", f'attachment; filename="{name}"')])
