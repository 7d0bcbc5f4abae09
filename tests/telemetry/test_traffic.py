"""Records: what a request leaves behind in the log, the live list and the metrics."""

import asyncio
import base64
import io
import json
import logging
import re
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.system.secret import MASK, Secret
from proxy.telemetry.logs import Output, set_level
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.traffic import AccessLog, RequestRecord, Traffic, describe, path_and_keys
from proxy.telemetry.traffic.lines import seconds
from proxy.telemetry.traffic.traffic import MOST_PENDING, RECENT
from tests.support.records import make_record


def record(target: bytes = b"/candidates?limit=10", **members: Any) -> RequestRecord:
    return make_record(target=target, **members)


def access_lines(records: list[RequestRecord], *, as_json: bool) -> list[str]:
    stream = io.StringIO()
    log = AccessLog(Output(stream, as_json=as_json))
    log.add(records)
    assert len(log) == len(records)
    log.write()
    assert len(log) == 0
    return stream.getvalue().splitlines(keepends=True)


def line_of(made: RequestRecord, *, as_json: bool) -> str:
    (line,) = access_lines([made], as_json=as_json)
    return line


class Log:
    def __init__(self, *, as_json: bool = True) -> None:
        self.stream = io.StringIO()
        self.output = Output(self.stream, as_json=as_json)
        self.traffic = Traffic(Metrics("1.0"), self.output)

    def finish(self, made: RequestRecord) -> None:
        self.traffic.started()
        self.traffic.finished(made)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("target", "path", "keys"),
    [
        (b"/candidates", "/candidates", []),
        (b"/c?limit=10&pageId=ab%2Fcd", "/c", ["limit", "pageId"]),
        (b"/c?", "/c", ["?"]),
        (b"/c?secretvalue&wsdl", "/c", ["?", "?"]),
        (b"/c?AN+ID+WITHOUT+KEY", "/c", ["?"]),
        (b"/c?filter%5Bname%5D=x&a[]=1&$top=5", "/c", ["filter%5Bname%5D", "a[]", "$top"]),
        (b"/c?%20x=1&q=a=b", "/c", ["?", "q"]),
        (b"/-/callback?code=c&state=s", "/-/callback", ["code", "state"]),
    ],
)
def test_of_a_query_only_plain_names_are_told(target, path, keys):
    assert path_and_keys(record(target)) == (path, keys)


def test_a_long_target_is_cut():
    path, keys = path_and_keys(record(b"/" + b"x" * 9000 + b"?" + b"&".join([b"a=1"] * 99)))

    assert len(path) < 2100
    assert len(keys) == 33


def test_a_json_line_tells_what_the_event_stream_tells():
    made = record(
        caller="reader", code="x", replays=1, aborted=True, traceparent="00-ab-cd-01", duration=0.5,
        account="acme", operation="GET /candidates", client="127.0.0.1", held=0.25,
        needs=("candidates_read",), granted=("jobs_read", "jobs_write"), rate_limit="7",
    )  # fmt: skip
    line = json.loads(line_of(made, as_json=True))
    told = describe(made)

    assert told["account"] == "acme"
    assert told["operation"] == "GET /candidates"
    assert told["client"] == "127.0.0.1"
    assert told["held"] == 0.25
    assert told["needs"] == ["candidates_read"]
    assert told["granted"] == ["jobs_read", "jobs_write"]
    assert told["replays"] == 1
    assert told["aborted"] is True
    assert line.pop("message") == "request"
    assert line.pop("level") == "info"
    assert line.pop("logger") == "proxy.traffic"
    assert line == told


def test_what_says_nothing_is_left_out():
    line = json.loads(line_of(record(), as_json=True))

    assert line["account"] is None
    assert line["operation"] == "other"
    assert line["held"] == 0
    assert not {"client", "caller", "code", "replays", "aborted", "needs", "granted"} & set(line)


@given(st.binary(max_size=60), st.text(max_size=12))
def test_a_line_is_one_line_and_valid_whatever_the_target(target, method):
    made = record(target, method=method)

    assert json.loads(line_of(made, as_json=True))["method"] == method
    for line in (line_of(made, as_json=True), line_of(made, as_json=False)):
        assert line.isascii()
        assert line.endswith("\n")
        assert line[:-1].isprintable()


def test_each_line_of_a_batch_tells_its_own_request():
    batch = [
        record(b"/a?x=1"), record(b"/a?x=1"), record(b"/a?x=1", method="POST"), record(b"/b"),
        record(b"/a?x=1", at=1764058001.5), record(b"/a?x=1", client="::1"),
        record(b"/a?x=1", operation="GET /a"), record(b"/a?x=1", account="b"),
    ]  # fmt: skip
    for as_json in (True, False):
        assert access_lines(batch, as_json=as_json) == [
            line_of(made, as_json=as_json) for made in batch
        ]


def test_a_text_line_is_for_people():
    made = record(
        duration=0.0123, upstream_duration=0.0111, bytes_out=1024, caller="reader", replays=1,
        account="default", operation="GET /candidates", client="::1", held=0.001, aborted=True,
        needs=("a_read",), granted=("b_read", "c_read"),
    )  # fmt: skip

    assert line_of(made, as_json=False) == (
        "2025-11-25T08:06:40.123Z INFO    proxy.traffic GET /candidates?limit 200 upstream "
        "12.3ms upstream=11.1ms held=1.0ms in=0 out=1024 client=::1 caller=reader "
        'account=default operation="GET /candidates" replays=1 aborted needs=a_read '
        "granted=b_read,c_read id=id-1\n"
    )


async def test_a_look_finds_what_is_still_held_back():
    metrics = Metrics("1.0")
    traffic = Traffic(metrics)
    for number in range(2):
        traffic.started()
        traffic.finished(record(b"/%d" % number))

    assert b'method="GET",operation="other",status="200",whose="upstream"} 2.0' in metrics.render()
    traffic.started()
    traffic.finished(record(b"/2"))
    assert [made.target for made in traffic.recent()] == [b"/0", b"/1", b"/2"]


async def test_lines_are_held_back_for_a_moment_only():
    log = Log()
    log.finish(record())
    assert log.lines == []

    async with asyncio.timeout(2):
        while not log.lines:
            await asyncio.sleep(0.01)
    assert json.loads(log.lines[0])["at"] == "2025-11-25T08:06:40.123Z"


async def test_many_lines_are_written_at_once():
    log = Log()
    for _ in range(MOST_PENDING):
        assert log.lines == []
        log.finish(record())
        log.traffic.catch_up()

    assert len(log.lines) == MOST_PENDING


async def test_where_nothing_is_ever_sent_no_more_than_so_many_are_held_back():
    log = Log()
    for _ in range(MOST_PENDING + 1):
        log.finish(record())

    assert len(log.lines) == MOST_PENDING


async def test_a_line_of_another_logger_does_not_overtake():
    log = Log(as_json=False)
    log.finish(record())
    log.output.handle(logging.LogRecord("x", logging.INFO, "", 1, "later", (), None))
    log.finish(record())
    log.traffic.flush()

    assert [("later" in line) for line in log.lines] == [False, True, False]


def test_without_a_loop_lines_are_written_at_once():
    log = Log()
    log.finish(record())

    assert len(log.lines) == 1


def test_a_secret_in_a_path_is_masked():
    secret = Secret("canary-4711-abcdef")
    log = Log()
    log.finish(record(b"/x/canary-4711-abcdef/y?limit=1"))
    log.finish(record(b"/x?k=canary-4711-abcdef"))
    log.finish(record(b"/x/Bearer%20eyJhbGciOiJIUzI1NiJ9"))
    log.finish(record(request_id="canary-4711-abcdef", named=True))
    log.finish(record(method="canary-4711-abcdef"))
    log.finish(record(needs=("canary-4711-abcdef",), granted=()))

    assert secret.reveal() not in log.stream.getvalue()
    assert "eyJ" not in log.stream.getvalue()
    assert json.loads(log.lines[0])["path"] == f"/x/{MASK}/y"


@pytest.mark.parametrize(
    "target",
    [
        b"/x/Basic%20ZXZpbDpldmls", b"/x/client_secret=ZXZpbDpldmls/y", b"/BASIC+ZXZpbDpldmls",
        b"/x/Client_Secret%3DZXZpbDpldmls",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False])
def test_what_looks_like_a_credential_in_a_path_is_masked(target, as_json):
    line = line_of(record(target), as_json=as_json)

    assert "ZXZpb" not in line
    assert MASK in line


@pytest.mark.parametrize("as_json", [True, False])
@given(prefix=st.binary(max_size=4), suffix=st.binary(max_size=4), spelling=st.integers(0, 5))
def test_no_spelling_of_a_secret_in_a_target_reaches_the_log(as_json, prefix, suffix, spelling):
    secret = Secret(value := "canary/4713+abc=def")
    spellings = [
        value, quote(value), quote(value, safe=""), quote(value, safe="").lower(),
        base64.b64encode(b"user:" + value.encode()).decode(), quote_plus(value),
    ]  # fmt: skip
    line = line_of(record(prefix + spellings[spelling].encode() + suffix), as_json=as_json)

    assert secret.reveal() not in line
    assert spellings[spelling].removeprefix("dXNlcj")[:-4] not in line


def test_a_secret_in_a_path_is_not_shown_on_a_page_either():
    secret = Secret("canary-4712-abcdef")
    told = describe(record(b"/x/canary-4712-abcdef?canary-4712-abcdef=1"))

    assert told["path"] == f"/x/{MASK}"
    assert told["query"] == [MASK]
    assert secret


def test_without_an_output_nothing_is_logged_but_all_is_counted():
    traffic = Traffic(Metrics("1.0"))
    traffic.started()
    assert traffic.in_flight == 1

    traffic.finished(record())
    traffic.flush()
    assert traffic.in_flight == 0
    assert len(traffic.recent()) == 1


def test_at_level_warning_requests_are_no_lines():
    stream = io.StringIO()
    output = Output(stream, as_json=True)
    output.takes_requests = False
    traffic = Traffic(Metrics("1.0"), output)
    traffic.started()
    traffic.finished(record())
    traffic.flush()

    assert stream.getvalue() == ""


def test_a_sample_has_every_error_and_one_in_n_of_the_rest():
    log = Log()
    log.output.sample = 10
    for number in range(100):
        log.finish(record(b"/well/%d" % number))
    for status in (0, 400, 429, 503):
        log.finish(record(b"/wrong", status=status))
    log.finish(record(b"/wrong", aborted=True))

    paths = [json.loads(line)["path"] for line in log.lines]
    assert paths.count("/wrong") == 5
    assert len(paths) == 10 + 5


def test_the_level_may_change_while_running():
    log = Log()
    set_level(log.output, "warning", 1)
    log.finish(record())
    assert log.lines == []

    set_level(log.output, "info", 1)
    log.finish(record())
    assert len(log.lines) == 1


def test_the_last_records_are_kept():
    traffic = Traffic(Metrics("1.0"))
    for number in range(RECENT + 5):
        traffic.started()
        traffic.finished(record(b"/%d" % number))

    recent = traffic.recent()
    assert len(recent) == RECENT
    assert recent[-1].target == b"/204"


def test_subscribers_get_each_record_until_they_leave():
    traffic = Traffic(Metrics("1.0"))
    seen: list[RequestRecord] = []
    leave = traffic.subscribe(seen.append)
    first = record()
    traffic.started()
    traffic.finished(first)
    leave()
    traffic.started()
    traffic.finished(record())

    assert seen == [first]


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        (b"abc-123", "abc-123"),
        (b"8c9d0f1e:a/b+c=@d", "8c9d0f1e:a/b+c=@d"),
        (b'a b"c\r\nd\x1b[31m', "abcd31m"),
        (b"x" * 500, "x" * 128),
    ],
)
def test_a_request_id_is_taken_over_without_odd_bytes(given_id, expected):
    assert Traffic(Metrics("1.0")).request_id(given_id) == expected


def test_request_ids_are_made_where_none_is_usable():
    traffic = Traffic(Metrics("1.0"))

    made = {traffic.request_id(None), traffic.request_id(b""), traffic.request_id(b"\xff\xff")}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (None, None),
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"00-x", None),
        (b'"', None),
    ],
)  # fmt: skip
def test_a_traceparent_is_logged_if_it_is_one(given_value, expected):
    assert Traffic.traceparent(given_value) == expected


@given(st.floats(0, 1e6))
def test_seconds_are_written_with_six_digits(value: float) -> None:
    assert re.fullmatch(r"\d+\.\d{6}", seconds(value))
    assert float(seconds(value)) == pytest.approx(value, abs=5.1e-7)
