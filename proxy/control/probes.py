"""What machines ask: live, ready, metrics, status. None of them calls anybody."""

from aiohttp import web

from proxy.control.context import ControlContext
from proxy.control.requests import asked_account
from proxy.control.status import status_json

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """The handlers of the probes."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context

    async def live(self, _: web.Request) -> web.StreamResponse:
        """Answer while the process serves; touches nothing."""
        return web.Response(text="live\n")

    async def ready(self, request: web.Request) -> web.StreamResponse:
        """Answer 200 when a call would be let through now, else the problem with its code.

        Without an account in the query: a call of any account.
        """
        context = self._context
        problem = context.readiness()
        if problem is None and "account" in request.query:
            problem = context.accounts[asked_account(request, context.accounts)].readiness()
        if problem is not None:
            raise problem
        return web.Response(text="ready\n")

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        """Answer a scrape."""
        return web.Response(
            body=self._context.metrics.render(), headers={"Content-Type": PROMETHEUS_TEXT}
        )

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Answer the status as JSON, of the account that the query names or of all."""
        accounts = self._context.accounts
        names = [asked_account(request, accounts)] if "account" in request.query else accounts
        return web.json_response(status_json(self._context, names))
