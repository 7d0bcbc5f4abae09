"""What a 403 and a 404 are explained by (rule 5 of answers)."""

import pytest

from proxy.smartrecruiters.operations import match, operations_by_name
from proxy.smartrecruiters.scopes import explain_403, explain_404, named_scopes, scopes_of
from proxy.smartrecruiters.tables import read_table

CANDIDATE = match("GET", "/candidates/1")
UNKNOWN = match("GET", "/jobs")


def test_each_row_of_the_table_is_an_operation_and_has_a_source():
    rows = list(read_table("scopes.tsv"))

    assert len(rows) == 56
    for method, path, scopes, source, *_ in rows:
        assert f"{method} {path}" in operations_by_name()
        assert scopes
        assert source


def test_the_known_scopes_of_an_operation():
    known = scopes_of(CANDIDATE)

    assert known is not None
    assert known.any_of == ("candidates_read",)
    assert "reference" in known.source
    assert scopes_of(UNKNOWN) is None
    assert scopes_of(None) is None


@pytest.mark.parametrize(
    ("header", "scopes"),
    [
        ('Bearer scope="a b", error="insufficient_scope"', ("a", "b")),
        ('Bearer realm="x", error="insufficient_scope", scope="jobs_read"', ("jobs_read",)),
        ('Basic realm="x", bearer Scope="a"', ("a",)),
        ('Bearer realm="x"', ()),
        ('Basic realm="x", scope="a"', ()),
        ("Bearer", ()),
        ("", ()),
        ('Bearer scope="a', ()),
    ],
)
def test_the_scopes_that_a_refusal_names(header, scopes):
    assert named_scopes(header) == scopes


def test_the_scope_that_the_answer_names_counts_before_the_known_one():
    refusal = explain_403(CANDIDATE, 'Bearer scope="candidates_manage"', ["candidates_read"])

    assert refusal.needs == ("candidates_manage",)
    assert refusal.granted == ("candidates_read",)
    assert "SmartRecruiters names the scope candidates_manage" in refusal.text
    assert "does not have" in refusal.text
    assert "System role" in refusal.text


def test_a_scope_that_was_granted_leaves_the_role_as_the_cause():
    refusal = explain_403(CANDIDATE, None, ["candidates_read", "jobs_read"])

    assert refusal.needs == ("candidates_read",)
    assert "which the grant has" in refusal.text
    assert "System role" in refusal.text


def test_both_spellings_of_a_scope_are_the_same_scope():
    refusal = explain_403(
        CANDIDATE, 'Bearer scope="candidate_status_read"', ["candidates_status_read"]
    )

    assert "which the grant has" in refusal.text


def test_an_unknown_need_and_an_unknown_grant_are_said_to_be_unknown():
    assert "not known" in explain_403(UNKNOWN, None, []).text
    assert "what was granted is not known" in explain_403(CANDIDATE, None, []).text


def test_a_404_is_explained_by_what_was_probably_meant():
    text = explain_404("GET", "//jobs")

    assert text is not None
    assert "two slashes" in text
    assert "Did you mean GET /jobs?" in text
    assert explain_404("GET", "/nothing/like/it") is None
