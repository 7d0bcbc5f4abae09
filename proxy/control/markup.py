"""HTML that is escaped unless it says otherwise: `Html` is markup, everything else is text.

Never holds a page's words; those are in `pages` and `status_page`.
"""

from collections.abc import Iterable
from html import escape
from string import Template


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def html(template: str, /, **values: object) -> Html:
    """Fill `$name` places of a template, each value escaped unless it is Html."""
    return Html(Template(template).substitute({k: safe(v) for k, v in values.items()}))


def safe(value: object) -> Html:
    """Return a value as markup."""
    if isinstance(value, Html):
        return value
    return Html(escape(str(value), quote=True))


def join(parts: Iterable[Html]) -> Html:
    """Put pieces of markup one after another."""
    return Html("".join(parts))


def when(condition: object, markup: Html) -> Html:
    """Return the markup if the condition holds, else nothing."""
    return markup if condition else Html("")
