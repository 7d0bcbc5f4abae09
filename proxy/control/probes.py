"""What machines ask: live, ready, metrics, status. None of them calls anybody."""

import asyncio
import importlib
import sys

from proxy.control.answers import as_json, as_text
from proxy.control.context import ControlContext
from proxy.control.requests import asked_account
from proxy.control.status import status_json
from proxy.messages import Answer, Request

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
# Loaded by the first scrape, in a thread: calls do not wait for it, and who is not scraped does
# without prometheus-client, which takes 2 MiB.
EXPOSITION = "proxy.telemetry.metrics.exposition"


class Probes:
    """The handlers of the probes."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context

    async def live(self, _: Request) -> Answer:
        """Answer while the process serves; touches nothing."""
        return as_text("live\n")

    async def ready(self, request: Request) -> Answer:
        """Answer 200 when a call would be let through now, else the problem with its code.

        Without an account in the query: a call of any account.
        """
        context = self._context
        problem = context.readiness()
        if problem is None and "account" in request.query:
            problem = context.accounts[asked_account(request, context.accounts)].readiness()
        if problem is not None:
            raise problem
        return as_text("ready\n")

    async def metrics(self, _: Request) -> Answer:
        """Answer a scrape."""
        if EXPOSITION not in sys.modules:
            await asyncio.to_thread(importlib.import_module, EXPOSITION)
        return Answer(200, [("Content-Type", PROMETHEUS_TEXT)], self._context.metrics.render())

    async def status(self, request: Request) -> Answer:
        """Answer the status as JSON, of the account that the query names or of all."""
        accounts = self._context.accounts
        names = [asked_account(request, accounts)] if "account" in request.query else accounts
        return as_json(status_json(self._context, names))
