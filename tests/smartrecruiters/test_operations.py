"""Finding a request's operation, and what a wrong path was meant to be."""

import tracemalloc
import zipfile
from pathlib import Path
from subprocess import run
from sys import executable

import pytest

from proxy.smartrecruiters.limits import limits_of
from proxy.smartrecruiters.nearest import nearest
from proxy.smartrecruiters.operations import (
    match,
    name_of,
    operations,
    operations_by_name,
    search,
)


def test_each_operation_is_found_by_a_path_of_its_own():
    assert len(operations()) == 305
    for operation in operations():
        path = "/".join(
            "x-1" if segment.startswith("{") else segment for segment in operation.path.split("/")
        )
        assert match(operation.method, path) == operation


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/candidates/42", "GET /candidates/{id}"),
        ("HEAD", "/candidates/42", "GET /candidates/{id}"),
        ("POST", "/candidates/cv", "POST /candidates/cv"),
        # A candidate may be called "cv": only POST has the literal segment.
        ("GET", "/candidates/cv", "GET /candidates/{id}"),
        ("GET", "/candidates/attachments/7", "GET /candidates/attachments/{attachmentId}"),
        (
            "GET",
            "/candidates/attachments/attachments",
            "GET /candidates/attachments/{attachmentId}",
        ),
        ("GET", "/candidates/attachments/tags", "GET /candidates/attachments/{attachmentId}"),
        ("GET", "/candidates/attachments/jobs/9", "GET /candidates/{id}/jobs/{jobId}"),
        ("GET", "/users/me", "GET /users/me"),
        ("GET", "/user-api/v201804/users/me", "GET /user-api/v201804/users/me"),
        ("GET", "/user-api/v201804/users/you", "GET /user-api/v201804/users/{id}"),
        ("GET", "/%6Aobs/a%2Fb", "GET /jobs/{jobId}"),
    ],
)
def test_literal_segments_come_before_variables(method, path, name):
    operation = match(method, path)

    assert operation is not None
    assert operation.name == name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "jobs"),
        ("GET", "//jobs"),
        ("GET", "/jobs/"),
        ("GET", "/Jobs"),
        ("GET", "/jobs//publication"),
        ("BREW", "/jobs"),
        ("DELETE", "/jobs"),
        ("GET", "/user-api/v209912/users"),
        ("GET", "/jobs/" + "x" * 600),
    ],
)
def test_what_is_no_operation_matches_none(method, path):
    assert match(method, path) is None


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", b"/candidates/7", "GET /candidates/{id}"),
        ("HEAD", b"/jobs", "GET /jobs"),
        ("GET", b"/j%6fbs", "GET /jobs"),
        ("BREW", b"/jobs", "other"),
        ("GET", b"/\xff", "other"),
        ("GET", b"/jobs/" + b"x" * 600, "other"),
    ],
)
def test_a_request_has_the_name_of_its_operation_each_time(method, path, name):
    assert [name_of(method, path) for _ in range(2)] == [name, name]


def test_what_is_remembered_is_bounded():
    name_of("GET", b"/jobs")
    tracemalloc.start()
    for number in range(20_000):
        name_of("GET", b"/candidates/%0400d/jobs/7" % number)
        name_of(f"BREW-{number}", b"/jobs")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("method", "path", "name", "reason"),
    [
        ("GET", "//jobs", "GET /jobs", "two slashes"),
        ("GET", "/jobs/", "GET /jobs", "a slash at its end"),
        ("GET", "/Jobs", "GET /jobs", "upper-case"),
        ("GET", "//Jobs/", "GET /jobs", "slashes"),
        ("DELETE", "/jobs/7", "GET /jobs/{jobId}", "DELETE is not among the methods"),
        ("GET", "/reports", "GET /reporting-api/v201804/reports", "version prefix missing"),
        (
            "GET",
            "/reporting-api/reports",
            "GET /reporting-api/v201804/reports",
            "version prefix missing: /reporting-api/v201804",
        ),
        (
            "GET",
            "/webhooks-api/v202001/subscriptions",
            "GET /webhooks-api/v201907/subscriptions",
            "another version prefix",
        ),
        ("GET", "/v1/jobs", "GET /jobs", "has no version prefix"),
        ("GET", "/candidate/7", "GET /candidates/{id}", "no such operation"),
    ],
)
def test_the_nearest_operation_is_suggested_with_what_is_different(method, path, name, reason):
    suggestions = nearest(method, path)

    assert suggestions[0].operation.name == name
    assert reason in suggestions[0].reason
    assert len(suggestions) <= 3


@pytest.mark.parametrize("path", ["/", "/wp-login.php", "/x/y/z", "/" + "a" * 9000])
def test_nothing_is_suggested_for_what_is_like_nothing(path):
    assert nearest("GET", path) == ()


def test_operations_are_searched_by_words_of_name_and_area():
    names = [operation.name for operation in search(("get", "TAGS"))]

    assert names == ["GET /candidates/{id}/tags"]
    assert len(search(())) == 305
    assert {operation.area for operation in search(("webhooks-api",))} == {"Webhooks"}


@pytest.mark.parametrize(
    ("name", "per_second", "at_once"),
    [
        ("GET /jobs", 10, None),
        ("other", 10, None),
        ("POST /jobs/{jobId}/publication", 2, None),
        ("DELETE /jobs/{jobId}/publication", 2, None),
        ("GET /jobs/{jobId}/publication", 10, None),
        ("GET /offers/{offerId}/documents/{documentId}", 2, None),
        ("GET /candidates", 10, 1),
    ],
)
def test_the_documented_limits(name, per_second, at_once):
    assert name == "other" or name in operations_by_name()
    limits = limits_of(name)

    assert (limits.per_second, limits.at_once) == (per_second, at_once)


def test_the_tables_are_read_from_an_archive_too(tmp_path):
    """A zip application has no files beside its modules."""
    root = Path(__file__).parents[2]
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for path in [root / "proxy/__init__.py", *(root / "proxy/smartrecruiters").glob("*.*")]:
            writer.write(path, path.relative_to(root))
    program = (
        "from proxy.smartrecruiters.operations import match; print(match('GET', '/jobs').name)"
    )

    done = run(
        [executable, "-c", program],
        env={"PYTHONPATH": str(archive)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "GET /jobs\n"
