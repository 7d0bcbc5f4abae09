"""The status page: may my tools call now, until when, how to call, and what went through.

Rendered here, whole, so that it works without JavaScript; its script only asks for this page anew
when the state changes, and puts rows that were rendered here into the table.
"""

from shlex import quote as shell_quote

from aiohttp import web

from proxy.control.context import ControlContext
from proxy.control.identity import Identities
from proxy.control.live_list import traffic_section
from proxy.control.markup import Html, html, join
from proxy.control.overview import overview, problem_help
from proxy.control.pages import document
from proxy.control.requests import base_url

SAMPLE_PATH = "/users/me"
MOST_FILTER = 200


class StatusPage:
    """Renders the page."""

    def __init__(self, context: ControlContext, identities: Identities) -> None:
        self._context = context
        self._identities = identities

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer the page."""
        context = self._context
        now = context.clock.now()
        problem = context.readiness()
        parts = []
        for name, manager in context.accounts.items():
            self._identities.ask_soon(name)
            status = manager.status()
            account = status.as_json(now)
            owner = self._identities.known(name)
            margin = context.config.tokens.refresh_margin
            parts.append(overview(account, owner, problem, now, margin, status.granted_at))
        body = html(
            """<a class="skip" href="#traffic-heading">Skip to the requests</a>
<header><p class="brand">smartrecruiters-proxy</p>
<p class="quiet">$version · forwards to <span class="upstream">$upstream</span></p></header>
<main><div id="overview" class="overview">$parts</div>
<div class="columns">$guide$elsewhere</div>$traffic$help</main>
<p id="announce" class="hidden" role="status"></p>""",
            version=context.version,
            upstream=context.config.upstream.url,
            parts=join(parts),
            guide=self._guide(base_url(request, context.config)),
            elsewhere=_elsewhere(),
            traffic=traffic_section(
                context.traffic.recent(), request.query.get("filter", "")[:MOST_FILTER]
            ),
            help=problem_help(),
        )
        page = document(
            "smartrecruiters-proxy", body, kind="status", script="page.js", has_form=True
        )
        return web.Response(body=page, content_type="text/html", charset="utf-8")

    def _guide(self, base: str) -> Html:
        keys = bool(self._context.config.access.api_keys)
        key = ' -H "X-API-Key: $SRPROXY_KEY"' if keys else ""
        lines = [
            ("Base URL", base),
            ("Who am I", f"curl{key} {shell_quote(base + SAMPLE_PATH)}"),
            ("Candidates", f"curl{key} {shell_quote(base + '/candidates?limit=10')}"),
        ]
        return html(
            """<section class="card guide" aria-labelledby="guide-heading">
<h2 id="guide-heading">Copy and go</h2>$lines
<p class="quiet">$keys Everything else about a call stays as SmartRecruiters documents it.</p>
<p class="actions"><a class="button small" href="/-/postman.json" download>Postman
environment</a></p></section>""",
            lines=join(
                html(
                    '<div class="copy"><span class="copy-label">$label</span>'
                    '<input readonly value="$line" aria-label="$label" data-select>'
                    '<button class="button small needs-js" type="button" data-copy="$line"'
                    ' aria-label="Copy: $label">Copy</button></div>',
                    label=label,
                    line=line,
                )
                for label, line in lines
            ),
            keys="Put one of access.api_keys where $SRPROXY_KEY stands." if keys else
            "No token and no key is needed.",
        )  # fmt: skip


def _elsewhere() -> Html:
    return html(
        """<section class="card elsewhere" aria-labelledby="elsewhere-heading">
<h2 id="elsewhere-heading">No browser on that machine?</h2>
<p>Give consent in a browser anywhere, and paste the final address back here. It works through a
published container port, <code>kubectl port-forward</code> or ssh.</p>
<form method="post" action="/-/login" class="actions">
<button class="button small">Log in from another browser</button></form></section>"""
    )
