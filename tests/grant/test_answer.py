"""What an answer of the token endpoint means: tokens, or what became of the one that was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Outcome, TokenEndpointError
from proxy.grant.answer import (
    RotatedError,
    parse_lifetime,
    parse_retry_after,
    parse_token_answer,
)
from proxy.grant.oauth import REFRESH_LIFETIME, TokenSet, parse_callback
from proxy.grant.wire import Answer, WireError
from proxy.system.secret import Secret

NOW = 1_790_000_000.0
SENT = TokenSet(Secret("old"), Secret("old-refresh"), NOW - 1800, NOW, NOW - 1800, NOW + 1e6)


def parse(
    status: int,
    body: object,
    *,
    headers: dict[str, str] | None = None,
    broken: WireError | None = None,
    **options: Any,
) -> TokenSet:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = Answer(status, headers or {}, data, broken)
    return parse_token_answer(answer, requested_at=NOW, **options)


def failure(status: int, body: object, **options: Any) -> TokenEndpointError:
    with pytest.raises(TokenEndpointError) as caught:
        parse(status, body, **options)
    return caught.value


def test_requests_and_tokens_print_no_secret() -> None:
    tokens = parse(200, {"access_token": "canary-a", "refresh_token": "canary-r"})
    callback = parse_callback("code=canary-c")

    assert "canary" not in f"{tokens} {tokens!r} {callback} {callback!r}"


def test_a_regular_answer() -> None:
    answer = {"token_type": "bearer", "access_token": "a", "expires_in": 1799, "refresh_token": "r"}

    tokens = parse(200, answer, scopes=("jobs_read",))

    assert tokens.access_token.reveal() == "a"
    assert tokens.refresh_token is not None
    assert tokens.refresh_token.reveal() == "r"
    assert (tokens.issued_at, tokens.expires_at) == (NOW, NOW + 1799)
    assert tokens.refresh_expires_at == NOW + REFRESH_LIFETIME
    assert tokens.scopes == ("jobs_read",)


def test_scopes_of_the_answer_come_before_those_asked_for() -> None:
    answer = {"access_token": "a", "scope": "users_read jobs_read"}

    assert parse(200, answer, scopes=("x",)).scopes == ("users_read", "jobs_read")


def test_without_a_refresh_token_the_previous_stays_and_its_28_days_begin_anew() -> None:
    previous = parse(200, {"access_token": "a", "refresh_token": "r", "scope": "jobs_read"})

    answer = Answer(200, {}, b'{"access_token": "b"}')
    tokens = parse_token_answer(answer, requested_at=NOW + 1000, previous=previous)

    assert tokens.refresh_token is previous.refresh_token
    assert tokens.refresh_issued_at == NOW
    assert tokens.refresh_expires_at == NOW + 1000 + REFRESH_LIFETIME
    assert tokens.scopes == ("jobs_read",)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1799, 1799), ("1799", 1799), (" 60 ", 60), (0.5, 0.5), (None, 1799), (0, 1799), (-1, 1799),
     ("", 1799), ("1h", 1799), (False, 1799), (True, 1799), ({}, 1799),
     pytest.param(2**2000, 86400, id="huge"), (float("inf"), 86400),
     (float("nan"), 1799), (86401, 86400)],
)  # fmt: skip
def test_lifetimes(value: object, seconds: float) -> None:
    assert parse_lifetime(value) == seconds


VERDICTS: list[tuple[int, object, Outcome, str]] = [
    (400, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (401, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (400, {"error": "invalid_client"}, Outcome.NOT_SPENT, "invalid_client"),
    (401, {"error": "invalid_client"}, Outcome.NOT_SPENT, "invalid_client"),
    (401, b"<html>", Outcome.NOT_SPENT, "invalid_client"),
    (400, {"error": "invalid_request"}, Outcome.NOT_SPENT, "invalid_request"),
    (400, {"message": "x", "errors": [{"code": "invalid_grant"}]}, Outcome.NOT_SPENT, "http_400"),
    (400, {"error": "Invalid_Grant"}, Outcome.NOT_SPENT, "http_400"),
    (400, {"error": ["invalid_grant"]}, Outcome.NOT_SPENT, "http_400"),
    (400, b"invalid_grant", Outcome.NOT_SPENT, "http_400"),
    (400, b"", Outcome.NOT_SPENT, "http_400"),
    (404, b"<html>", Outcome.NOT_SPENT, "http_404"),
    (429, {"message": "x"}, Outcome.NOT_SPENT, "http_429"),
    (503, b"", Outcome.NOT_SPENT, "http_503"),
    (503, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (500, {"error": "server_error"}, Outcome.UNKNOWN, "http_500"),
    (400, {"error": "temporarily_unavailable"}, Outcome.NOT_SPENT, "http_400"),
    (200, {"error": "invalid_client"}, Outcome.NOT_SPENT, "invalid_client"),
    (500, {"error": "invalid_scope"}, Outcome.NOT_SPENT, "invalid_scope"),
    (400, b"error=invalid_grant&error_description=x", Outcome.INVALID_GRANT, "invalid_grant"),
    (
        400,
        b'{"error": "invalid_grant", "error_description": "ung\xfcltig"}',
        Outcome.INVALID_GRANT,
        "invalid_grant",
    ),
    (400, '\ufeff{"error": "invalid_grant"}'.encode(), Outcome.INVALID_GRANT, "invalid_grant"),
    (400, '{"error": "invalid_grant"}'.encode("utf-16"), Outcome.INVALID_GRANT, "invalid_grant"),
    (500, b"", Outcome.UNKNOWN, "http_500"),
    (500, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (502, b"<html>", Outcome.UNKNOWN, "http_502"),
    (504, b"", Outcome.UNKNOWN, "http_504"),
    (302, b"", Outcome.UNKNOWN, "http_302"),
    (200, {}, Outcome.UNKNOWN, "unusable_answer"),
    (200, b"", Outcome.UNKNOWN, "unusable_answer"),
    (200, b"<html>", Outcome.UNKNOWN, "unusable_answer"),
    (200, [], Outcome.UNKNOWN, "unusable_answer"),
    (200, b"[" * 100_000, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"error": "invalid_grant"}, Outcome.INVALID_GRANT, "invalid_grant"),
    (200, {"access_token": ""}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": 5}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": "a\r\nX: y"}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": "ü"}, Outcome.UNKNOWN, "unusable_answer"),
    (200, {"access_token": "a", "token_type": "mac"}, Outcome.UNKNOWN, "unusable_answer"),
    (204, b"", Outcome.UNKNOWN, "unusable_answer"),
]


@pytest.mark.parametrize(("status", "body", "outcome", "reason"), VERDICTS)
def test_failures_are_told_apart(status: int, body: object, outcome: Outcome, reason: str) -> None:
    error = failure(status, body)

    assert (error.outcome, error.reason) == (outcome, reason)


@pytest.mark.parametrize("status", [400, 401, 500, 503, 200])
def test_an_echoed_secret_is_not_repeated(status: int) -> None:
    body = {"error": "canary-secret", "error_description": "canary-secret", "message": "canary"}

    error = failure(status, body, headers={"retry-after": "canary"})

    assert "canary" not in f"{error} {error!r} {error.detail} {error.reason}"


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_answer_is_tokens_or_a_verdict(status: int, body: bytes) -> None:
    error = failure(status, body)

    assert (error.outcome is Outcome.UNKNOWN) == (status != 503 and not 400 <= status < 500)


def test_retry_after_is_seconds_or_nothing() -> None:
    assert parse_retry_after("12") == 12
    assert parse_retry_after(" 0 ") == 0
    for value in (None, "", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 30):
        assert parse_retry_after(value) is None
    assert failure(503, b"", headers={"retry-after": "7"}).retry_after == 7


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [(400, b"", True), (404, b"", True), (400, {"error": "invalid_scope"}, True),
     (200, {"error": "invalid_request"}, True), (400, {"error": "invalid_client"}, False),
     (401, b"", False), (429, b"", False), (503, b"", False), (500, b"", False)],
)  # fmt: skip
def test_refusals_are_told_from_what_passes(status: int, body: object, refused: bool) -> None:
    assert failure(status, body).is_refusal is refused


def test_an_unknown_error_word_is_shown_if_it_can_be_no_secret() -> None:
    assert "consent_required" in failure(400, {"error": "consent_required"}).detail
    for word in ("abc123", "Consent", "a" * 41, "a-b", "a b", 'a"'):
        assert word not in failure(400, {"error": word}).detail


def test_a_redirect_names_the_setting() -> None:
    assert "oauth.token_endpoint" in failure(307, b"").detail


# ── whatever it looks like, a rotated token that can be read is kept ──


def rotated(body: bytes, status: int = 200, **options: Any) -> str | None:
    """Return the refresh token that is held after such an answer."""
    try:
        tokens = parse(status, body, previous=SENT, **options)
    except RotatedError as error:
        return error.refresh_token.reveal()
    except TokenEndpointError:
        return None
    return tokens.refresh_token.reveal() if tokens.refresh_token else None


NEW = b'"access_token": "new", "refresh_token": "new-refresh"'
ODD_BODIES = {
    "latin-1": b'{"name": "M\xfcller", ' + NEW + b"}",
    "5000 digits": b'{"expires_in": ' + b"9" * 5000 + b", " + NEW + b"}",
    "exponent": b'{"expires_in": 1e999, ' + NEW + b"}",
    "deep": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b", " + NEW + b"}",
    "cut off in another field": b"{" + NEW + b', "scope": "a b',
    "cut off at once": b"{" + NEW,
    "raw control": b'{"x": "a\nb", ' + NEW + b"}",
    "NUL": b"{" + NEW + b', "x": "\x00"}',
    "trailing comma": b"{" + NEW + b",}",
    "prefix against hijacking": b")]}',\n{" + NEW + b"}",
    "in a list": b"[{" + NEW + b"}]",
    "escaped quotes before": b'{"x": "\\"refresh_token\\": \\"no\\"", ' + NEW + b"}",
    "nested namesake": b'{"x": {"refresh_token": "no"}, ' + NEW + b"}",
    "form": b"access_token=new&refresh_token=new-refresh&expires_in=5",
    "byte order mark": b"\xef\xbb\xbf{" + NEW + b"}",
    "utf-16": (b"{" + NEW + b"}").decode().encode("utf-16"),
    "strange type": b'{"token_type": 5, ' + NEW + b"}",
    "mac": b'{"token_type": "mac", ' + NEW + b"}",
    "unusable access token": b'{"access_token": "\xfc", "refresh_token": "new-refresh"}',
    "no access token": b'{"refresh_token": "new-refresh"}',
    "with an error": b'{"error": "invalid_grant", ' + NEW + b"}",
}


@pytest.mark.parametrize("kind", ODD_BODIES)
def test_no_oddity_loses_a_rotated_token(kind: str) -> None:
    for status in (200, 201, 302, 400, 500):
        assert rotated(ODD_BODIES[kind], status) == "new-refresh"
    for charset in ("utf-8", "iso-8859-1", "utf-16", "nonsense", "hex"):
        headers = {"content-type": f"application/json; charset={charset}"}
        assert rotated(ODD_BODIES[kind], headers=headers) == "new-refresh"


@pytest.mark.parametrize(
    "body",
    [b'{"access_token": "new"', b'{"access_token": "new", "refresh_token": "new-ref',
     b'{"access_token": "new", "refresh_', b'{"access_token": "new", "refresh_token": 5'],
)  # fmt: skip
def test_a_refresh_token_that_was_cut_off_is_not_taken_for_a_missing_one(body: bytes) -> None:
    assert failure(200, body, previous=SENT).outcome is Outcome.UNKNOWN


def test_our_own_refresh_token_echoed_is_no_new_one() -> None:
    error = failure(400, {"error": "invalid_grant", "refresh_token": "old-refresh"}, previous=SENT)

    assert error.outcome is Outcome.INVALID_GRANT


def test_a_hostile_answer_takes_no_time() -> None:
    for body in (
        b'{"' + b'\\"' * 500_000,
        b"{" * 1_000_000,
        b'{"a":' * 200_000,
        b"{" + b" " * 1_000_000,
    ):
        assert rotated(body) is None
