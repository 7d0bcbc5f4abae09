"""An exchange survives the way into a HAR entry and back, byte for byte; credentials do not."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.recording.exchange import Body
from proxy.recording.har import build_entry, parse_entry
from tests.recording.support import exchange, message, unmasked

JSON = ("Content-Type", "application/json")


@given(
    body=st.binary(max_size=200),
    answer=st.binary(max_size=200),
    media_type=st.sampled_from(
        [
            "application/json",
            "text/plain; charset=utf-8",
            "text/csv; charset=latin-1",
            "image/png",
            "",
        ]
    ),
)
def test_bodies_come_back_byte_for_byte(body: bytes, answer: bytes, media_type: str) -> None:
    headers = [("Content-Type", media_type)] if media_type else []
    recorded = exchange("POST", body=body, answer=answer, sent=headers, got=headers or [("A", "b")])
    entry = json.loads(json.dumps(build_entry(recorded, unmasked)))
    parsed = parse_entry(entry)

    assert parsed is not None
    assert (parsed.method, parsed.url, parsed.status) == ("POST", recorded.url, 200)
    assert parsed.request.body.data == body
    assert parsed.response.body.data == answer
    assert parsed.response.headers == recorded.response.headers


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_shown_decoded_and_comes_back_as_it_went(encoding, compress):
    data = compress(b'{"a": 1}')
    recorded = exchange(answer=data, got=[JSON, ("Content-Encoding", encoding)])
    entry = build_entry(recorded, unmasked)
    parsed = parse_entry(entry)

    assert entry["response"]["content"]["text"] == '{"a": 1}'
    assert parsed is not None
    assert parsed.response.body.data == data
    assert ("Content-Encoding", encoding) in parsed.response.headers


def test_a_compressed_body_of_another_program_is_answered_decoded():
    """Browsers, Postman and mitmproxy keep the header, though what they write is decoded."""
    entry = build_entry(exchange(got=[JSON, ("Content-Encoding", "gzip")]), unmasked)
    entry["response"]["content"] = {"mimeType": "application/json", "text": "{}"}
    parsed = parse_entry(entry)

    assert parsed is not None
    assert parsed.response.body.data == b"{}"
    assert parsed.response.headers == [JSON]


def test_a_bomb_stays_as_it_went():
    data = gzip.compress(b"\0" * (20 * 1024 * 1024))
    entry = build_entry(exchange(answer=data, got=[JSON, ("Content-Encoding", "gzip")]), unmasked)

    assert entry["response"]["content"]["encoding"] == "base64"
    assert len(entry["response"]["content"]["text"]) < 100_000


@pytest.mark.parametrize("name", ["Authorization", "x-smarttoken", "Set-Cookie", "X-API-Key"])
def test_credentials_are_masked_whole(name):
    recorded = exchange(sent=[(name, "canary")], got=[(name, "canary"), JSON])

    assert "canary" not in json.dumps(build_entry(recorded, unmasked))


def test_the_mask_sees_url_headers_and_text_bodies():
    def mask(text: str) -> str:
        return text.replace("canary", "***")

    recorded = exchange(
        "POST",
        "/jobs?t=canary",
        body=b"canary",
        sent=[("A", "canary"), ("Content-Type", "text/x")],
        answer=b'"canary"',
    )

    assert "canary" not in json.dumps(build_entry(recorded, mask))


def test_a_body_kept_in_part_says_so():
    recorded = exchange(answer=b"abc")
    recorded.response.body = Body(b"abc", 1000)
    content = build_entry(recorded, unmasked)["response"]["content"]

    assert content["size"] == 1000
    assert "first 3 bytes" in content["comment"]


def test_an_answer_that_broke_off_is_not_given_again():
    recorded = exchange()
    recorded.complete = False

    assert parse_entry(build_entry(recorded, unmasked)) is None


@pytest.mark.parametrize(
    "entry",
    [{}, {"request": {}}, {"request": {"method": "GET", "url": "/"}, "response": {"status": 0}},
     {"request": None, "response": None}],
)  # fmt: skip
def test_what_is_no_answered_request_is_passed_over(entry):
    assert parse_entry(entry) is None


def test_header_looks_whatever_the_case():
    assert message(b"", ("Content-TYPE", "a"), ("content-type", "b")).header("content-type") == "a"


@pytest.mark.parametrize("charset", ["undefined", "punycode", "idna", "none"])
def test_a_charset_that_a_stranger_chose_is_no_reason_to_fail(charset):
    typed = [("Content-Type", f"text/plain; charset={charset}")]
    made = exchange("POST", body=b"hello", sent=typed, answer=b"hello", got=typed)
    entry = build_entry(made, unmasked)

    assert entry["response"]["content"]["encoding"] == "base64"
    parsed = parse_entry(entry)
    assert parsed is not None
    assert parsed.response.body.data == b"hello"


def test_what_was_masked_in_a_compressed_body_does_not_stand_beside_it():
    packed, typed = gzip.compress(b'"canary"'), ("Content-Type", "application/json")
    head = [typed, ("Content-Encoding", "gzip")]
    made = exchange("POST", body=packed, sent=head, answer=packed, got=head)
    entry = build_entry(made, lambda text: text.replace("canary", "***"))

    assert "_raw" not in entry["response"]["content"]
    assert "_raw" not in entry["request"]["postData"]
    parsed = parse_entry(entry)
    assert parsed is not None
    assert parsed.response.body.data == b'"***"'
