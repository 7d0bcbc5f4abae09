"""The connection of one control request: aiohttp's handler, with two habits of its own.

The front hands over a head that it has parsed strictly, and whatever came behind it. Here the
handler sees exactly one request, which `OneRequest` cuts out: what lies behind it is never parsed,
for the answer closes the connection. And an error of aiohttp's parser is answered by a Problem that
says nothing of the request, where aiohttp would quote it in the answer and in the log.

Of aiohttp it overrides three methods of RequestHandler: `data_received`, `finish_response` and
`handle_error`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.web_protocol import RequestHandler

from proxy.control.policy import security_headers
from proxy.errors import Problem
from proxy.problems import problem_body, problem_headers

REASONS = {400: "Bad Request", 405: "Method Not Allowed", 500: "Internal Server Error"}
END = b"\r\n\r\n"


class OneRequest(Protocol):
    """Cuts one request out of what a caller sends."""

    def feed(self, data: bytes) -> bytes:
        """Return what of the data belongs to the request; raises Problem where it is malformed."""
        ...


def protocol_factory(
    runner: web.AppRunner, cut: Callable[[], OneRequest]
) -> Callable[[], asyncio.Protocol]:
    """Make the factory of the control routes' protocols; the runner is set up already."""
    server = runner.server
    assert server is not None  # noqa: S101 - said above

    def make() -> asyncio.Protocol:
        # None is what aiohttp's runners pass for "no access log"; its lines would hold queries.
        access_log: logging.Logger = None  # type: ignore[assignment]
        protocol = ControlProtocol(
            server,
            loop=asyncio.get_running_loop(),
            access_log=access_log,
            # Nobody sends these routes a compressed body: it is no JSON and no form, and refused.
            auto_decompress=False,
        )
        protocol.one_request = cut()
        return protocol

    return make


class ControlProtocol(RequestHandler):
    """One connection, one request; the first data it is given begins with the whole head."""

    one_request: OneRequest
    _answered = False

    def data_received(self, data: bytes) -> None:
        """Pass on what belongs to the one request."""
        try:
            piece = self.one_request.feed(data)
        except Problem as problem:
            self._refuse(problem)
            if self.transport is not None:
                self.transport.close()
            return
        if piece:
            super().data_received(piece)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Answer, and note that nothing else may be answered."""
        self._answered = True
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Answer what cannot be parsed, once, and leave."""
        if request.writer.output_size == 0:
            self._refuse(_problem_of(status, exc))
        raise ConnectionError("the request was refused")

    def _refuse(self, problem: Problem) -> None:
        if not self._answered and self.transport is not None:
            self._answered = True
            self.transport.write(_refusal(problem))


def _problem_of(status: int, exc: BaseException | None) -> Problem:
    if isinstance(exc, BadHttpMethod):
        return Problem(
            "method_not_allowed",
            "The control routes do not take this method.",
            headers=[("Allow", "GET, HEAD, POST")],
        )
    if status < 500:
        return Problem("bad_request", "The request is not well-formed HTTP/1.1.")
    return Problem("internal_error", "The proxy failed in a way that it did not foresee.")


def _refusal(problem: Problem) -> bytes:
    body = problem_body(problem)
    headers = dict(security_headers()) | dict(problem_headers(problem))
    lines = [
        f"HTTP/1.1 {problem.status} {REASONS[problem.status]}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Connection: close",
    ]
    return "\r\n".join(lines).encode("latin-1") + END + body
