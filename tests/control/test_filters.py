"""Which requests a filter lets through."""

import pytest

from proxy.control.filters import LONGEST, Filter
from tests.control.test_events import make_record

POST = make_record(
    1, method="POST", target=b"/candidates", status=503, whose="proxy", code="login_required",
    operation="POST /candidates", account="acme",
)  # fmt: skip
POSTINGS = make_record(2, target=b"/v1/companies/x/postings?limit=1", caller=None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [POST, POSTINGS]),
        ({"text": "post"}, [POST]),
        ({"text": "posting"}, [POSTINGS]),
        ({"text": "5xx"}, [POST]),
        ({"text": "503 cand"}, [POST]),
        ({"text": "404"}, []),
        ({"text": "LOGIN_req"}, [POST]),
        ({"text": "limit"}, [POSTINGS]),
        ({"method": "get"}, [POSTINGS]),
        ({"status": "5xx"}, [POST]),
        ({"status": "5XX", "method": "GET"}, []),
        ({"status": "200"}, [POSTINGS]),
        ({"operation": "post /cand"}, [POST]),
        ({"caller": "ats"}, [POST]),
        ({"caller": "at"}, []),
        ({"account": "acme"}, [POST]),
        ({"account": "default"}, []),
        ({"unknown": "x"}, [POST, POSTINGS]),
    ],
)
def test_a_filter_keeps_what_fits(query: dict[str, str], found: list[object]) -> None:
    wanted = Filter.of(query)

    assert [record for record in (POST, POSTINGS) if wanted.matches(record)] == found


def test_a_value_of_a_query_is_not_looked_through() -> None:
    assert not Filter(text="ada").matches(make_record(1))


def test_a_filter_is_bounded() -> None:
    assert len(Filter.of({"text": "x" * 10_000}).text) == LONGEST
