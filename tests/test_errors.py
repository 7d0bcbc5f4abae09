"""The table of problems: complete, within RFC 9209's words, and each tells what to do."""

import re
from pathlib import Path

import pytest

from proxy.errors import (
    KINDS,
    ConfigurationError,
    GrantEnded,
    Problem,
    ProxyError,
    StartError,
    StoreError,
    TokenEndpointError,
)

# Code and status are public (docs/behaviour.md, "Errors made by the proxy").
PUBLIC = {
    "login_required": 503,
    "token_endpoint_unavailable": 503,
    "store_unavailable": 503,
    "bad_host": 421,
    "cross_origin": 403,
    "unauthorized": 401,
    "not_allowed": 403,
    "bad_request": 400,
    "head_too_large": 431,
    "connection_limit_reached": 503,
    "dns_error": 502,
    "connection_refused": 502,
    "connection_terminated": 502,
    "tls_certificate_error": 502,
    "tls_protocol_error": 502,
    "http_protocol_error": 502,
    "connection_timeout": 504,
    "http_response_timeout": 504,
    "loop_detected": 508,
    "shutting_down": 503,
    "not_found": 404,
}
BEHAVIOUR = (Path(__file__).parent.parent / "docs/behaviour.md").read_text()
# RFC 9209 section 2.3, the registered proxy error types that we use.
ERROR_TYPES = {
    "dns_error", "destination_unavailable", "connection_refused", "connection_terminated",
    "connection_timeout", "connection_limit_reached", "tls_protocol_error",
    "tls_certificate_error", "http_request_error", "http_request_denied", "http_protocol_error",
    "http_response_timeout", "proxy_internal_error", "proxy_configuration_error",
    "proxy_loop_detected",
}  # fmt: skip


def test_every_public_code_has_its_status():
    assert PUBLIC.items() <= {code: kind.status for code, kind in KINDS.items()}.items()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_well_formed(kind):
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert KINDS[kind.code] is kind
    assert kind.error_type in ERROR_TYPES
    # A dry run is told as a problem, but is none.
    assert 400 <= kind.status < 600 or kind.code == "dry_run"
    assert kind.title
    assert kind.help.endswith(".")


def test_a_problem_carries_its_kind_and_may_have_a_status_of_its_own():
    assert Problem("bad_request", "…").status == 400
    assert Problem("bad_request", "…", status=405).status == 405
    assert Problem("bad_host", "…").code == "bad_host"
    with pytest.raises(KeyError):
        Problem("no_such_code", "…")


@pytest.mark.parametrize(
    "error", [Problem, ConfigurationError, StoreError, GrantEnded, TokenEndpointError, StartError]
)
def test_all_errors_have_one_root(error):
    assert issubclass(error, ProxyError)


def test_configuration_errors_are_told_all_at_once():
    assert str(ConfigurationError(["a: b", "c: d"])) == "a: b\nc: d"


def test_a_store_error_says_where_what_and_what_to_do():
    error = StoreError("/state/default.json", "is not readable", "restore the folder's mode")

    assert str(error) == "/state/default.json: is not readable; restore the folder's mode"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_stands_in_the_documentation_with_its_help(kind):
    row = f"| `{kind.code}` | {kind.status} | {kind.side.value} | {kind.help} |"

    assert row in BEHAVIOUR


def test_the_documentation_has_no_code_that_does_not_exist():
    documented = re.findall(r"^\| `([a-z_]+)` \| \d{3} \|", BEHAVIOUR, re.MULTILINE)

    assert documented == list(KINDS)
