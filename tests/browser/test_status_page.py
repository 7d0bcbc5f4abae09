"""The status page alive: requests, clock, restart; and to everybody's senses."""

import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Begin, OpenPage, Product
from tests.browser.steps import CAN_CALL, CANNOT_CALL, call, log_in

ROWS = "#rows tr:not([hidden])"


def open_logged_in(page: Any, product: Product) -> None:
    log_in(page, product)
    page.goto(f"{product.url}/-/")
    page.get_by_text("live", exact=True).wait_for()


def wait_for_rows(page: Any, count: int) -> None:
    page.wait_for_function(
        "([rows, count]) => document.querySelectorAll(rows).length === count", arg=[ROWS, count]
    )


def test_requests_appear_while_they_are_made(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    open_logged_in(page, product)

    assert call(product, "/candidates?limit=2&q=Ada%20Secret") == 200
    assert call(product, "/identity/oauth/token", "DELETE") == 403

    page.locator("#rows a", has_text="not_allowed").first.wait_for()
    row = page.locator(ROWS, has_text="?limit&q").first
    assert "200" in row.inner_text()
    assert "?limit&q" in row.inner_text()
    assert "Secret" not in page.content()
    assert row.locator("td").last.inner_text().strip().isdigit()  # X-RateLimit-Remaining


def test_requests_are_filtered_and_paused(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    open_logged_in(page, product)
    call(product, "/candidates/filtered-1")
    call(product, "/jobs/last")
    page.locator(ROWS, has_text="/jobs/last").wait_for()

    page.get_by_label("Text").fill("get filt")
    wait_for_rows(page, 1)
    page.get_by_role("button", name="Pause").click()
    call(product, "/candidates/filtered-2")
    page.get_by_role("button", name="Resume (1)").wait_for()
    assert page.locator(ROWS).count() == 1
    page.get_by_role("button", name="Resume (1)").click()

    wait_for_rows(page, 2)


def test_an_error_code_leads_to_its_explanation(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    open_logged_in(page, product)
    call(product, "/identity/oauth/token", "DELETE")

    page.locator("#rows a", has_text="not_allowed").first.click()

    assert page.get_by_text("An allow rule of this proxy does not admit").is_visible()


def test_the_clock_begins_anew_after_a_refresh(products: Begin, open_page: OpenPage) -> None:
    product = products("--access-token-lifetime", "6")
    with product.run():
        product.wait()
        page = open_page()
        open_logged_in(page, product)
        bar = page.locator("#access-default ~ progress")
        begin = bar.get_attribute("data-begin")

        page.locator("[data-countdown]", has_text="expired").wait_for()
        assert call(product, "/users/me") == 200

        page.wait_for_function(
            "begin => document.querySelector('#access-default ~ progress').dataset.begin !== begin",
            arg=begin,
        )


def test_the_page_survives_a_restart(products: Begin, open_page: OpenPage) -> None:
    again = products()
    page = open_page()
    with again.run():
        again.wait()
        open_logged_in(page, again)
        page.get_by_role("heading", name=CAN_CALL).wait_for()
    page.get_by_role("heading", name="The proxy is not running").wait_for(timeout=5000)

    with again.run():
        again.wait()

        page.get_by_text("live", exact=True).wait_for()
        # The sandbox forgets its grants with its process.
        page.get_by_role("heading", name=CANNOT_CALL).wait_for()


def test_a_call_that_is_held_is_seen_as_held(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    open_logged_in(page, product)

    threads = [threading.Thread(target=call, args=(product, "/jobs?limit=1")) for _ in range(25)]
    for thread in threads:
        thread.start()

    page.locator("#limits tr.holding", has_text="GET /jobs").wait_for()
    for thread in threads:
        thread.join()
    page.locator(ROWS, has_text="held").first.wait_for()
    page.locator("#limits tr:not(.holding)", has_text="GET /jobs").first.wait_for()
    assert page.locator("#limits tr", has_text="GET /jobs").first.inner_text().count("10") == 1


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_proxy_that_does_not_answer_is_said_within_five_seconds(
    products: Begin, open_page: OpenPage, sign: signal.Signals
) -> None:
    product = products()
    page = open_page()
    with product.run() as process:
        product.wait()
        open_logged_in(page, product)
        process.signal(sign)
        try:
            heading = page.get_by_role("heading", name="The proxy is not running")
            heading.wait_for(timeout=5000)
            colour = page.locator(".verdict").evaluate("card => getComputedStyle(card).color")
            soft = page.locator(".brand + p").evaluate("text => getComputedStyle(text).color")
            # Before it goes on: the page then announces that at once.
            announced = page.locator("#announce").inner_text()
        finally:
            process.signal(signal.SIGCONT)

        assert colour == soft
        assert announced == "The proxy is not running"
        if sign == signal.SIGSTOP:
            page.get_by_role("heading", name=CAN_CALL).wait_for()


def test_the_filter_is_in_the_url_and_post_finds_no_postings(
    product: Product, open_page: OpenPage
) -> None:
    page = open_page()
    open_logged_in(page, product)
    call(product, "/v1/companies/filter-me/postings")
    call(product, "/filter-me", "POST", b"{}")
    page.locator(ROWS, has_text="POST").first.wait_for()

    page.get_by_label("Text").fill("post filter-me")
    wait_for_rows(page, 1)
    page.get_by_label("Status").select_option("4xx")
    page.wait_for_url("**/-/?text=post+filter-me&status=4xx")
    wait_for_rows(page, 1)
    page.reload()

    assert "POST" in page.locator(ROWS).inner_text()
    assert page.get_by_label("Text").input_value() == "post filter-me"
    call(product, "/v1/companies/filter-me/postings")
    call(product, "/filter-me/again", "POST", b"{}")
    page.locator(ROWS, has_text="again").wait_for()
    assert page.locator(ROWS).count() == 2


def test_without_javascript_the_filter_is_a_form(product: Product, open_page: OpenPage) -> None:
    call(product, "/v1/companies/by-form/postings")
    page = open_page(java_script_enabled=False)
    page.goto(f"{product.url}/-/")

    page.get_by_label("Text").fill("by-form")
    page.get_by_label("Method").select_option("GET")
    page.get_by_role("button", name="Filter").click()

    assert page.locator(ROWS).count() == 1


def test_on_a_small_screen_a_request_is_two_lines(product: Product, open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    open_logged_in(page, product)
    call(product, "/identity/oauth/token", "DELETE")
    code = page.locator("#rows a.code").first
    code.wait_for()

    def top(selector: str) -> float:
        box = page.locator("#rows tr").first.locator(selector).bounding_box()
        return float(box["y"])

    assert top(".call") < top(".status")
    assert abs(top(".status") - top(".at")) < 8
    assert code.bounding_box()["height"] < 26  # on one line: not broken within
    underline = code.evaluate("link => parseFloat(getComputedStyle(link).textUnderlineOffset)")
    assert underline > 3  # below the underscores


def test_curl_lines_are_copied(product: Product, open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    open_logged_in(page, product)

    page.get_by_role("button", name="Copy: Who am I").click()

    page.wait_for_function(
        "async line => await navigator.clipboard.readText() === line",
        arg=f"curl {product.url}/users/me",
    )


def test_the_postman_environment_is_downloaded(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(f"{product.url}/-/")

    with page.expect_download() as download:
        page.get_by_role("link", name="Postman environment").click()

    text = Path(download.value.path()).read_text()
    assert f'"{product.url}"' in text


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_overflows_on_a_small_screen(
    product: Product, open_page: OpenPage, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    open_logged_in(page, product)
    call(product, "/candidates/" + "x" * 120)
    call(product, "/candidates/1/attachments/onboarding")
    page.locator("#rows tr").first.wait_for()
    page.locator("#limits tbody tr", has_text="attachments").wait_for()

    wide = page.evaluate("document.documentElement.scrollWidth")
    page.goto(f"{product.url}/-/nothing")

    assert wide <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_with_api_keys_the_browser_gives_one_by_basic(
    products: Begin, open_page: OpenPage, tmp_path: Path
) -> None:
    key = "k-0123456789abcdef0123"
    config = tmp_path / "config.yaml"
    config.write_text(f"access: {{api_keys: [{{name: person, key: {key}}}]}}")
    product = products("-c", str(config))
    with product.run():
        product.wait()
        assert call(product, "/-/") == 401
        page = open_page(http_credentials={"username": "anyone", "password": key})

        open_logged_in(page, product)

        page.get_by_role("heading", name=CAN_CALL).wait_for()
        assert "X-API-Key: $SRPROXY_KEY" in page.get_by_label("Who am I", exact=True).input_value()
        assert key not in page.content()
        assert call(product, "/users/me") == 401
        page.locator("#rows a", has_text="unauthorized").first.wait_for()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@4"],
            cwd=folder, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm could not fetch axe-core")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(product: Product, open_page: OpenPage, axe: str, scheme: str) -> None:
    page = open_page(color_scheme=scheme, bypass_csp=True)

    def violations(path: str) -> list[str]:
        page.goto(product.url + path)
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")["violations"]
        return [f"{path}: {one['id']} {[n['target'] for n in one['nodes']]}" for one in found]

    found = violations("/-/") + violations("/-/nothing") + violations("/candidates")
    found += violations("/-/callback?error=access_denied&error_description=no")
    page.goto(f"{product.url}/-/")
    page.get_by_role("button", name="Log in from another browser").click()
    page.evaluate(axe)
    found += [one["id"] for one in page.evaluate("axe.run()")["violations"]]
    page.get_by_label("Final address").fill("wrong")
    page.get_by_role("button", name="Finish the login").click()
    page.get_by_role("heading", name="That is not the final address").wait_for()
    page.evaluate(axe)
    found += [one["id"] for one in page.evaluate("axe.run()")["violations"]]
    log_in(page, product)
    page.evaluate(axe)
    found += [one["id"] for one in page.evaluate("axe.run()")["violations"]]
    for path in ("/users/me", "/candidates?limit=1", "/jobs/none"):
        call(product, path)
    call(product, "/identity/oauth/token", "DELETE")
    found += violations("/-/")
    page.set_viewport_size({"width": 390, "height": 800})
    found += violations("/-/")
    page.route("**/-/events", lambda route: route.abort())
    page.goto(f"{product.url}/-/")
    page.get_by_role("heading", name="The proxy is not running").wait_for()
    page.evaluate(axe)
    found += [one["id"] for one in page.evaluate("axe.run()")["violations"]]

    assert found == []
