"""Http11Probe (github.com/MDA2AV/Http11Probe, MIT): each payload as the suite expects, or why not.

B29 of the attacks. The upstream answers as the suite's own reference server would, so that what is
judged is the proxy.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.security.attacks import TIMES, canary_credentials, check_always, talk
from tests.security.attacks import Result as Seen
from tests.support.proxying import proxying
from tests.support.recorder import RecordedConnection, Recorder

DATA = json.loads((Path(__file__).parent.parent / "data/http11probe.json").read_text())
TESTS: list[dict[str, Any]] = DATA["tests"]

# Ours on purpose, each with the reason.
DEPARTURES = {
    "COMP-OPTIONS-STAR": "`*` is about the server itself, and an API has nothing to say there: "
    "refused with 400 (rule 2 of requests)",
    "COMP-UNKNOWN-METHOD": "which methods exist is the upstream's to say; a token passes as it is",
    "COMP-HTTP12-VERSION": "a version that does not exist is malformed (400), not a version that "
    "might come (505)",
    "MAL-LONG-METHOD": "a request line beyond the limit is 414 wherever it is too long",
    "SMUG-ABSOLUTE-URI-HOST-MISMATCH": "an absolute-form target for somebody else is 421",
}


def payload(test: dict[str, Any]) -> bytes:
    parts = test["payload"] if isinstance(test["payload"], list) else [test["payload"]]
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif "numbered" in part:
            text += "".join(part["numbered"].format(n) for n in range(part["count"]))
        else:
            text += part["repeat"] * part["count"]
    return text.replace("@@HOST@@", "localhost").encode("latin-1")


def outcomes(test: dict[str, Any]) -> set[str]:
    """Return what the suite lets pass: statuses, `2xx`, `close`; its warnings do not count."""
    text: str = test["expected"]
    if text in ("!101", "non-101 (426 preferred)", "not 414", "non-1xx response"):
        return {"2xx", "4xx", "5xx"}
    if text == "Range2xx":
        return {"2xx"}
    if text == "IMF-fixdate format":
        return {"2xx"}
    if text.startswith("Reject/drop"):
        return {"400", "2xx"}
    text = re.sub(r", \dxx \(warn\)", "", text)
    found = set(re.findall(r"\b\dxx\b|\b\d{3}\b|close|timeout", text))
    if re.search(r"2xx \+ close", text):
        found -= {"close"}
    if test.get("close_ok"):
        found.add("close")
    return found | ({"close"} if "timeout" in found else set())


async def reference(connection: RecordedConnection) -> None:
    """Answer as the suite's reference server: an echo, 204 to OPTIONS, 405 to DELETE."""
    while (request := await connection.request()) is not None:
        method = request.lines[0].split(b" ")[0]
        body = request.body
        if b"/echo" in request.lines[0]:
            credential = b"Authorization: " + request.values(b"Authorization")[0]
            body = request.head.replace(credential, b"") + body
        if b"/cookie" in request.lines[0]:
            body = b"\n".join(
                item.strip() for item in b";".join(request.values(b"Cookie")).split(b";")
            )
        head = b"Content-Type: text/plain\r\nContent-Length: %d\r\n" % len(body)
        status, rest = b"200 OK", body
        if method == b"OPTIONS":
            status, head, rest = b"204 No Content", b"Allow: GET, HEAD, POST, OPTIONS\r\n", b""
        elif method == b"DELETE":
            status, head = b"405 Method Not Allowed", head + b"Allow: GET, HEAD\r\n"
        elif method == b"HEAD":
            rest = b""
        connection.send(b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + rest)


async def probe(test: dict[str, Any]) -> Seen:
    async with Recorder(script=reference) as upstream:
        async with proxying(
            upstream, credentials=canary_credentials(), listen=dict.fromkeys(TIMES, 0.2)
        ) as proxy:
            answer = await talk(proxy.port, payload(test))
        result = Seen(answer, list(upstream.requests))
    check_always(result)
    return result


def classes(result: Seen) -> set[str]:
    if not result.statuses or result.statuses[0] == 408:
        return {"close", "timeout"}
    status = result.statuses[0]
    return {str(status), f"{status // 100}xx"}


@pytest.mark.parametrize("test", TESTS, ids=[test["id"] for test in TESTS])
async def test_the_suite_s_expectation_is_met(test):
    result = await probe(test)

    met = bool(classes(result) & outcomes(test))
    assert met != (test["id"] in DEPARTURES), (test["expected"], result.answer[:400])
    text = test["expected"]
    if not met or not result.statuses or result.statuses[0] // 100 != 2:
        return
    # What the suite looks at besides the status.
    body = result.answer.partition(b"\r\n\r\n")[2]
    head = result.answer.partition(b"\r\n\r\n")[0]
    if "echo" in text:
        assert b"hello" in body
    if "Cookie in body" in text or "foo=bar" in text:
        assert b"foo=bar" in body
    if "both cookies" in text or "a=1, b=2" in text:
        assert b"a=1" in body
        assert b"b=2" in body
    if "Date" in text or "IMF" in text:
        assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", head)
    if "Allow" in text:
        assert b"\r\nAllow: " in head
    if "204 without CL" in text:
        assert b"content-length" not in head.lower()
    if "no body" in text:
        assert body == b""


@pytest.mark.parametrize(
    "test", [t for t in TESTS if t["suite"] == "Normalization"], ids=lambda t: t["id"]
)
async def test_no_odd_name_is_made_a_framing_one(test):
    """NORM: a name that only looks like a framing header is dropped or its request refused."""
    result = await probe(test)

    for request in result.requests:
        assert len(request.values(b"Content-Length")) == 1
        assert request.values(b"Transfer-Encoding") == []
        assert request.body == b"hello world"


@pytest.mark.parametrize("name", DEPARTURES)
def test_each_departure_is_documented(name):
    assert f"`{name}`" in (Path(__file__).parents[2] / "docs/security.md").read_text()


def test_the_data_names_its_source_and_licence():
    assert "MIT" in DATA["license"]
    assert len(TESTS) == 180
