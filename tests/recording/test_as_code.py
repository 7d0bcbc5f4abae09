"""Copied commands send the recorded request again when they are run."""

import asyncio
import shlex
import subprocess
import sys

import pytest

from proxy.recording.as_code import as_curl, as_powershell, as_python, pretty
from proxy.recording.exchange import Body
from tests.recording.support import exchange
from tests.support.recorder import Recorder

NASTY = 'it\'s "$HOME" `id` \\ ü\n'
JSON = ("Content-Type", "application/json; charset=utf-8")


def nasty(port: int = 1):
    made = exchange(
        "POST",
        "/jobs?q=a%20b&r='$x",
        body=NASTY.encode(),
        sent=[JSON, ("X-A", NASTY.strip().replace("ü", "u")), ("Authorization", "Bearer canary")],
    )
    made.url = made.url.replace("localhost:8080", f"127.0.0.1:{port}")
    return made


@pytest.mark.parametrize("language", ["curl", "python"])
async def test_pasted_it_sends_the_same_request(language, tmp_path):
    async with Recorder() as upstream:
        made = nasty(upstream.port)
        if language == "curl":
            command = ["bash", "-c", as_curl(made)]
        else:
            command = [sys.executable, "-c", as_python(made)]
        done = await run(command, tmp_path)
        (request,) = upstream.requests

    assert done == 0
    assert request.lines[0].startswith(b"POST /jobs?q=a%20b&r=")
    assert request.body == NASTY.encode()
    assert request.values(b"X-A") == [NASTY.strip().replace("ü", "u").encode()]
    assert request.values(b"Content-Type") == [JSON[1].encode()]


async def run(command: list[str], folder) -> int:

    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 20)


@pytest.mark.parametrize("build", [as_curl, as_python, as_powershell])
def test_no_credential_is_copied_and_a_key_is_a_placeholder(build):
    text = build(nasty(), needs_key=True)

    assert "canary" not in text
    assert "YOUR-KEY" in text


def test_a_get_is_as_short_as_one_types_it():
    assert as_curl(exchange()) == "curl http://localhost:8080/jobs"


def test_powershell_quotes_by_doubling():
    assert "'it''s \"$HOME\" `id` \\ ü\n'" in as_powershell(nasty())


@pytest.mark.parametrize("build", [as_curl, as_python, as_powershell])
def test_a_binary_or_cut_body_comes_from_a_file(build):
    made = exchange("POST", body=bytes(range(256)))
    assert "body.bin" in build(made)
    made = exchange("POST", body=b"{}", sent=[JSON])
    made.request.body = Body(b"{}", 1000)

    assert "body.bin" in build(made)


def test_curl_quotes_so_that_a_shell_reads_it_back():
    assert shlex.split(as_curl(nasty()))[-1] == NASTY


def test_to_curl_a_body_names_no_file_and_brackets_are_no_range():
    made = exchange("POST", "/jobs?id[]=1", body=b"@/etc/passwd", sent=[JSON])
    parts = shlex.split(as_curl(made))

    assert parts[-2:] == ["--data-raw", "@/etc/passwd"]
    assert "--globoff" in parts


def test_powershell_takes_typographic_quotes_for_quotes():
    made = exchange("POST", body="O’Brien’; calc".encode(), sent=[JSON])

    assert "'O’’Brien’’; calc'" in as_powershell(made)


@pytest.mark.parametrize("build", [as_curl, as_powershell])
def test_what_a_terminal_acts_on_comes_from_a_file(build):
    made = exchange("POST", body=b"a\x1b[201~\nid\n", sent=[JSON])

    assert "\x1b" not in build(made)
    assert "body.bin" in build(made)


def test_half_of_a_surrogate_pair_stays_the_escape_that_it_was():
    text = '{"a":"\\ud800"}'

    assert ascii(pretty(text)) == ascii(text)
