"""Not laxer than nginx and HAProxy: what they refuse of an attack, we refuse, or a reason is given.

Each payload goes to all three, in front of the same kind of recording upstream. A payload counts as
taken when its request reached the upstream whole.
"""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from proxy.gateway.guards import origin_form
from tests.security.attacks import CANARY, canary_credentials
from tests.security.test_http11probe import TESTS, payload, reference
from tests.security.test_smuggling import BODIES, CHUNKED, CODINGS, LENGTHS, POST, REFUSED
from tests.support.processes import free_port
from tests.support.proxying import proxying
from tests.support.recorder import Recorder

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("haproxy") is None,
    reason="nginx or haproxy is not installed",
)

PATIENCE = 0.6
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
  log_format passed '$upstream_addr'; access_log {folder}/passed.log passed;
  client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; server_name localhost;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1;
                  proxy_request_buffering off; }} }}
}}
"""
HAPROXY = """
global
  maxconn 256
defaults
  mode http
  timeout client 1s
  timeout server 5s
  timeout connect 2s
  timeout http-request 1s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
"""
# What we take and one of them does not, each with the reason.
_TRAILER = "a trailer that frames, routes or authorizes is dropped, and what is left passes"
LAXER = {
    "COMP-METHOD-CASE": "a method is a token whose case counts (RFC 9110 section 9.1): it passes "
    "as it is, and allow rules compare it as it is",
    "MAL-CL-TAB-BEFORE-VALUE": "a tab is optional white space too (RFC 9110 section 5.6.3)",
    "SMUG-TRAILER-TE": _TRAILER,
    "SMUG-TRAILER-HOST": _TRAILER,
    "SMUG-TRAILER-AUTH": _TRAILER,
    "SMUG-TRAILER-CONTENT-TYPE": _TRAILER,
}


@asynccontextmanager
async def peer(name: str, folder: Path, upstream: int) -> AsyncIterator[int]:
    """Run one of the two in front of an upstream."""
    port = free_port()
    config = folder / f"{name}.conf"
    text = {"nginx": NGINX, "haproxy": HAPROXY}[name]
    config.write_text(text.format(folder=folder, port=port, upstream=upstream))
    flag = {"nginx": ("-c", str(config)), "haproxy": ("-db", "-f", str(config))}[name]
    process = await asyncio.create_subprocess_exec(
        name, *flag, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with socket.socket() as raw:
                    if raw.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.returncode is None, f"{name} did not start"
                await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def send(port: int, data: bytes, patience: float) -> None:
    """Send and read what comes, for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        async with asyncio.timeout(patience):
            writer.write(data)
            await writer.drain()
            while await reader.read(65536):
                pass
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()


def attacks() -> dict[str, bytes]:
    found = dict(REFUSED)
    found |= {f"B04 {value!r}": POST + b"Content-Length: " + value + b"\r\n\r\nhello"
              for value in LENGTHS}  # fmt: skip
    found |= {f"B06 {value!r}": POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"
              for value in CODINGS}  # fmt: skip
    found |= {name: POST + CHUNKED + b"\r\n" + body for name, body in BODIES.items()}
    found |= {test["id"]: payload(test) for test in TESTS}
    return found


def taken(recorder: Recorder, before: int) -> bool:
    """Tell whether a whole request reached the upstream since."""
    whole = [
        request
        for request in recorder.requests[before:]
        if b"/canary" not in request.lines[0]
        and (not request.values(b"Transfer-Encoding") or request.body.endswith(b"0\r\n\r\n"))
        and len(request.body) >= int((request.values(b"Content-Length") or [b"0"])[0])
    ]
    return bool(whole)


async def verdict(port: int, recorder: Recorder, data: bytes, patience: float = PATIENCE) -> bool:
    before = len(recorder.requests)
    await send(port, data + CANARY, patience)
    return taken(recorder, before)


async def verdicts(port: int, recorder: Recorder) -> dict[str, bool]:
    return {name: await verdict(port, recorder, data) for name, data in attacks().items()}


async def test_not_laxer_than_nginx_and_haproxy(tmp_path):
    async with Recorder(script=reference) as ours, proxying(
        ours, credentials=canary_credentials(), listen=dict.fromkeys(
            ("header_timeout", "idle_timeout", "stall_timeout"), 0.3)
    ) as proxy:  # fmt: skip
        own = await verdicts(proxy.port, ours)
    theirs = {}
    for name in ("nginx", "haproxy"):
        async with (
            Recorder(script=peer_reference) as recorder,
            peer(name, tmp_path, recorder.port) as port,
        ):
            theirs[name] = found = await verdicts(port, recorder)
            # On a busy machine a peer may only have been slow.
            for attack in (a for a in own if own[a] and not found[a] and a not in LAXER):
                found[attack] = await verdict(port, recorder, attacks()[attack], 5)

    laxer = {
        attack: [name for name in theirs if not theirs[name][attack]]
        for attack, is_taken in own.items()
        if is_taken and not all(theirs[name][attack] for name in theirs)
    }
    counts = {name: sum(found.values()) for name, found in {"ours": own, **theirs}.items()}
    print(f"taken of {len(own)}: {counts}; laxer: {laxer}")
    assert laxer.keys() <= LAXER.keys(), laxer
    assert all(counts["ours"] <= counts[name] for name in theirs)


def passed(folder: Path) -> int:
    """Return how many requests nginx has passed on, each try of its own counted."""
    lines = (folder / "passed.log").read_text().splitlines()
    return sum(len(line.split(",")) for line in lines if line != "-")


async def test_behind_nginx_every_request_is_seen_once_by_both(tmp_path):
    """B33: what nginx passes on as one request is one request to us, whatever it contains."""
    async with (
        Recorder(script=reference) as recorder,
        proxying(recorder, credentials=canary_credentials()) as proxy,
        peer("nginx", tmp_path, proxy.port) as port,
    ):
        before = len(proxy.records)
        for data in attacks().values():
            await send(port, data + CANARY, PATIENCE)
        seen = len(proxy.records) - before
        forwarded = sum(record.whose == "upstream" for record in proxy.records[before:])
        with suppress(TimeoutError):
            async with asyncio.timeout(5):  # nginx logs the last one when it has given it up
                while passed(tmp_path) < seen:
                    await asyncio.sleep(0.05)

    assert seen == passed(tmp_path) > 100
    # A request whose body broke off had its head sent up, and no answer.
    assert forwarded <= len(recorder.requests) <= seen


async def test_before_haproxy_every_request_is_seen_once_by_both(tmp_path):
    """B33: what we pass on as one request is one request to HAProxy, and none that we did not."""
    async with (
        Recorder(script=peer_reference) as recorder,
        peer("haproxy", tmp_path, recorder.port) as port,
        proxying(
            None,
            credentials=canary_credentials(),
            upstream={"url": f"http://127.0.0.1:{port}"},
            listen=dict.fromkeys(("header_timeout", "idle_timeout", "stall_timeout"), 0.3),
        ) as proxy,
    ):
        for name, data in attacks().items():
            before, known = len(recorder.requests), len(proxy.records)
            await send(proxy.port, data + CANARY, PATIENCE)
            seen = [request.lines[0].split(b" ")[1] for request in recorder.requests[before:]]
            told = [origin_form(record.target) for record in proxy.records[known:]]

            assert len(seen) <= len(told), name
            assert set(seen) <= set(told), name


async def peer_reference(connection):
    """The reference upstream for a proxy that adds no credential."""
    while await connection.request() is not None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
