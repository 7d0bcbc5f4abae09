"""Links in JSON bodies: which are rewritten, however the body is cut (rule 4 of answers)."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.smartrecruiters.links import (
    LONGEST_KEPT,
    LinkRewriter,
    LinkTarget,
    is_rewritten,
    weak,
)

ORIGIN = b"http://localhost:8080"
UPSTREAM = "https://api.smartrecruiters.com"
PLAIN = LinkTarget(UPSTREAM)
PREFIXED = LinkTarget("https://gate.example/sr/")


def rewrite(pieces, target=PLAIN):
    rewriter = LinkRewriter(target, ORIGIN)
    return b"".join([*(rewriter.data(piece) for piece in pieces), rewriter.end()])


BODIES = [
    (b'{"url": "https://api.smartrecruiters.com/jobs"}', b'{"url": "http://localhost:8080/jobs"}'),
    (b'{"url":"https://api.smartrecruiters.com"}', b'{"url":"http://localhost:8080"}'),
    (b'{"u":"https://api.smartrecruiters.com?a=1"}', b'{"u":"http://localhost:8080?a=1"}'),
    (b'{"u":"https://api.smartrecruiters.com#top"}', b'{"u":"http://localhost:8080#top"}'),
    (
        rb'{"u":"https:\/\/api.smartrecruiters.com\/jobs\/1"}',
        rb'{"u":"http:\/\/localhost:8080\/jobs\/1"}',
    ),
    (b'"https://api.smartrecruiters.com/x"', b'"http://localhost:8080/x"'),
    (
        b'["https://api.smartrecruiters.com/a",\n "https://api.smartrecruiters.com/b" ]',
        b'["http://localhost:8080/a",\n "http://localhost:8080/b" ]',
    ),
    # Keys: the first, and one behind a comma, whose colon may be far.
    (b'{"https://api.smartrecruiters.com/a":1}', b'{"https://api.smartrecruiters.com/a":1}'),
    (
        b'{"a":1,"https://api.smartrecruiters.com/a" \n : 2}',
        b'{"a":1,"https://api.smartrecruiters.com/a" \n : 2}',
    ),
    # Within a string, another host, a longer host, another port, user and password.
    (b'["see https://api.smartrecruiters.com/a"]', b'["see https://api.smartrecruiters.com/a"]'),
    (rb'["\"https://api.smartrecruiters.com/a"]', rb'["\"https://api.smartrecruiters.com/a"]'),
    (rb'["\\","https://api.smartrecruiters.com/a"]', rb'["\\","http://localhost:8080/a"]'),
    (b'["https://api.smartrecruiters.com.evil/"]', b'["https://api.smartrecruiters.com.evil/"]'),
    (b'["https://api.smartrecruiters.com:8443/"]', b'["https://api.smartrecruiters.com:8443/"]'),
    (b'["https://www.smartrecruiters.com/"]', b'["https://www.smartrecruiters.com/"]'),
    (rb'["https://api.smartrecruiters.com\n"]', rb'["https://api.smartrecruiters.com\n"]'),
    # Cut off by the upstream.
    (b'["https://api.smartrecruiters.com', b'["https://api.smartrecruiters.com'),
    (b'["a","https://api.smartrecruiters.com/', b'["a","https://api.smartrecruiters.com/'),
    (b'{"a":"https://api', b'{"a":"https://api'),
    # Lines of JSON.
    (
        b'{"a":1}\n{"u":"https://api.smartrecruiters.com/1"}\n',
        b'{"a":1}\n{"u":"http://localhost:8080/1"}\n',
    ),
    (b"", b""),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_every_split_of_a_body_comes_out_the_same(body, expected):
    assert rewrite([body]) == expected
    assert rewrite([body[i : i + 1] for i in range(len(body))]) == expected
    for first in range(len(body) + 1):
        assert rewrite([body[:first], body[first:]]) == expected
        for second in range(first, len(body) + 1, 3):
            assert rewrite([body[:first], body[first:second], body[second:]]) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'["https://gate.example/sr/jobs"]', b'["http://localhost:8080/jobs"]'),
        (b'["https://gate.example/sr"]', b'["http://localhost:8080"]'),
        (rb'["https:\/\/gate.example\/sr\/jobs"]', rb'["http:\/\/localhost:8080\/jobs"]'),
        (b'["https://gate.example/srx/jobs"]', b'["https://gate.example/srx/jobs"]'),
        (b'["https://gate.example/other"]', b'["https://gate.example/other"]'),
    ],
)
def test_the_path_prefix_is_taken_off_and_nothing_beside_it_is_touched(body, expected):
    for cut in range(len(body) + 1):
        assert rewrite([body[:cut], body[cut:]], PREFIXED) == expected


def test_the_port_that_is_the_scheme_s_own_is_no_part_of_the_origin():
    target = LinkTarget("https://API.smartrecruiters.com:443")

    assert rewrite([b'["https://api.smartrecruiters.com/a"]'], target) == (
        b'["http://localhost:8080/a"]'
    )


LINKS = st.sampled_from(
    [
        UPSTREAM,
        UPSTREAM + "/candidates/1",
        UPSTREAM + "?a=b",
        UPSTREAM + ".org/x",
        "https://api.smartrecruiters",
        'x "' + UPSTREAM + "/",
        '"' + UPSTREAM + "/",
        "\\" + UPSTREAM,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | LINKS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | LINKS, inner, max_size=4)
    ),
    max_leaves=12,
)


def led(value):
    """The same rewriting, done with a JSON parser."""
    if isinstance(value, str):
        rest = value.removeprefix(UPSTREAM)
        if rest != value and (not rest or rest[0] in "/?#"):
            return ORIGIN.decode() + rest
        return value
    if isinstance(value, list):
        return [led(one) for one in value]
    if isinstance(value, dict):
        return {key: led(one) for key, one in value.items()}
    return value


@given(value=VALUES, escaped=st.booleans(), indent=st.sampled_from([None, 0, 2]), data=st.data())
@settings(max_examples=300)
def test_any_json_however_cut_is_what_a_parser_would_make_of_it(value, escaped, indent, data):
    text = json.dumps(value, indent=indent)
    body = (text.replace("/", "\\/") if escaped else text).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    whole = rewrite([body])

    assert json.loads(whole) == led(value)
    assert rewrite(pieces) == whole


def test_memory_is_constant_for_a_body_of_any_length():
    rewriter = LinkRewriter(PLAIN, ORIGIN)
    piece = b'{"a": "https://api.smartrecruiters.com/jobs/1", "b": [1, 2, "' + b"x" * 900 + b'"]},'
    tracemalloc.start()
    for _ in range(2000):
        rewriter.data(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 64 * 1024


def test_a_string_that_may_be_a_key_is_kept_up_to_a_bound_and_then_passes():
    rewriter = LinkRewriter(PLAIN, ORIGIN)
    long = b'["a","https://api.smartrecruiters.com/' + b"x" * LONGEST_KEPT

    assert rewriter.data(long + b"x") == long + b"x"


@pytest.mark.parametrize(
    ("status", "content_type", "encoding", "expected"),
    [
        (200, "application/json", None, True),
        (200, "application/json; charset=utf-8", "identity", True),
        (404, "Application/Problem+JSON", None, True),
        (200, "application/vnd.api+json;v=1", None, True),
        (206, "application/json", None, False),
        (200, "application/json", "gzip", False),
        (200, "text/html", None, False),
        (200, "application/jsonp", None, False),
        (200, "text/json", None, False),
        (200, None, None, False),
    ],
)
def test_which_answers_are_looked_at(status, content_type, encoding, expected):
    assert is_rewritten(status, content_type, encoding) is expected


def test_a_strong_etag_passes_as_weak():
    assert weak(b'"abc"') == b'W/"abc"'
    assert weak(b'W/"abc"') == b'W/"abc"'
