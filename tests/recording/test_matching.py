"""Which recorded answer a request gets."""

import pytest

from proxy.recording.exchange import Body
from proxy.recording.matching import Tape
from tests.recording.support import exchange, message

MULTIPART = "multipart/form-data; boundary={}"


def test_the_same_request_again_gets_the_next_answer_then_the_last():
    tape = Tape([exchange(answer=b"1"), exchange(answer=b"2")])
    answers = [tape.answer("GET", "/jobs", message()) for _ in range(4)]

    assert [answer and answer.response.body.data for answer in answers] == [b"1", b"2", b"2", b"2"]


@pytest.mark.parametrize(
    ("target", "found"),
    [("/jobs?a=1&b=2", True), ("/jobs?b=2&a=1", True), ("/jobs?a=1", False), ("/jobs", False),
     ("/jobs?a=1&b=2&b=2", False), ("/job?a=1&b=2", False)],
)  # fmt: skip
def test_the_query_s_order_does_not_count(target, found):
    tape = Tape([exchange(target="/jobs?a=1&b=2")])

    assert (tape.answer("GET", target, message()) is not None) == found


def test_a_write_is_told_by_its_body():
    tape = Tape(
        [exchange("POST", body=b"a", answer=b"aa"), exchange("POST", body=b"b", answer=b"bb")]
    )
    answer = tape.answer("POST", "/jobs", message(b"b"))

    assert answer is not None
    assert answer.response.body.data == b"bb"
    assert tape.answer("POST", "/jobs", message(b"c")) is None
    assert tape.differs_by_body("POST", "/jobs")


def test_an_upload_s_boundary_does_not_count():
    def upload(boundary: str) -> tuple[bytes, tuple[str, str]]:
        body = f"--{boundary}\r\n\r\nfile\r\n--{boundary}--\r\n".encode()
        return body, ("Content-Type", MULTIPART.format(boundary))

    body, header = upload("one")
    tape = Tape([exchange("POST", body=body, sent=[header])])
    body, header = upload("another")

    assert tape.answer("POST", "/jobs", message(body, header)) is not None


def test_a_body_that_was_not_kept_whole_matches_any():
    recorded = exchange("POST")
    recorded.request.body = Body(b"", 100)

    assert Tape([recorded]).answer("POST", "/jobs", message(b"x")) is recorded


def test_head_gets_the_answer_to_get():
    assert Tape([exchange()]).answer("HEAD", "/jobs", message()) is not None


def test_the_nearest_is_named():
    tape = Tape([exchange(target="/candidates/1"), exchange(target="/jobs/2")])

    assert tape.nearest("GET", "/jobs/3") == "GET /jobs/2"
    assert Tape([]).nearest("GET", "/") is None


def test_the_proxy_s_own_routes_are_not_played():
    assert Tape([exchange(target="/-/status")]).count == 0
