"""The grammar of allow rules, and that no spelling widens one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.guards.rules import RuleSet
from tests.gateway.guards.support import is_plain


def both_ways(rules: list[str], method: str, path: str) -> bool:
    """Ask with and without what the gate knows of a plain path; the answers must agree."""
    ruleset = RuleSet(rules)
    slow = ruleset.admits(method.encode(), path.encode())
    if is_plain(path.encode()):
        assert ruleset.admits(method.encode(), path.encode(), plain=True) is slow
    return slow


@pytest.mark.parametrize(
    ("rule", "method", "path", "expected"),
    [
        ("GET,HEAD **", "GET", "/candidates/1", True),
        ("GET,HEAD **", "HEAD", "/", True),
        ("GET,HEAD **", "POST", "/candidates", False),
        ("GET **", "HEAD", "/candidates", False),
        ("GET **", "get", "/candidates", False),
        ("* **", "PROPFIND", "/x", True),
        ("POST /candidates", "POST", "/candidates", True),
        ("POST /candidates", "POST", "/Candidates", False),
        ("POST /candidates", "POST", "/candidates/", False),
        ("POST /candidates", "POST", "/candidates/1", False),
        ("POST /candidates", "POST", "/candidatesx", False),
        ("GET /candidates/*", "GET", "/candidates/1", True),
        ("GET /candidates/*", "GET", "/candidates", False),
        ("GET /candidates/*", "GET", "/candidates/", False),
        ("GET /candidates/*", "GET", "/candidates/1/2", False),
        ("* /jobs/{id}", "DELETE", "/jobs/abc", True),
        ("* /jobs/{id}/publication", "DELETE", "/jobs/abc/publication", True),
        ("* /jobs/{id}/publication", "DELETE", "/jobs/abc/notes", False),
        ("GET /jobs/**", "GET", "/jobs/1", True),
        ("GET /jobs/**", "GET", "/jobs/1/2/3", True),
        ("GET /jobs/**", "GET", "/jobs", True),
        ("GET /jobs/**", "GET", "/jobsx", False),
        ("GET /**", "GET", "/", True),
        ("GET /**", "GET", "/x/y", True),
        ("GET /", "GET", "/", True),
        ("GET /", "GET", "/x", False),
        ("GET /a.b", "GET", "/a.b", True),
        ("GET /a.b", "GET", "/axb", False),
        ("GET /a+b", "GET", "/aab", False),
        ("GET /c%61t", "GET", "/c%61t", True),
        ("GET /cat", "GET", "/c%61t", False),
    ],
)
def test_a_rule_admits_what_it_says(rule, method, path, expected):
    assert both_ways([rule], method, path) is expected


AMBIGUOUS = [
    "/jobs/a%2fb", "/jobs/a%2Fb", "/jobs/a%5cb", "/jobs/a%5Cb", "/jobs/%2e", "/jobs/a%2eb",
    "/jobs/a;b", "/jobs;x/a", "/jobs/a%3bb", "//jobs/a", "/jobs//a", "/jobs/a/", "/jobs/",
    "/jobs/a%252fb", "/jobs/a%25252fb", "/jobs/a\\b",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_read_in_two_ways_matches_only_the_bare_rest(path):
    for rule in ("GET /jobs/*", "GET /jobs/**", "GET /**", "* /jobs/{id}", "GET /*/*", "* /**"):
        assert not both_ways([rule], "GET", path)

    assert both_ways(["GET **"], "GET", path)
    assert both_ways(["* **"], "GET", path)
    assert not both_ways(["POST **"], "GET", path)


def test_no_rules_admit_everything():
    assert both_ways([], "DELETE", "/jobs//..")
    assert not RuleSet([])


def test_rules_add_up():
    rules = ["GET,HEAD /jobs/*", "POST /candidates", "* /reviews/**"]

    assert both_ways(rules, "GET", "/reviews/1")
    assert both_ways(rules, "HEAD", "/jobs/1")
    assert both_ways(rules, "POST", "/candidates")
    assert not both_ways(rules, "POST", "/jobs/1")
    assert not both_ways(rules, "PATCH", "/candidates")


@given(st.text(alphabet="/ab.;%25fFeE*{}\\", max_size=14))
def test_a_narrow_rule_is_never_wider_than_its_segments(tail):
    path = "/jobs/" + tail
    if both_ways(["GET /jobs/*"], "GET", path):
        assert tail
        assert "/" not in tail
        assert "%2f" not in tail.lower()
        assert ";" not in tail
