"""The status page: may my tools call now, until when, how to call, and what went through.

Rendered here, whole, so that it works without JavaScript; its script only puts in what was rendered
here too and comes by the event stream.
"""

from dataclasses import dataclass
from shlex import quote as shell_quote

from proxy.control.answers import as_page
from proxy.control.context import ControlContext, is_inspecting
from proxy.control.filters import Filter
from proxy.control.overview import overview
from proxy.control.owners import Owners
from proxy.control.rendering import prepare, render
from proxy.control.requests import base_url, with_account
from proxy.control.traffic_list import traffic_section
from proxy.errors import KINDS
from proxy.messages import Answer, Request
from proxy.smartrecruiters.operations import may_carry_links

# The page warns this long before our own certificate ends.
CERTIFICATE_WARNING = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Line:
    """Something to copy."""

    label: str
    text: str


class StatusPage:
    """Renders the page."""

    def __init__(self, context: ControlContext, owners: Owners) -> None:
        self._context = context
        self._owners = owners

    async def show(self, request: Request) -> Answer:
        """Answer the page."""
        await prepare()
        context = self._context
        for name in context.accounts:
            self._owners.ask_soon(name)
        keys = context.config.access.api_keys
        ends_at = context.certificate_ends_at()
        page = render(
            "status.html",
            version=context.version,
            upstream=context.config.upstream.url,
            overview=overview(context, self._owners),
            limits=limits_section(context),
            links_lead_past=_links_lead_past(context),
            inspecting=is_inspecting(context),
            lines=_lines(base_url(request, context.config), has_keys=bool(keys)),
            has_keys=bool(keys),
            certificate_ends_at=ends_at,
            certificate_ends_soon=ends_at is not None
            and ends_at - context.clock.now() < CERTIFICATE_WARNING,
            traffic=traffic_section(
                context.traffic.recent(),
                Filter.of(request.query),
                callers=[key.name for key in keys],
                accounts=list(context.accounts),
                inspecting=is_inspecting(context),
            ),
            logins=[
                (name, with_account("/-/login", name))
                for name, account in context.accounts.items()
                if account.login_problem() is None
            ],
            kinds=KINDS.values(),
        )
        return as_page(page)


def _links_lead_past(context: ControlContext) -> bool:
    """Return whether answers went through whose links lead past the proxy.

    By what is known of the operations: with upstream.rewrite_links off no body is read.
    """
    return not context.config.upstream.rewrite_links and any(
        record.status == 200 and record.whose == "upstream" and may_carry_links(record.operation)
        for record in context.traffic.recent()
    )


def limits_section(context: ControlContext) -> str:
    """Build the meter of SmartRecruiters' limits; nothing where none was touched."""
    uses = context.limits.uses() if context.limits is not None else ()
    several = len(context.accounts) > 1
    return render("limits.html", uses=uses, several=several) if uses else ""


def _lines(base: str, *, has_keys: bool) -> list[Line]:
    key = ' -H "X-API-Key: $SRPROXY_KEY"' if has_keys else ""
    return [
        Line("Base URL", base),
        Line("Who am I", f"curl{key} {shell_quote(base + '/users/me')}"),
        Line("Candidates", f"curl{key} {shell_quote(base + '/candidates?limit=10')}"),
    ]
