"""The grammar: each case whole, byte by byte, and with something behind it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Problem
from proxy.gateway.headers import InboundHeaders, Links
from proxy.gateway.http1 import (
    BodyDecoder,
    ChunkedDecoder,
    HeadBuffer,
    LengthDecoder,
    ResponseHead,
    UntilCloseDecoder,
    encode_chunk,
    encode_last_chunk,
    parse_request_head,
    parse_response_head,
)
from proxy.gateway.http1.fields import (
    LONGEST_LINE,
    LONGEST_NAME,
    REMEMBERED,
    _blocks,
    _common,
    _names,
)

REQUEST = b"POST /a?b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a:\t2 \r\nEmpty:\r\n\r\n"


def feed_head(data: bytes, *, size: int, response: bool = False) -> tuple[bytes, bytes]:
    """Feed in pieces of `size`; the head and what follows it within what was fed."""
    buffer = HeadBuffer(4096, response=response)
    for at in range(0, len(data), size):
        found = buffer.feed(data[at : at + size])
        if found is not None:
            head, rest = found
            return head, rest + data[at + size :]
    raise AssertionError("no head")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("behind", [b"", b"body", REQUEST])
def test_a_head_is_the_same_however_it_is_cut(size: int, behind: bytes) -> None:
    head, rest = feed_head(REQUEST + behind, size=size)

    assert head + b"\r\n" == REQUEST
    assert rest == behind


def test_a_request_head_keeps_order_case_and_repeats() -> None:
    head = parse_request_head(REQUEST[:-2])

    assert (head.method, head.target, head.minor) == (b"POST", b"/a?b", 1)
    assert head.headers == [(b"Host", b"h"), (b"X-A", b"1"), (b"x-a", b"2"), (b"Empty", b"")]
    assert head.fields == {b"host": b"h", b"x-a": b"1, 2", b"empty": b""}


@pytest.mark.parametrize(
    ("target", "path", "query", "plain"),
    [
        (b"/", b"/", None, True),
        (b"/a/b-1/", b"/a/b-1/", None, True),
        (b"/a?", b"/a", b"", True),
        (b"/a?x=/../&y=\xfc?%2e", b"/a", b"x=/../&y=\xfc?%2e", True),
        (b"//a", b"//a", None, False),
        (b"/a//b?c", b"/a//b", b"c", False),
        (b"/a/.b", b"/a/.b", None, False),
        (b"/a%2fb?c", b"/a%2fb", b"c", False),
        (b"/a;b", b"/a;b", None, False),
        (b"/a?b#c", b"/a", b"b#c", False),
        (b"/\xfc", b"/\xfc", None, False),
        (b"*", b"*", None, False),
        (b"http://h/a?b", b"http://h/a", b"b", False),
    ],
)
def test_a_target_is_split_and_a_plain_one_is_known(
    target: bytes, path: bytes, query: bytes | None, plain: bool
) -> None:
    head = parse_request_head(b"GET %b HTTP/1.1\r\n" % target)

    assert (head.target, head.path, head.query, head.is_plain) == (target, path, query, plain)


def test_a_repeated_block_shares_what_was_parsed() -> None:
    first = parse_request_head(REQUEST[:-2])
    second = parse_request_head(REQUEST[:-2].replace(b"/a?b", b"/c"), first)
    other = parse_request_head(REQUEST[:-2].replace(b"HTTP/1.1", b"HTTP/1.0"), first)

    assert second.target == b"/c"
    assert second.parsed is first.parsed
    assert other.parsed is not first.parsed


def test_an_answers_head_that_comes_again_is_not_parsed_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Id: 1\r\n"
    first = parse_response_head(answer)
    other = parse_response_head(answer.replace(b"X-Id: 1", b"X-Id: 2"), first)

    assert parse_response_head(bytes(bytearray(answer)), first) is first
    assert other.fields[b"x-id"] == b"2"
    assert [
        one is before for one, before in zip(other.parsed.lines, first.parsed.lines, strict=True)
    ] == [
        True,
        False,
    ]


STARTS = [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 201 Made"]
VALUES = {
    b"X-A": [b"1", b"2"],
    b"x-a": [b"1"],
    b"X-B": [b"1", b"2"],
    b"Content-Length": [b"5", b"7", b"5, 5"],
    b"Transfer-Encoding": [b"chunked", b"gzip"],
    b"Connection": [b"close", b"keep-alive", b"x-a"],
    b"Location": [b"http://up.example/a"],
    b"Alt-Svc": [b"h2"],
}


@st.composite
def following_heads(draw: st.DrawFn) -> list[bytes]:
    """Draw answers' heads of one connection, mostly with the same names in the same order."""
    start = draw(st.sampled_from(STARTS))
    names = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    heads = []
    for _ in range(3):
        if draw(st.integers(0, 4)) == 0:
            start = draw(st.sampled_from(STARTS))
        if draw(st.integers(0, 4)) == 0:
            names = draw(st.permutations(names))[1:]
        lines = [b"%b: %b" % (name, draw(st.sampled_from(VALUES[name]))) for name in names]
        heads.append(b"".join(line + b"\r\n" for line in (start, *lines)))
    return heads


def told_of(head: bytes, before: ResponseHead | None) -> tuple[object, ...]:
    try:
        read = parse_response_head(head, before)
    except Problem as problem:
        return problem.code, problem.detail
    framing = read.content_length, read.chunked, read.keep_alive, read.framing.options
    # A length that is said twice alike is kept once.
    fields = {name: value.partition(b",")[0] for name, value in read.fields.items()}
    others = {name: read.fields[name] for name in fields if name != b"content-length"}
    line = read.status_line
    passing = InboundHeaders(Links("http://up.example")).build(read, lambda: b"http://localhost")
    return line.line, line.minor, read.status, read.headers, fields, others, framing, passing


@given(following_heads())
def test_no_heads_before_change_what_is_read_of_an_answer(heads: list[bytes]) -> None:
    before = None
    for head in heads:
        assert told_of(head, before) == told_of(head, None)

        with suppress(Problem):
            before = parse_response_head(head, before)


def test_names_are_remembered_in_bounds() -> None:
    for number in range(3 * REMEMBERED):
        head = b"GET / HTTP/1.1\r\nX-%d: 1\r\nY-%b%d: 1\r\n" % (number, b"y" * 100, number)
        parse_request_head(head)

    assert 0 < len(_names) <= REMEMBERED
    assert max(map(len, _names)) <= LONGEST_NAME
    assert 0 < len(_blocks) <= REMEMBERED
    assert max(len(name) for names in _blocks for name in names) <= LONGEST_NAME
    one, other = (
        parse_request_head(b"GET / HTTP/1.1\r\nX-Name: %d\r\n" % n).parsed.lines[0] for n in (1, 2)
    )
    assert one.name is other.name
    assert one.lower is other.lower


def test_lines_without_secrets_are_shared_by_connections_in_bounds() -> None:
    heads = [
        b"GET /%d HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nUser-Agent: a\r\n" % n for n in (1, 2)
    ]
    one, other = (parse_request_head(head).parsed for head in heads)

    assert one.names is other.names
    assert [a is b for a, b in zip(one.lines, other.lines, strict=True)] == [True, False, True]
    for number in range(2 * REMEMBERED):
        line = b"User-Agent: %b%d\r\n" % (b"x" * (number % 2 * 200), number)
        parse_request_head(b"GET / HTTP/1.1\r\n" + line)
    assert 0 < len(_common) <= REMEMBERED
    assert max(map(len, _common)) <= LONGEST_LINE
    assert not any(b"key" in line.lower() for line in _common)


def test_what_a_head_before_had_does_not_change_what_is_read() -> None:
    heads = [
        b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n",
        b"HTTP/1.1 404 No\r\nB: 2\r\nC: 3\r\n",
        b"HTTP/1.1 404 No\r\nB: 2\r\n c\r\nC: 3\r\nA: 1\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 1\r\n",
    ]
    for before in heads:
        for head in heads:
            read = parse_response_head(head, parse_response_head(before))
            alone = parse_response_head(head)

            assert (read.status, read.status_line.minor, read.reason) == (
                alone.status,
                alone.status_line.minor,
                alone.reason,
            )
            assert (read.headers, read.fields) == (alone.headers, alone.fields)


@pytest.mark.parametrize(
    ("lines", "passed"),
    [
        (b"Content-Length: 3\r\nA: 1\r\ncontent-length: 3\r\n", 3),
        (b"Content-Length: 3, 3\r\nA: 1\r\n", 3),
        (b"Content-Length: 3,3\r\nA: 1\r\nContent-Length: 3\r\n", 3),
        (b"Transfer-Encoding: chunked\r\nA: 1\r\nTransfer-Encoding: Chunked\r\n", None),
    ],
)
def test_a_framing_that_an_answer_says_twice_alike_is_taken_once(
    lines: bytes, passed: int | None
) -> None:
    head = parse_response_head(b"HTTP/1.1 200 OK\r\n" + lines)

    assert (head.content_length, head.chunked) == (passed, passed is None)
    if passed is not None:
        assert head.headers == [(b"Content-Length", b"3"), (b"A", b"1")]


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 3\r\nContent-Length: 03\r\n",
        b"Content-Length: 3,\r\n",
        b"Content-Length: ,\r\n",
        b"Content-Length: +3, +3\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\nContent-Length: 3\r\n",
    ],
)
def test_a_framing_that_an_answer_contradicts_is_refused(lines: bytes) -> None:
    with pytest.raises(Problem):
        parse_response_head(b"HTTP/1.1 200 OK\r\n" + lines)


@pytest.mark.parametrize(
    ("line", "length", "chunked"),
    [
        (b"", None, False),
        (b"Content-Length: 0\r\n", 0, False),
        (b"content-length:  17 \r\n", 17, False),
        (b"Transfer-Encoding: CHUNKED\r\n", None, True),
    ],
)
def test_the_framing_of_a_request(line: bytes, length: int | None, chunked: bool) -> None:
    head = parse_request_head(b"GET / HTTP/1.1\r\n" + line)

    assert (head.content_length, head.chunked) == (length, chunked)


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.0 404 ", 404, b""),
        (b"HTTP/1.1 204", 204, b""),
        (b"HTTP/1.1 299 caf\xe9 \t x", 299, b"caf\xe9 \t x"),
        (b"HTTP/1.1 100 Continue", 100, b"Continue"),
        (b"HTTP/1.1 600 Own", 600, b"Own"),
        (b"HTTP/1.1 999 Denied", 999, b"Denied"),
    ],
)
def test_a_status_line(line: bytes, status: int, reason: bytes) -> None:
    head = parse_response_head(line + b"\r\n")

    assert (head.status, head.reason) == (status, reason)


def test_an_answer_may_hold_what_a_request_may_not() -> None:
    head = parse_response_head(b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nY : c\r\nZ: d\r\n e\r\n")

    assert head.headers == [(b"X", b"a\x01b"), (b"Y", b"c"), (b"Z", b"d e")]


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\n", b" GET", b"GET / HTTP/1.1\nHost", b"\0"])
def test_what_cannot_become_a_request_is_told_at_once(data: bytes) -> None:
    with pytest.raises(Problem) as raised:
        HeadBuffer(4096).feed(data)

    assert raised.value.code == "bad_request"


@pytest.mark.parametrize("data", [b"HTTP/2 ", b"\x15\x03", b"<html>", b"HTTP/1.1 200 OK\nX"])
def test_what_cannot_become_an_answer_is_told_at_once(data: bytes) -> None:
    with pytest.raises(Problem) as raised:
        HeadBuffer(4096, response=True).feed(data)

    assert raised.value.code == "http_protocol_error"


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_head_beyond_the_limit_is_refused_however_it_comes(size: int) -> None:
    with pytest.raises(Problem) as raised:
        feed_head(b"GET / HTTP/1.1\r\nX: " + b"y" * 5000 + b"\r\n\r\n", size=size)

    assert raised.value.status == 431


@pytest.mark.parametrize(
    ("minor", "value", "kept"),
    [
        (1, None, True),
        (0, None, False),
        (1, b"close", False),
        (1, b"Keep-Alive, Close", False),
        (0, b"keep-alive", True),
        (0, b"Keep-Alive", True),
        (0, b"x, Keep-Alive", True),
        (0, b"x", False),
        (1, b"x", True),
    ],
)
def test_whether_a_connection_is_kept(minor: int, value: bytes | None, kept: bool) -> None:
    line = b"" if value is None else b"Connection: %b\r\n" % value

    assert parse_request_head(b"GET / HTTP/1.%d\r\n%b" % (minor, line)).keep_alive is kept


# ── bodies ──


def decode(decoder: BodyDecoder, data: bytes, size: int) -> tuple[bytes, bytes]:
    """Feed in pieces; the body, and what was left over after its end."""
    body = b""
    for at in range(0, len(data), size):
        body += decoder.feed(data[at : at + size])
        if decoder.finished:
            return body, decoder.excess + data[at + size :]
    return body, b""


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_chunked_body(size: int, behind: bytes) -> None:
    decoder = ChunkedDecoder()
    wire = b'3;x="y";z\r\nabc\r\n00a ;q\r\n0123456789\r\n0\r\nA: 1\r\nb:2\r\n\r\n'

    assert decode(decoder, wire + behind, size) == (b"abc0123456789", behind)
    assert decoder.trailers == [(b"A", b"1"), (b"b", b"2")]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_body_by_length(size: int) -> None:
    assert decode(LengthDecoder(5), b"hello, world", size) == (b"hello", b", world")


def test_a_body_of_no_length_is_finished_and_everything_is_left_over() -> None:
    decoder = LengthDecoder(0)

    assert decoder.finished
    assert decoder.feed(b"x") == b""
    assert decoder.excess == b"x"


def test_a_body_until_close_never_finishes_by_itself() -> None:
    decoder = UntilCloseDecoder()

    assert decoder.feed(b"x") == b"x"
    assert not decoder.finished


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_chunked_body_that_breaks_off_does_not_finish(cut: int) -> None:
    wire = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    decoder = ChunkedDecoder()
    decoder.feed(wire[: max(0, len(wire) - cut)])

    assert not decoder.finished


@pytest.mark.parametrize("upstream", [False, True])
def test_a_padded_chunk_size_is_taken_from_an_upstream_alone(upstream: bool) -> None:
    decoder = ChunkedDecoder(upstream=upstream)
    if upstream:
        assert decoder.feed(b"1  \r\nx\r\n") == b"x"
        return
    with pytest.raises(Problem) as raised:
        decoder.feed(b"1  \r\nx\r\n")

    assert raised.value.code == "bad_request"


@pytest.mark.parametrize("line", [b"5;", b"5 ;", b"5;;a", b"5;a=", b"5; ", b"5;a;", b'5;a="x'])
def test_a_chunk_extension_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(Problem) as raised:
        ChunkedDecoder().feed(line + b"\r\nhello\r\n0\r\n\r\n")

    assert raised.value.code == "bad_request"


@pytest.mark.parametrize("line", [b"5;a", b"5;a=b", b'5;a="x\\"y"', b"5 ; a = b ;\tc"])
def test_a_chunk_extension_is_dropped(line: bytes) -> None:
    assert ChunkedDecoder().feed(line + b"\r\nhello\r\n0\r\n\r\n") == b"hello"


def test_many_small_chunks_become_one_piece() -> None:
    assert ChunkedDecoder().feed(b"1\r\nx\r\n" * 1000) == b"x" * 1000


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 60))
def test_what_is_encoded_is_decoded(pieces: list[bytes], size: int) -> None:
    trailers = [(b"X-T", b"1")] if len(pieces) % 2 else []
    wire = b"".join(map(encode_chunk, pieces)) + encode_last_chunk(trailers)
    decoder = ChunkedDecoder()

    assert decode(decoder, wire, size) == (b"".join(pieces), b"")
    assert decoder.trailers == trailers


@given(st.binary(max_size=200), st.integers(1, 50))
def test_no_bytes_at_all_make_the_decoders_fail_in_another_way(data: bytes, size: int) -> None:
    for decoder in (ChunkedDecoder(), ChunkedDecoder(upstream=True)):
        with suppress(Problem):
            decode(decoder, data, size)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_head_parsers_fail_in_another_way(data: bytes) -> None:
    for parse in (parse_request_head, parse_response_head):
        with suppress(Problem):
            parse(data + b"\r\n")
