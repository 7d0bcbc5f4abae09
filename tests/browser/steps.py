"""Steps that a person takes."""

import urllib.request
from typing import Any
from urllib.error import HTTPError

from tests.browser.conftest import Product

CAN_CALL = "Your tools can call now"
CANNOT_CALL = "Your tools cannot call now"


def log_in(page: Any, product: Product) -> None:
    """Log in by clicking, from the status page to the page that says so."""
    page.goto(f"{product.url}/-/")
    page.get_by_role("link", name="Log in", exact=True).click()
    page.get_by_role("button", name="Authorize").click()
    page.get_by_role("heading", name="You are logged in").wait_for()


def call(product: Product, path: str, method: str = "GET", body: bytes | None = None) -> int:
    """Call the API as a tool would, and return the status."""
    request = urllib.request.Request(product.url + path, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            return int(answer.status)
    except HTTPError as error:
        error.read()
        return error.code
