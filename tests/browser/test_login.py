"""The login as a person sees it, in a browser."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxy.sandbox import SandboxSettings
from proxy.sandbox.data import ME
from tests.browser.conftest import OpenPage, Product
from tests.browser.steps import CAN_CALL, CANNOT_CALL, call, log_in
from tests.cli.test_flow import Setup
from tests.support.processes import free_port
from tests.support.sandboxes import running_sandbox


def test_a_login_by_clicking(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(f"{product.url}/-/")
    page.get_by_role("heading", name=CANNOT_CALL).wait_for()
    assert call(product, "/users/me") == 503

    log_in(page, product)

    # Neither code nor state stays behind.
    page.wait_for_url(f"{product.url}/-/")
    page.get_by_role("link", name="Status page").click()
    page.get_by_role("heading", name=CAN_CALL).wait_for()
    assert call(product, "/users/me") == 200


def test_a_login_begun_at_127_0_0_1(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(f"http://127.0.0.1:{product.port}/-/")

    page.get_by_role("link", name="Log in", exact=True).click()
    page.get_by_role("button", name="Authorize").click()

    page.get_by_role("heading", name="You are logged in").wait_for()


def test_a_decline_is_explained_and_can_be_tried_again(
    product: Product, open_page: OpenPage
) -> None:
    page = open_page()
    page.goto(f"{product.url}/-/login")
    page.get_by_role("button", name="Decline").click()

    page.get_by_role("heading", name="Access was declined").wait_for()
    page.get_by_role("link", name="Start again").click()
    page.get_by_role("button", name="Authorize").click()

    page.get_by_role("heading", name="You are logged in").wait_for()


def test_a_login_by_another_user_asks_whose_grant_stays(
    tmp_path: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    settings = SandboxSettings(
        redirect_uris=(f"http://localhost:{port}/-/callback",), auto_approve=True
    )
    page = open_page()
    with running_sandbox(settings) as sandbox:
        setup = Setup(tmp_path, sandbox, port)
        with setup.serving() as server:
            server.wait_for_output("listening")
            page.goto(f"{setup.url}/-/login")
            page.get_by_role("heading", name="You are logged in").wait_for()
            monkeypatch.setitem(ME, "firstName", "Mallory")

            page.goto(f"{setup.url}/-/login")
            page.get_by_role("heading", name="Another user's grant is here").wait_for()
            page.get_by_role("button", name="Keep").click()
            page.get_by_role("heading", name="Nothing was changed").wait_for()
            page.goto(f"{setup.url}/-/login")
            page.get_by_role("button", name="Replace: act as Mallory").click()

            page.get_by_role("heading", name="You are logged in").wait_for()
            page.get_by_text("replaces the grant of").wait_for()
            page.get_by_role("link", name="Status page").click()
            page.get_by_text("Mallory").wait_for()


def test_a_login_with_consent_in_another_browser(product: Product, open_page: OpenPage) -> None:
    """The final address is copied from one browser's address bar into the other's page."""
    here, elsewhere = open_page(), open_page()
    here.goto(f"{product.url}/-/")
    here.get_by_role("button", name="Log in from another browser").click()
    url = here.get_by_label("Address to open", exact=True).input_value()

    elsewhere.goto(url)
    elsewhere.get_by_role("button", name="Authorize").click()
    elsewhere.get_by_role("heading", name="No login here is waiting").wait_for()
    here.get_by_label("Final address").fill(elsewhere.url)
    here.get_by_role("button", name="Finish the login").click()

    here.get_by_role("heading", name="You are logged in").wait_for()
    assert "code=" in elsewhere.url
    assert call(product, "/users/me") == 200


def test_a_wrong_paste_keeps_the_field(product: Product, open_page: OpenPage) -> None:
    here, elsewhere = open_page(), open_page()
    here.goto(f"{product.url}/-/")
    here.get_by_role("button", name="Log in from another browser").click()
    elsewhere.goto(here.get_by_label("Address to open", exact=True).input_value())
    elsewhere.get_by_role("button", name="Authorize").click()
    elsewhere.get_by_role("heading", name="No login here is waiting").wait_for()

    here.get_by_label("Final address").fill("the-code-alone")
    here.get_by_role("button", name="Finish the login").click()
    here.get_by_role("heading", name="That is not the final address").wait_for()
    assert here.evaluate("document.activeElement.id") == "final-url"
    here.get_by_label("Final address").fill(elsewhere.url.removeprefix("http://"))
    here.get_by_role("button", name="Finish the login").click()

    here.get_by_role("heading", name="You are logged in").wait_for()


def test_going_back_to_the_callback_says_how_the_login_came_out(
    product: Product, open_page: OpenPage
) -> None:
    page = open_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    log_in(page, product)
    callback = next(url for url in seen if "/-/callback?" in url)

    answer = page.goto(callback)

    assert answer.status == 409
    page.get_by_role("heading", name="You are logged in already").wait_for()
    page.get_by_role("link", name="Status page").click()
    page.get_by_role("heading", name=CAN_CALL).wait_for()


def test_the_address_to_open_is_copied(product: Product, open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{product.url}/-/")
    page.get_by_role("button", name="Log in from another browser").click()

    page.get_by_role("button", name="Copy: Address to open").click()

    page.wait_for_function(
        "async url => await navigator.clipboard.readText() === url",
        arg=page.get_by_label("Address to open", exact=True).input_value(),
    )


def test_a_pasted_address_goes_off_by_itself(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(f"{product.url}/-/")
    page.get_by_role("button", name="Log in from another browser").click()
    field = page.get_by_label("Final address")

    field.evaluate(
        """(field, text) => {
            field.value = text;
            field.dispatchEvent(new ClipboardEvent("paste", { bubbles: true }));
        }""",
        f"{product.url}/-/callback?error=access_denied&error_description=User denied it&code=500",
    )

    page.get_by_role("heading", name="Access was declined").wait_for()


def test_the_seconds_of_the_code_are_counted_down(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(f"{product.url}/-/")
    page.get_by_role("button", name="Log in from another browser").click()
    clock = page.locator("[data-code-clock]")
    assert "30 seconds" in clock.inner_text()

    page.evaluate("dispatchEvent(new Event('blur')); dispatchEvent(new Event('focus'))")

    clock.filter(has_text=re.compile(r"good for about 2\d seconds more")).wait_for()


def test_logging_out_and_in_again_without_javascript(product: Product, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    log_in(page, product)
    page.get_by_role("link", name="Status page").click()
    page.get_by_role("heading", name=CAN_CALL).wait_for()

    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name=CANNOT_CALL).wait_for()
    assert page.get_by_text("forgotten by a log-out").is_visible()

    page.get_by_role("button", name="Log in from another browser").click()
    assert page.get_by_label("Final address").is_visible()


def test_logging_out_asks_first(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    log_in(page, product)
    page.goto(f"{product.url}/-/")
    asked = []

    def refuse(dialog: Any) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    page.get_by_role("button", name="Log out").click()
    assert call(product, "/users/me") == 200
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Log out").click()

    page.get_by_role("heading", name=CANNOT_CALL).wait_for()
    assert "Forget the grant?" in asked[0]


def test_a_login_by_keyboard_alone(product: Product, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(f"{product.url}/-/")

    def press_until(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(document.activeElement.textContent || document.activeElement.value).trim()"
            )
            if focused == name:
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none"
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"{name} cannot be reached by Tab")

    press_until("Log in")
    page.get_by_role("button", name="Authorize").wait_for()
    press_until("Authorize")
    page.get_by_role("heading", name="You are logged in").wait_for()
    press_until("Status page")

    page.get_by_role("heading", name=CAN_CALL).wait_for()


def test_a_forwarded_path_in_the_address_bar_leads_to_the_login(
    product: Product, open_page: OpenPage
) -> None:
    page = open_page()

    answer = page.goto(f"{product.url}/candidates?limit=10")

    assert answer.status == 503
    page.get_by_role("heading", name="Login required").wait_for()
    link = page.get_by_role("link", name=re.compile("Log in"))
    assert link.get_attribute("href").endswith("/-/login")
    link.click()
    page.get_by_role("button", name="Authorize").wait_for()
