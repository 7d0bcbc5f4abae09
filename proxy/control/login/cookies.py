"""The cookies of logins: put on an answer when one begins, and changed when it is over."""

from collections.abc import Mapping
from dataclasses import replace

from proxy.control.login.pending import HOST_PREFIX, LIFETIME, MOST_LOGINS, Login, Logins
from proxy.messages import Answer


def put(
    answer: Answer,
    cookies: Mapping[str, str],
    logins: Logins,
    login: Login,
    *,
    is_https: bool,
    is_own_name: bool,
) -> Answer:
    """Give the browser a login's cookie; the oldest of too many are taken back."""
    known = logins.known(cookies)
    changes = []
    for old in known[: max(0, len(known) - MOST_LOGINS + 1)]:
        changes += _replaced(cookies, old, "", 0)
    # A browser takes the prefix only over TLS, which is in front of us: by its name for us.
    prefix = HOST_PREFIX if is_https and is_own_name else ""
    changes.append(_cookie(prefix + login.cookie_name, logins.seal(login), LIFETIME, is_https))
    return replace(answer, headers=[*answer.headers, *changes])


def end(
    answer: Answer, cookies: Mapping[str, str], logins: Logins, login: Login, outcome: str
) -> Answer:
    """Have the browser keep how a login came out, if it sent its cookie."""
    value = logins.seal(replace(login, outcome=outcome))
    return replace(answer, headers=[*answer.headers, *_replaced(cookies, login, value, LIFETIME)])


def _replaced(
    cookies: Mapping[str, str], login: Login, value: str, max_age: int
) -> list[tuple[str, str]]:
    names = (prefix + login.cookie_name for prefix in (HOST_PREFIX, ""))
    return [
        _cookie(name, value, max_age, name.startswith(HOST_PREFIX))
        for name in names
        if name in cookies
    ]


def _cookie(name: str, value: str, max_age: int, is_secure: bool) -> tuple[str, str]:
    flags = "HttpOnly; SameSite=Lax" + "; Secure" * is_secure
    return "Set-Cookie", f"{name}={value}; Max-Age={max_age}; Path=/; {flags}"
