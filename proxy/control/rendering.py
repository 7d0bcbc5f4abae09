"""Pages from the templates beside: everything escaped, each page whole in itself.

All templates are compiled when this module is imported, which `late` does in a thread: no page, and
no call that is forwarded meanwhile, waits for it.
"""

from jinja2 import Environment, PackageLoader, StrictUndefined

from proxy.control import words
from proxy.control.policy import asset
from proxy.errors import Problem, Side
from proxy.grant.lifecycle import instant

SIDES = {
    Side.CALLER: "The request",
    Side.PROXY: "This proxy",
    Side.UPSTREAM: "SmartRecruiters, or the network on the way to it",
}

_environment = Environment(
    loader=PackageLoader("proxy.control", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.globals["asset"] = asset
_environment.filters.update(
    duration=words.duration,
    size=words.size,
    milliseconds=words.milliseconds,
    instant=instant,
    moment=words.moment,
)
_templates = {
    name: _environment.get_template(name)
    for name in _environment.list_templates(extensions=("html",))
}


def render(template: str, **values: object) -> str:
    """Fill a template; a value that it names and that is not given is an error."""
    return _templates[template].render(values)


def render_problem_page(problem: Problem) -> bytes:
    """Build the page of a problem, for a browser's top-level navigation."""
    side = problem.kind.side
    tone = "warn" if side is Side.CALLER else "bad"
    return render("problem.html", problem=problem, side=SIDES[side], tone=tone).encode()
