"""The pages: one shell with its style inside, problem pages, and what a login came to.

Every page is whole in itself: no other file, no other host, everything escaped, and a content
security policy that names the style and script by their hashes.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from proxy.control.markup import Html, html, join, when
from proxy.errors import Problem, Side

# A page asks for no icon of its own, or browsers would call /favicon.ico, which is the upstream's.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='9' fill='%232f5d50'/%3E"
    "%3Cpath d='M9 12h11l-3-3m6 11H12l3 3' fill='none' stroke='%23fff' stroke-width='2.4'"
    " stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E"
)
SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
$referrer<title>$title</title>
<link rel="icon" href="$icon">
<style>$style</style>
</head>
<body class="$kind">
$body
$script
</body>
</html>
"""
SIDES = {
    Side.CALLER: "The request",
    Side.PROXY: "This proxy",
    Side.UPSTREAM: "SmartRecruiters, or the network on the way to it",
}


@cache
def asset(name: str) -> str:
    """Return one of the page's own files."""
    return files("proxy.control").joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def content_security_policy() -> str:
    """Return the policy of every answer: our own style and script, our own origin, nothing else."""
    scripts = " ".join(_hash(asset(name)) for name in ("page.js", "step.js"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(asset('page.css'))}; "
        "connect-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def security_headers() -> list[tuple[str, str]]:
    """Build the headers that every page and control answer carries."""
    return [
        ("Content-Security-Policy", content_security_policy()),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ]


# With `Referrer-Policy: no-referrer` a browser posts a page's own form with `Origin: null`, which
# the guards rightly refuse. A page that has a form and no secret in its address widens the policy
# to its own origin; to any other it stays silent.
POSTS_FORMS = Html('<meta name="referrer" content="same-origin">\n')


def document(
    title: str, body: Html, *, kind: str = "step", script: str | None = None, has_form: bool = False
) -> bytes:
    """Build a whole page."""
    inline = when(
        script, html("<script>$code</script>", code=Html(asset(script) if script else ""))
    )
    page = html(
        SHELL, title=title, icon=ICON, style=Html(asset("page.css")), kind=kind, body=body,
        script=inline, referrer=when(has_form, POSTS_FORMS),
    )  # fmt: skip
    return page.encode()


def step_page(
    title: str,
    *paragraphs: Html,
    tone: str = "",
    actions: Html | None = None,
    script: str = "",
    has_form: bool = False,
    finished: bool = False,
) -> bytes:
    """Build a page that says one thing and offers what to do next."""
    body = html(
        '<main class="step card $tone"$finished><p class="brand">smartrecruiters-proxy</p>'
        "<h1>$title</h1>$paragraphs$actions</main>",
        tone=tone,
        finished=Html(" data-finished" if finished else ""),
        title=title,
        paragraphs=join(paragraphs),
        actions=when(actions, html('<p class="actions">$a</p>', a=actions or Html(""))),
    )
    full_title = f"{title} · smartrecruiters-proxy"
    return document(full_title, body, script=script or None, has_form=has_form)


def paragraph(text: object, css: str = "") -> Html:
    """Build a paragraph."""
    return html('<p class="$css">$text</p>', css=css, text=text) if css else html(
        "<p>$text</p>", text=text
    )  # fmt: skip


def button(label: str, href: str, *, primary: bool = True) -> Html:
    """Build a link that looks like the button it is."""
    return html(
        '<a class="button$primary" href="$href">$label</a>',
        primary=" primary" if primary else "",
        href=href,
        label=label,
    )


def facts(rows: Sequence[tuple[str, object]]) -> Html:
    """Build a list of names and values."""
    items = join(html("<dt>$name</dt><dd>$value</dd>", name=n, value=v) for n, v in rows)
    return html('<dl class="facts">$items</dl>', items=items)


def render_problem_page(problem: Problem) -> bytes:
    """Build the page of a problem, for a browser's top-level navigation."""
    rows: list[tuple[str, object]] = [
        ("Code", html("<code>$code</code>", code=problem.code)),
        ("Status", problem.status),
        ("Whose side", SIDES[problem.kind.side]),
    ]
    if problem.reason is not None:
        rows.append(("Reason", html("<code>$reason</code>", reason=problem.reason)))
    actions = [button("Status page", "/-/", primary=problem.login_url is None)]
    if problem.login_url is not None:
        actions.insert(0, button("Log in with SmartRecruiters", problem.login_url))
    return step_page(
        problem.kind.title,
        paragraph(problem.detail),
        when(problem.kind.help != problem.detail, paragraph(problem.kind.help, "quiet")),
        facts(rows),
        tone="bad" if problem.kind.side is not Side.CALLER else "warn",
        actions=join(actions),
    )
