"""The log's last gate: no secret passes, and one event is one line."""

import base64
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from aiohttp.http_exceptions import BadHttpMessage
from hypothesis import given
from hypothesis import strategies as st

from proxy.system.secret import MASK, Secret
from proxy.telemetry.logs import Output, catch_uncaught, configure, escape, redact, timestamp

TOKEN = "tok/canary+4711=abcdefghijklmnop"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    disabled = logging.getLogger("aiohttp.access").disabled
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("aiohttp.access").disabled = disabled
    logging.captureWarnings(capture=False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


def configured(level: str = "debug", format_name: str = "json") -> io.StringIO:
    stream = io.StringIO()
    configure(level, format_name, stream)
    return stream


SPELLINGS = {
    "clear": TOKEN,
    "percent": quote(TOKEN, safe=""),
    "json": json.dumps({"t": TOKEN}),
    "base64": base64.b64encode(TOKEN.encode()).decode(),
    "basic": base64.b64encode(b"client:" + TOKEN.encode()).decode(),
    "basic 2": base64.b64encode(b"client-id:" + TOKEN.encode()).decode(),
    "basic 3": base64.b64encode(b"cl:" + TOKEN.encode() + b"\n").decode(),
    "urlsafe": base64.urlsafe_b64encode(b"xx" + TOKEN.encode()).decode(),
    "repr": repr({"token": TOKEN}),
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_living_secret_is_masked_in_every_spelling(text):
    secret = Secret(TOKEN)
    shown = redact(f"before {text} after")

    assert secret.reveal() not in shown
    assert MASK in shown
    assert "before" in shown
    assert len(shown.replace(MASK, "")) < len("before  after") + 25


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.",
        "authorization: basic dXNlcjpwYXNzd29yZA==",
        "(b'Authorization', b'Bearer eyJhbGciOiJub25lIn0.e30.')",
        "/callback?bearer%20eyJhbGciOiJub25lIn0.e30.",
        '{"access_token": "eyJhbGciOiJub25lIn0.e30.", "expires_in": 1799}',
        "{'refresh_token': 'eyJhbGciOiJub25lIn0.e30.'}",
        "client_secret=eyJhbGciOiJub25lIn0.e30.&grant_type=x",
        "X-SmartToken: eyJhbGciOiJub25lIn0.e30.",
        "(b'X-API-Key', b'eyJhbGciOiJub25lIn0.e30.')",
    ],
)
def test_what_looks_like_a_credential_is_masked(text):
    shown = redact(text)

    assert "eyJ" not in shown
    assert "dXNl" not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of bad news", "token_endpoint_unavailable: see the log", "expires_in=1799",
        'Basic realm="smartrecruiters-proxy", Bearer', "access_token expires soon",
        "GET /candidates?access_token 200",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text):
    assert redact(text) == text


# What redact looks for, in pieces that hypothesis puts together.
PIECES = [
    *SPELLINGS.values(), TOKEN.lower(), quote(TOKEN), quote(TOKEN, safe="").lower(), "/", "%20",
    "+", " ", "=", ":", ",", "%3D", "%3d", '"', "'", "\\", "&", "Basic", "bEARER", "BASIC ",
    "bas\u0131c", "realm", "client_secret", "Client_Secret=", "ACCESS_TOKEN", "x-api-\u212aey=",
    "x-smarttoken%3D", "code_verifier", "dXNlcjpwYXNzd29yZA==", "abcdef", "ordinary/path/4711",
    "*" * 10,
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=6).map("".join))
def test_the_gate_is_never_weaker_than_what_it_guards(text):
    """What a look at a line's parts lets pass is not masked, so it must hold nothing to mask."""
    secret = Secret(TOKEN)

    assert redact.suspects(text) or redact(text) == text
    assert redact.suspects(json.dumps(text)) or redact(json.dumps(text)) == json.dumps(text)
    assert secret


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_no_text_around_it_keeps_a_secret_from_being_masked(text):
    secret = Secret(TOKEN)

    assert TOKEN not in redact(text)
    assert secret


@pytest.mark.parametrize("name", ["client_secret", "access_token", "X-API-Key"])
def test_a_name_at_the_end_of_a_message_leaves_the_next_member_its_name(name):
    stream = configured()
    logging.getLogger("x").error("wrong %s", name, exc_info=ValueError("x"))
    line = json.loads(stream.getvalue())

    assert line["message"] == f"wrong {name}"
    assert "ValueError" in line["exception"]


def test_secrets_that_are_gone_are_forgotten_before_searching_them_costs_much():
    for number in range(200):
        gone = Secret(f"gone-canary-{number:06}")
        redact(str(gone))
    del gone
    alive = Secret("living-canary-4711")
    redact("")

    assert len(redact._needles) < 300
    assert redact("gone-canary-000199") == MASK
    assert redact(alive.reveal()) == MASK


def test_a_short_secret_does_not_blot_out_words():
    secret = Secret("state")

    assert redact("state=authorized") == "state=authorized"
    assert secret


def test_a_secret_stays_masked_when_its_object_is_gone():
    redact("")
    secret = Secret("gone-canary-123456")
    redact("")
    del secret

    assert redact("gone-canary-123456") == MASK


@pytest.mark.parametrize("format_name", ["json", "text"])
def test_message_arguments_and_traceback_go_through_the_gate(format_name):
    stream = configured(format_name=format_name)
    secret = Secret(TOKEN)
    try:
        raise ValueError(f"bad value {TOKEN}")
    except ValueError:
        logging.getLogger("proxy.x").exception("failed with %s", TOKEN)

    assert secret.reveal() not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert MASK in stream.getvalue()


@pytest.mark.parametrize("name", ["aiohttp.server", "aiohttp.web", "asyncio", "py.warnings", "x.y"])
def test_every_logger_is_behind_the_gate(name):
    stream = configured()
    logging.getLogger(name).warning("Authorization: Bearer %s", "abcdefghijkl-" + name)

    line = json.loads(stream.getvalue())
    assert line["logger"] == name
    assert line["message"] == f"Authorization: Bearer {MASK}"


def test_warnings_are_logged():
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("look out", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    assert "look out" in json.loads(stream.getvalue())["message"]


def test_aiohttp_s_access_log_is_off():
    stream = configured()
    logging.getLogger("aiohttp.access").info("GET /-/callback?code=x")

    assert stream.getvalue() == ""


def test_a_parser_s_words_about_a_request_are_not_logged():
    """aiohttp prints the offending bytes: `X-Api-Key: topsecret\\x00value` (aiohttp #7715)."""
    stream = configured()
    try:
        raise BadHttpMessage("Invalid header: X-Api-Key: topsecret")
    except BadHttpMessage:
        logging.getLogger("aiohttp.server").exception("Error handling request")

    assert "topsecret" not in stream.getvalue()
    assert "BadHttpMessage" in stream.getvalue()


@pytest.mark.parametrize("format_name", ["json", "text"])
def test_a_message_stays_on_its_line(format_name):
    stream = configured(format_name=format_name)
    logging.getLogger("x").info("a\nb\r\x1b[31m\x00\u2028\u202e%s", "\n2026-01-01 fake line")

    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "fake line" in line


def test_a_traceback_in_text_cannot_pass_for_a_line():
    stream = configured(format_name="text")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z INFO fake")
    except ValueError:
        logging.getLogger("x").exception("failed")

    first, *rest = stream.getvalue().splitlines()
    assert "failed" in first
    assert all(line.startswith("    | ") for line in rest)


def test_a_json_line_has_time_level_logger_and_message():
    stream = configured()
    record = logging.LogRecord("proxy.app", logging.INFO, "", 1, "listening port=%d", (80,), None)
    record.created = 1764058000.123
    logging.getLogger().handle(record)

    assert json.loads(stream.getvalue()) == {
        "at": "2025-11-25T08:06:40.123Z",
        "level": "info",
        "logger": "proxy.app",
        "message": "listening port=80",
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("format_name", "stream", "as_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("text", io.StringIO(), False),
    ],
)
def test_text_is_for_terminals_unless_asked_for(format_name, stream, as_json):
    assert configure("info", format_name, stream).as_json is as_json


@pytest.mark.parametrize(("level", "takes"), [("debug", True), ("info", True), ("warning", False)])
def test_requests_are_logged_at_info(level, takes):
    assert configure(level, "json", io.StringIO()).takes_requests is takes


def test_configuring_twice_leaves_one_handler():
    configure("info", "json", io.StringIO())
    last = configure("warning", "json", io.StringIO())

    assert logging.getLogger().handlers == [last]
    assert logging.getLogger().level == logging.WARNING


def test_a_stream_that_is_gone_is_no_error(capsys):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configure("info", "json", Gone())
    logging.getLogger("x").error("anything")

    assert capsys.readouterr().err == ""


def test_a_failing_log_call_does_not_print_its_arguments(capsys):
    stream = configured()
    logging.getLogger("x").info("%d", "canary-argument")

    assert "canary" not in stream.getvalue() + capsys.readouterr().err
    assert "logging failed" in stream.getvalue()


def test_the_loop_s_complaint_is_written_once_a_second():
    """With descriptors used up asyncio logs each failed accept: 1079 lines in a minute."""
    stream = io.StringIO()
    output = Output(stream, as_json=False)
    for number in range(250):
        message = f"socket.accept() out of system resource\nsocket: {number}"
        record = logging.LogRecord("asyncio", logging.ERROR, "", 1, message, (), None)
        record.created = 1000 + number / 100
        output.handle(record)

    lines = [line for line in stream.getvalue().splitlines() if "accept" in line]
    assert len(lines) == 3
    assert "99 more" in lines[1]


def test_failures_of_two_places_are_two_complaints():
    def fail_here():
        raise RuntimeError("here")

    def fail_there():
        raise RuntimeError("there")

    stream = configured()
    for fail in (fail_here, fail_here, fail_there):
        try:
            fail()
        except RuntimeError:
            logging.getLogger("proxy.gateway.front.asked").exception("control_route_failed")

    told = [json.loads(line)["exception"] for line in stream.getvalue().splitlines()]
    assert [text.rpartition(": ")[2] for text in told] == ["here", "there"]


def test_our_own_lines_are_never_dropped():
    stream = io.StringIO()
    output = Output(stream, as_json=False)
    for _ in range(3):
        output.handle(logging.LogRecord("proxy.grant", logging.ERROR, "", 1, "same", (), None))

    assert stream.getvalue().count("same") == 3


def test_uncaught_errors_go_through_the_gate():
    stream = configured()
    secret = Secret(TOKEN)
    catch_uncaught()
    error = RuntimeError(f"with {TOKEN}")
    sys.excepthook(RuntimeError, error, None)
    thread = threading.Thread(target=lambda: (_ for _ in ()).throw(error))
    thread.start()
    thread.join()

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["uncaught error", "uncaught error"]
    assert secret.reveal() not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain", "plain"), ("a\nb", "a\\nb"), ("\x1b", "\\x1b"), ("é", "é"), ("\u202e", "\\u202e")],
)
def test_escapes_are_for_what_is_not_printable(text, expected):
    assert escape(text) == expected


def test_timestamps_are_utc_to_the_millisecond():
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1764058000.9999) == "2025-11-25T08:06:40.999Z"
