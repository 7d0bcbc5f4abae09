"""What is known of SmartRecruiters, at work in the data path (rules 4 and 5 of answers)."""

import pytest

from tests.support.proxying import proxying
from tests.support.recorder import Recorder

REFUSED = (
    b"HTTP/1.1 403 Forbidden\r\n"
    b'WWW-Authenticate: Bearer scope="a b", error="insufficient_scope"\r\n'
    b"Content-Length: 2\r\n\r\nno"
)
REFUSED_BARE = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def asking(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode()


def answering(body: bytes, content_type: bytes = b"application/json") -> bytes:
    return b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b' % (
        content_type,
        len(body),
        body,
    )


@pytest.mark.parametrize("on", [True, False])
async def test_links_in_bodies_lead_back_where_the_setting_says_so(on):
    async with Recorder() as upstream:
        body = b'{"u": "%b/jobs/1"}' % upstream.url.encode()
        upstream.answers[:] = [answering(body)]
        async with proxying(upstream, upstream={"rewrite_links": on}) as proxy:
            head, got = await proxy.ask(asking("/jobs/1"))
        request = upstream.requests[0]

    assert got == (b'{"u": "http://localhost/jobs/1"}' if on else body)
    assert (b'\r\nETag: W/"v1"\r\n' in head) is on
    assert (b'\r\nETag: "v1"\r\n' in head) is not on
    assert request.values(b"accept-encoding") == ([] if on else [b"gzip"])
    assert b"Content-Length: %d\r\n" % len(got) in head


async def test_what_is_no_json_passes_untouched_and_head_has_its_length():
    async with Recorder() as upstream:
        body = b'"%b/"' % upstream.url.encode()
        upstream.answers[:] = [answering(body, b"text/plain")]
        async with proxying(upstream, upstream={"rewrite_links": True}) as proxy:
            head, got = await proxy.ask(asking("/x"))

    assert got == body
    assert b'\r\nETag: "v1"\r\n' in head


@pytest.mark.parametrize(
    ("answer", "needs"), [(REFUSED, ("a", "b")), (REFUSED_BARE, ("candidates_read",))]
)
async def test_a_403_passes_and_its_record_says_what_it_needs(answer, needs):
    async with Recorder(answers=[answer]) as upstream:
        async with proxying(upstream) as proxy:
            head, body = await proxy.ask(asking("/candidates/1"))

    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert body == b"no"
    (record,) = proxy.records
    assert record.operation == "GET /candidates/{id}"
    assert record.needs == needs
    assert record.granted == ()


async def test_a_404_of_no_operation_is_told_once_with_the_nearest(caplog):
    async with Recorder(answers=[MISSING, MISSING]) as upstream:
        async with proxying(upstream) as proxy:
            await proxy.ask(asking("/reports"))
            await proxy.ask(asking("/reports"))

    told = [r.getMessage() for r in caplog.records if "no_such_operation" in r.getMessage()]
    assert len(told) == 1
    assert "version prefix missing: /reporting-api/v201804" in told[0]
