"""The login's cookie, its state, and what ends it."""

import base64
import hashlib

from proxy.control.login.pending import COOKIE_PREFIX, LIFETIME, MOST_LOGINS, Login, Logins
from tests.control.conftest import FakeClock, make_config


def make_logins(clock: FakeClock, prefix: str = "state", **oauth: object) -> Logins:
    numbers = iter(range(100))
    config = make_config(oauth=oauth)
    return Logins(lambda: config.accounts, clock, lambda: f"{prefix}-{next(numbers)}")


def jar(logins: Logins, *begun: Login) -> dict[str, str]:
    return {login.cookie_name: logins.seal(login) for login in begun}


def test_a_login_is_found_again_by_its_state_in_the_same_browser() -> None:
    logins = make_logins(FakeClock())
    first, second = logins.begin("default"), logins.begin("default")

    assert logins.match(jar(logins, first, second), first.state) == first
    assert logins.match(jar(logins, first, second), second.state) == second


def test_another_browser_has_no_login() -> None:
    logins = make_logins(FakeClock())
    login = logins.begin("default")

    assert logins.match({}, login.state) is None
    assert logins.match(jar(logins, logins.begin("default")), login.state) is None


def test_any_process_of_the_same_configuration_takes_the_login() -> None:
    clock = FakeClock()
    one, other = make_logins(clock), make_logins(clock)
    login = one.begin("default")

    assert other.match(jar(one, login), login.state) == login
    assert other.code_verifier(login) is None


def test_another_client_secret_or_id_signs_differently() -> None:
    clock = FakeClock()
    one = make_logins(clock)
    login = one.begin("default")

    for change in ({"client_secret": "another-secret-0123456789"}, {"client_id": "other"}):
        assert make_logins(clock, **change).match(jar(one, login), login.state) is None


def test_a_changed_cookie_is_no_cookie() -> None:
    logins = make_logins(FakeClock())
    login = logins.begin("default")
    sealed = logins.seal(login)
    name = login.cookie_name
    forged = base64.urlsafe_b64encode(b'["state-0", 0, "other"]').decode().rstrip("=")

    for value in ("", ".", "a.b", sealed[:-2], "A" + sealed[1:], forged + "." + sealed, "é.é"):
        assert logins.match({name: value}, login.state) is None
    assert logins.match({COOKIE_PREFIX + "0" * 12: sealed}, login.state) is None


def test_a_login_ends_after_ten_minutes_and_survives_a_small_clock_difference() -> None:
    clock = FakeClock()
    logins = make_logins(clock)
    login = logins.begin("default")
    cookies = jar(logins, login)

    clock.seconds -= 30
    assert logins.match(cookies, login.state) == login
    clock.seconds += 30 + LIFETIME
    assert logins.match(cookies, login.state) == login
    clock.seconds += 1
    assert logins.match(cookies, login.state) is None


def test_a_clock_that_is_set_back_during_a_login_does_not_lose_it() -> None:
    clock = FakeClock()
    logins = make_logins(clock)
    login = logins.begin("default")

    clock.seconds -= 3600

    assert logins.match(jar(logins, login), login.state) == login


def test_the_verifier_is_derived_and_fits_its_challenge() -> None:
    clock = FakeClock()
    one, other = make_logins(clock, pkce=True), make_logins(clock, pkce=True)
    login = one.begin("default")
    verifier = one.code_verifier(login)
    assert verifier is not None
    digest = hashlib.sha256(verifier.reveal().encode()).digest()

    assert other.code_verifier(login) == verifier
    assert 43 <= len(verifier.reveal()) <= 128
    assert one.code_challenge(login) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert verifier.reveal() not in one.seal(login)


def test_few_logins_are_kept_open() -> None:
    assert MOST_LOGINS < 10
