"""A callback that was taken once is never exchanged again, by any process, after any restart."""

import requests

from tests.e2e.conftest import Person, Proxy
from tests.support.sandboxes import RunningSandbox


def test_after_a_restart_it_says_how_the_login_came_out(
    proxy: Proxy, person: Person, sandbox: RunningSandbox
) -> None:
    page = person.open_login()
    before = person.browser.cookies.copy()
    done = person.decide(page, "authorize")
    proxy.restart()

    # A stranger's browser, the one that logged in, and one with the cookie of the beginning.
    foreign = requests.get(done.url, timeout=20)
    again = person.browser.get(done.url, timeout=20)
    replayed = requests.get(done.url, cookies=before, timeout=20)

    assert (foreign.status_code, again.status_code, replayed.status_code) == (400, 409, 409)
    assert "the login succeeded then" in again.text
    assert "the login succeeded then" in replayed.text
    assert len([p for p in sandbox.presentations if p.grant_type == "authorization_code"]) == 1
    assert proxy.account()["state"] == "authorized"
