"""The cookies of logins under way, put on and taken off an answer."""

from collections.abc import Mapping

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
    pending = logins.open(cookies)
    for old in pending[: max(0, len(pending) - MOST_LOGINS + 1)]:
        take_back(answer, cookies, old)
    # A browser takes the prefix only over TLS, which is in front of us: by its name for us.
    prefix = HOST_PREFIX if is_https and is_own_name else ""
    _set(answer, prefix + login.cookie_name, logins.seal(login), LIFETIME, is_https)


def take_back(answer: web.Response, cookies: Mapping[str, str], login: Login) -> None:
    """Have the browser forget a login's cookie, if it sent one."""
    for prefix in (HOST_PREFIX, ""):
        if prefix + login.cookie_name in cookies:
            _set(answer, prefix + login.cookie_name, "", 0, bool(prefix))


def _set(answer: web.Response, name: str, value: str, max_age: int, is_secure: bool) -> None:
    answer.set_cookie(
        name, value, max_age=max_age, path="/", secure=is_secure, httponly=True, samesite="Lax"
    )
