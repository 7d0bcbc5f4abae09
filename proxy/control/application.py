"""The application of the control routes: the table of routes, and what every answer has in common.

Promises: every answer closes its connection, carries the security headers and no `Server`; every
error is a Problem, as a page for a browser's navigation; an unforeseen one says nothing of itself.
The guards (Host, Origin, keys) stand in front of this application, not in it.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Set
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from proxy.control.auditing import auditing
from proxy.control.context import ControlContext
from proxy.control.events import Events
from proxy.control.inspecting import PREFIX, Inspecting
from proxy.control.login.outcomes import LoginNews
from proxy.control.login.pending import Logins
from proxy.control.login.routes import LoginRoutes
from proxy.control.login.taking import Taking
from proxy.control.owners import Owners
from proxy.control.policy import security_headers
from proxy.control.postman import build_environment
from proxy.control.probes import Probes
from proxy.control.reloading import Reloading
from proxy.control.rendering import render_problem_page
from proxy.control.requests import MOST_BODY, base_url
from proxy.control.status_page import StatusPage
from proxy.errors import Problem
from proxy.problems import is_navigation, problem_body, problem_headers
from proxy.smartrecruiters.collection import build_collection
from proxy.smartrecruiters.operations import operations

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Routes = Mapping[str, Mapping[str, Handler]]


def build_application(context: ControlContext) -> web.Application:
    """Build the application. `shutdown()` of it ends the event streams, so call it first."""
    owners = Owners(context)
    logins = Logins(context.config.accounts, context.clock, lambda: secrets.token_urlsafe(32))
    news = LoginNews()
    login = LoginRoutes(context, logins, Taking(context, logins, owners, news))
    events = Events(context, owners, news)
    probes = Probes(context)

    async def postman(request: web.Request) -> web.StreamResponse:
        config = context.config
        keys_required = bool(config.access.api_keys)
        environment = build_environment(base_url(request, config), keys_required=keys_required)
        disposition = 'attachment; filename="smartrecruiters-proxy.postman_environment.json"'
        return web.json_response(environment, headers={"Content-Disposition": disposition})

    async def collection(request: web.Request) -> web.StreamResponse:
        config = context.config
        built = build_collection(
            operations(),
            base_url(request, config),
            keys_required=bool(config.access.api_keys),
        )
        disposition = 'attachment; filename="smartrecruiters.postman_collection.json"'
        return web.json_response(built, headers={"Content-Disposition": disposition})

    routes: dict[str, Mapping[str, Handler]] = {
        "/-/": {"GET": StatusPage(context, owners).show},
        "/-/status": {"GET": probes.status},
        "/-/login": {"GET": login.begin, "POST": login.begin_here},
        "/-/login/complete": {"POST": login.complete},
        "/-/logout": {"POST": login.logout},
        "/-/live": {"GET": probes.live},
        "/-/ready": {"GET": probes.ready},
        "/-/metrics": {"GET": probes.metrics},
        "/-/events": {"GET": events.stream},
        "/-/postman.json": {"GET": postman},
        "/-/postman-collection.json": {"GET": collection},
    }
    inspecting = Inspecting(context)
    routes["/-/reload"] = {"POST": Reloading(context).reload}
    routes["/-/requests.har"] = {"GET": inspecting.har}
    redirect_uris = {account.oauth.redirect_uri for account in context.config.accounts.values()}
    callback_paths = {urlsplit(uri).path or "/" for uri in redirect_uris}
    dispatch = _dispatcher(routes, callback_paths, login.callback, inspecting.handle)

    async def finish_headers(request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers.popall("Server", None)
        for name, value in security_headers():
            answer.headers[name] = value
        given = request.headers.get("X-Request-ID")
        answer.headers["X-Request-ID"] = context.traffic.request_id(
            None if given is None else given.encode("utf-8", "surrogateescape")
        )
        # Which origin may call is the guards' to say; here is only told what they let in.
        origin = request.headers.get("Origin", "").encode("utf-8", "surrogateescape")
        for field, content in context.cors_headers(origin):
            answer.headers[field.decode()] = content.decode()
        answer.headers["Connection"] = "close"
        answer.force_close()

    application = web.Application(
        client_max_size=MOST_BODY, middlewares=[auditing(callback_paths), _answer_problems]
    )
    application.router.add_route(hdrs.METH_ANY, "/{path:.*}", dispatch)
    application.on_response_prepare.append(finish_headers)
    application.on_shutdown.append(events.close)
    application.on_shutdown.append(owners.close)
    return application


def _dispatcher(
    routes: Routes, callback_paths: Set[str], callback: Handler, inspected: Handler
) -> Handler:
    listed = ", ".join([*routes, "/-/requests/ID", "/-/requests/ID/replay"])

    async def dispatch(request: web.Request) -> web.StreamResponse:
        # By the path as it came: what is spelt in another way is another path.
        path = request.rel_url.raw_path
        if path in callback_paths:
            return await callback(request)
        if path.startswith(PREFIX):
            return await inspected(request)
        methods = routes.get(path)
        if methods is None:
            raise Problem("not_found", f"The proxy has no such route. Its own are: {listed}.")
        method = "GET" if request.method == "HEAD" and "GET" in methods else request.method
        if method not in methods:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            raise Problem(
                "method_not_allowed", f"This route takes {allowed}.", headers=[("Allow", allowed)]
            )
        return await methods[method](request)

    return dispatch


@web.middleware
async def _answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as raised:
        problem = raised
    except web.HTTPRequestEntityTooLarge:
        problem = Problem("bad_request", "The request body is larger than 64 KiB.", status=413)
    except web.HTTPException:
        problem = Problem("bad_request", "The request cannot be read.")
    except ConnectionError:
        raise  # the caller left: nobody to answer
    except Exception:
        logger.exception("control_route_failed")
        problem = Problem("internal_error", "The proxy failed in a way that it did not foresee.")
    return _problem_answer(request, problem)


def _problem_answer(request: web.Request, problem: Problem) -> web.Response:
    if is_navigation(request.headers.get):
        content_type = "text/html; charset=utf-8"
        body = render_problem_page(problem)
    else:
        content_type = "application/problem+json"
        body = problem_body(problem)
    answer = web.Response(status=problem.status, body=body, headers={"Content-Type": content_type})
    answer.headers.extend(problem_headers(problem))
    return answer
