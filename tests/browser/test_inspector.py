"""Looking into a request: by click and keyboard, copied, sent again."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Begin, OpenPage, Product
from tests.browser.steps import call

BODY = {"firstName": "Mira", "lastName": "<b>Łukasik</b>", "email": "m@mail.example"}


@pytest.fixture(scope="module")
def inspected(products: Begin) -> Iterator[Product]:
    made = products("--auto-approve", SRPROXY_INSPECT__ENABLED="true")
    with made.run() as process:
        process.wait_for_output("Ctrl-C stops it")
        yield made


def create(product: Product) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{product.url}/candidates", json.dumps(BODY).encode(), headers, method="POST"
    )
    urllib.request.urlopen(request, timeout=10).close()


def test_a_row_opens_by_keyboard(inspected: Product, open_page: OpenPage) -> None:
    call(inspected, "/jobs?limit=1")
    page = open_page()
    page.goto(f"{inspected.url}/-/")
    assert "being inspected" in page.inner_text("main")
    link = page.locator("#rows a", has_text="/jobs").first
    link.focus()
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Request", exact=True).wait_for()
    assert "/-/requests/" in page.url
    assert "nextPageId" in page.inner_text("main")


def test_a_request_is_changed_and_sent_again(inspected: Product, open_page: OpenPage) -> None:
    create(inspected)
    page = open_page()
    page.goto(f"{inspected.url}/-/?text=post")
    page.locator("#rows a", has_text="/candidates").first.click()
    page.get_by_label("Body").fill(json.dumps({**BODY, "firstName": "Ada"}))
    before = page.url
    page.get_by_role("button", name="Send again").click()
    page.wait_for_url(lambda url: url != before and "/replay" not in url)

    assert "Ada" in page.inner_text("main")
    assert "201" in page.inner_text(".facts")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 390)])
def test_nothing_scrolls_sideways_and_nothing_runs(
    inspected: Product, open_page: OpenPage, scheme: str, width: int, tmp_path: Any
) -> None:
    create(inspected)
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{inspected.url}/-/?text=post")
    page.locator("#rows a", has_text="/candidates").first.click()
    page.get_by_role("heading", name="Send again").wait_for()
    page.screenshot(path=tmp_path / f"inspected-{scheme}.png", full_page=True)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main b").count() == 0  # what was in the body is text
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as HAR").click()
    har = json.loads(download.value.path().read_text())
    assert len(har["log"]["entries"]) == 1
