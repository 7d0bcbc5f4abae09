"""Pages from the templates beside: everything escaped, each page whole in itself.

The template engine is loaded, and the templates compiled, by the first page, in a thread: calls do
not wait for it, and a proxy whose page nobody opens does without its 2 MiB.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from proxy.control import words
from proxy.control.policy import asset
from proxy.errors import Problem, Side
from proxy.grant.lifecycle import instant

if TYPE_CHECKING:
    from jinja2 import Template

SIDES = {
    Side.CALLER: "The request",
    Side.PROXY: "This proxy",
    Side.UPSTREAM: "SmartRecruiters, or the network on the way to it",
}


@cache
def _templates() -> Mapping[str, "Template"]:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("proxy.control", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        keep_trailing_newline=True,
    )
    environment.globals["asset"] = asset
    environment.filters.update(
        duration=words.duration,
        size=words.size,
        milliseconds=words.milliseconds,
        instant=instant,
        moment=words.moment,
    )
    names = environment.list_templates(extensions=("html",))
    return {name: environment.get_template(name) for name in names}


async def prepare() -> None:
    """See to it that `render` can begin at once: the first time takes a tenth of a second."""
    if not _templates.cache_info().currsize:
        await asyncio.to_thread(_templates)


def render(template: str, **values: object) -> str:
    """Fill a template, after `prepare`; a value that it names and that is not given is an error."""
    return _templates()[template].render(values)


async def render_problem_page(problem: Problem) -> bytes:
    """Build the page of a problem, for a browser's top-level navigation."""
    await prepare()
    side = problem.side
    tone = "warn" if side is Side.CALLER else "bad"
    return render("problem.html", problem=problem, side=SIDES[side], tone=tone).encode()
