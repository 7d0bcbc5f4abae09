"""The server behind `srproxy replay`: recorded answers, and nothing else.

What it answers is candidates' data, so a web page must not get at it: only names of this machine
(or the address listened on) are taken as Host, and no call of a page of another origin.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import LooseHeaders

from proxy.errors import Problem
from proxy.problems import problem_body, problem_headers
from proxy.recording.exchange import Body, Message, RecordedExchange
from proxy.recording.har import parse_entry
from proxy.recording.har_file import HarError, read_entries
from proxy.recording.matching import Tape
from proxy.system.listeners import open_listeners
from proxy.system.loopback import is_loopback
from proxy.system.origin import build_origin

# Made anew for this connection, or said of one that is not ours.
NOT_REPEATED = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "content-length",
    }
)  # fmt: skip
PROBES = frozenset({"/-/live", "/-/ready"})
# Set on an answer that was recorded without Content-Type: aiohttp would add one.
UNTYPED = web.ResponseKey("untyped", bool)
LARGEST_BODY = 64 * 1024 * 1024


def read_tape(file: Path, warn: Callable[[str], None]) -> Tape:
    """Read a HAR file; `warn` is called for an unusable part. HarError without an answer."""
    entries = (parse_entry(entry) for entry in read_entries(file, warn))
    tape = Tape(entry for entry in entries if entry is not None)
    if not tape.count:
        raise HarError(f"{file}: holds no answer that could be given again")
    return tape


@asynccontextmanager
async def serving(tape: Tape, host: str, port: int) -> AsyncIterator[str]:
    """Serve a tape for a while; the value is the address, `http://HOST:PORT`."""
    listeners = open_listeners(host, port)
    runner = _build(tape, host)
    await runner.setup()
    try:
        for listener in listeners.tcp:
            await web.SockSite(runner, listener).start()
        yield build_origin(host, listeners.port)
    finally:
        await runner.cleanup()
        listeners.close()


def _build(tape: Tape, host: str) -> web.AppRunner:
    server = ReplayServer(tape, host)
    application = web.Application(client_max_size=LARGEST_BODY)
    application.on_response_prepare.append(_add_nothing)
    application.router.add_route("*", "/{path:.*}", server.answer)
    # Bodies are given as they were recorded: nothing is decompressed on the way in either.
    return web.AppRunner(application, access_log=None, auto_decompress=False)


class ReplayServer:
    """Answers from a tape."""

    def __init__(self, tape: Tape, host: str) -> None:
        self._tape = tape
        self._host = host.strip("[]").lower()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            self._guard(request)
            if request.path in PROBES:
                return web.Response(text="ok\n")
            return self._replay(request, await request.read())
        except Problem as problem:
            return _problem(problem)

    def _guard(self, request: web.Request) -> None:
        name = _host_of(f"//{request.headers.get('Host', '')}")
        if not (is_loopback(name) or name == self._host):
            raise Problem("bad_host", "The recording answers to the names of this machine alone.")
        origin = request.headers.get("Origin")
        foreign = request.headers.get("Sec-Fetch-Site", "").lower() in ("cross-site", "same-site")
        if foreign or (origin is not None and origin.partition("://")[2] != request.host):
            raise Problem("cross_origin", "A web page of another origin made this call.")

    def _replay(self, request: web.Request, body: bytes) -> web.Response:
        method, target = request.method, request.raw_path
        headers = [(name, value) for name, value in request.headers.items()]
        asked = Message(headers, Body(body, len(body)))
        found = self._tape.answer(method, target, asked)
        if found is None:
            raise self._not_recorded(method, target)
        return _repeat(found)

    def _not_recorded(self, method: str, target: str) -> Problem:
        if self._tape.differs_by_body(method, target):
            return Problem(
                "not_recorded",
                f"{method} {target} was recorded, but with another body. The recording has no "
                "answer to this one.",
            )
        nearest = self._tape.nearest(method, target)
        hint = f" The nearest that was: {nearest}." if nearest else " It is empty."
        return Problem("not_recorded", f"The recording has no answer to {method} {target}.{hint}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _repeat(recorded: RecordedExchange) -> web.Response:
    response = web.Response(
        status=recorded.status, reason=recorded.reason, body=recorded.response.body.data
    )
    for name, value in recorded.response.headers:
        if name.lower() not in NOT_REPEATED:
            response.headers.add(name, value)
    response[UNTYPED] = not recorded.response.header("content-type")
    return response


def _problem(problem: Problem) -> web.Response:
    headers: LooseHeaders = problem_headers(problem)
    return web.Response(
        status=problem.status,
        body=problem_body(problem),
        headers=headers,
        content_type="application/problem+json",
    )


async def _add_nothing(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
    if response.get(UNTYPED):
        response.headers.pop("Content-Type", None)
