"""Pages from the templates beside: everything escaped, each page whole in itself.

The templates are compiled once, by `prepare`, which is called in a thread: neither a page nor a
call that is forwarded meanwhile waits for it.
"""

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
    # Late: probes are answered before the first page can be asked for.
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


def prepare() -> None:
    """Compile the templates, in about a tenth of a second."""
    _templates()


def render(template: str, **values: object) -> str:
    """Fill a template; a value that it names and that is not given is an error."""
    return _templates()[template].render(values)


def render_problem_page(problem: Problem) -> bytes:
    """Build the page of a problem, for a browser's top-level navigation."""
    side = problem.side
    tone = "warn" if side is Side.CALLER else "bad"
    return render("problem.html", problem=problem, side=SIDES[side], tone=tone).encode()
