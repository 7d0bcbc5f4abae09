"""The answers that the routes give, each by its kind."""

import json
from collections.abc import Sequence

from proxy.messages import Answer

Headers = Sequence[tuple[str, str]]


def as_json(members: object, headers: Headers = ()) -> Answer:
    """Answer JSON."""
    content_type = ("Content-Type", "application/json; charset=utf-8")
    return Answer(200, [content_type, *headers], json.dumps(members).encode())


def as_text(text: str, content_type: str = "text/plain; charset=utf-8") -> Answer:
    """Answer text."""
    return Answer(200, [("Content-Type", content_type)], text.encode())


def as_page(text: str) -> Answer:
    """Answer a page."""
    return as_text(text, "text/html; charset=utf-8")


def redirect(url: str, status: int = 302) -> Answer:
    """Lead a browser elsewhere."""
    return Answer(status, [("Location", url)])
