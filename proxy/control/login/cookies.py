"""The cookies of logins: put on an answer when one begins, and changed when it is over."""

from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from proxy.control.login.pending import HOST_PREFIX, LIFETIME, MOST_LOGINS, Login, Logins


def put(
    answer: web.Response,
    cookies: Mapping[str, str],
    logins: Logins,
    login: Login,
    *,
    is_https: bool,
    is_own_name: bool,
) -> None:
    """Give the browser a login's cookie; the oldest of too many are taken back."""
    known = logins.known(cookies)
    for old in known[: max(0, len(known) - MOST_LOGINS + 1)]:
        _replace(answer, cookies, old, "", 0)
    # A browser takes the prefix only over TLS, which is in front of us: by its name for us.
    prefix = HOST_PREFIX if is_https and is_own_name else ""
    _set(answer, prefix + login.cookie_name, logins.seal(login), LIFETIME, is_https)


def end(
    answer: web.Response, cookies: Mapping[str, str], logins: Logins, login: Login, outcome: str
) -> None:
    """Have the browser keep how a login came out, if it sent its cookie."""
    _replace(answer, cookies, login, logins.seal(replace(login, outcome=outcome)), LIFETIME)


def _replace(
    answer: web.Response, cookies: Mapping[str, str], login: Login, value: str, max_age: int
) -> None:
    for prefix in (HOST_PREFIX, ""):
        if prefix + login.cookie_name in cookies:
            _set(answer, prefix + login.cookie_name, value, max_age, bool(prefix))


def _set(answer: web.Response, name: str, value: str, max_age: int, is_secure: bool) -> None:
    answer.set_cookie(
        name, value, max_age=max_age, path="/", secure=is_secure, httponly=True, samesite="Lax"
    )
