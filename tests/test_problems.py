"""A Problem as an answer: RFC 9457 and RFC 9209."""

import json

import pytest

from proxy.errors import KINDS, Problem
from proxy.problems import problem_body, problem_headers


@pytest.mark.parametrize("code", KINDS)
def test_every_problem_has_the_members_of_rfc_9457_and_its_code(code):
    body = json.loads(problem_body(Problem(code, "What happened.")))

    assert body["type"] == f"urn:smartrecruiters-proxy:{code}"
    assert body["title"] == KINDS[code].title
    assert body["status"] == KINDS[code].status
    assert body["detail"] == "What happened."
    assert body["code"] == code
    assert not {"reason", "login_url"} & body.keys()


@pytest.mark.parametrize("code", KINDS)
def test_every_problem_has_a_proxy_status(code):
    headers = dict(problem_headers(Problem(code, "…")))

    assert headers["Proxy-Status"] == (
        f'smartrecruiters-proxy; error={KINDS[code].error_type}; details="{code}"'
    )
    assert headers["Cache-Control"] == "no-store"


def test_what_helps_is_added():
    problem = Problem(
        "login_required",
        "…",
        reason="grant_expired",
        login_url="http://localhost:8080/-/login",
        retry_after=5,
        headers=[("Allow", "GET")],
    )

    body = json.loads(problem_body(problem))
    assert body["reason"] == "grant_expired"
    assert body["login_url"] == "http://localhost:8080/-/login"
    assert ("Retry-After", "5") in problem_headers(problem)
    assert ("Allow", "GET") in problem_headers(problem)


def test_the_body_is_ascii_safe_json_whatever_the_detail():
    detail = 'quote " back \\ line\nend </script> é'

    assert json.loads(problem_body(Problem("bad_request", detail)))["detail"] == detail
