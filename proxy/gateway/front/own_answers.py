"""A request's answers that are ours: problems, other answers, preflights, streams."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proxy.config.names import DEFAULT_ACCOUNT, login_path
from proxy.errors import Problem
from proxy.gateway.forward import Exchange, Framing
from proxy.gateway.front.answers import (
    build_answer_lines,
    build_problem_answer,
    is_for_a_person,
    origin_of,
    render_problem_answer,
    with_common,
)
from proxy.gateway.front.asked import Asking
from proxy.gateway.front.caller_side import CallerSide
from proxy.gateway.front.here import Here
from proxy.gateway.front.outgoing import Outgoing
from proxy.gateway.front.services import Services
from proxy.gateway.guards import Admission
from proxy.gateway.http1 import RequestHead
from proxy.messages import Answer, Stream
from proxy.telemetry.traffic import RequestRecord

NO_BODY: Final = Framing.NONE
BY_CHUNKS: Final = Framing.CHUNKED
BY_CLOSE: Final = Framing.CLOSE


class OwnAnswers(Asking):
    """What a request can be answered with by ourselves; InboundRequest has the rest of it."""

    __slots__ = (
        "_admission", "_caller", "_exchange", "_late", "_out", "_record", "_services", "closes",
        "head", "is_endless",
    )  # fmt: skip

    _admission: Admission | None
    _caller: CallerSide
    _exchange: Exchange | Here | None
    # An answer that comes late, or a page being rendered.
    _late: asyncio.TimerHandle | asyncio.Task[None] | None
    _out: Outgoing
    _record: RequestRecord | None  # none of a request to the proxy itself
    _services: Services
    closes: bool  # this answer is the connection's last
    head: RequestHead | None
    is_endless: bool  # it is a stream, which no drain waits for

    @property
    def awaits_body(self) -> bool:
        """Return whether what comes next belongs to this request."""
        raise NotImplementedError

    @property
    def cors(self) -> list[tuple[bytes, bytes]]:
        """The headers of ours that an answer carries for a browser."""
        if self.head is None:
            return []
        return self._services.in_force.guards.cors_headers(self.head, self._admission)

    def origin(self) -> bytes:
        """Name the origin that the caller used for us."""
        return origin_of(self.head, self._caller.peer, self._services.origins)

    def date_line(self) -> bytes:
        """Build the Date header for an answer that has none."""
        return self._services.dates.line()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem of ours."""
        if problem.code == "login_required" and problem.login_url is None:
            account = self._admission.account if self._admission else DEFAULT_ACCOUNT
            problem.login_url = self.origin().decode("latin-1") + login_path(account)
        services = self._services
        if self._record is not None:
            self._record.code = problem.code
        if self.head is None or services.problem_page is None or not is_for_a_person(self.head):
            self.reply(build_problem_answer(problem))
            return
        # Who looks at pages has the time that the first one takes to be prepared.
        self._exchange = None
        rendering = render_problem_answer(problem, services.problem_page, services.page_headers)
        self._late = asyncio.get_running_loop().create_task(self._reply_with(rendering))

    def reply(self, answer: Answer, delay: float = 0.0) -> None:
        """Answer with something else of ours, late where it says so."""
        if delay:
            self._call_late(delay, lambda: self.reply(answer))
            return
        lines = self._lines(answer.status, answer.headers, len(answer.body))
        self._answer(answer.status, lines, answer.body)

    def begin(self, stream: Stream) -> bool:
        """Send the head of a stream; return whether its pieces are wanted."""
        head = self.head
        assert head is not None  # noqa: S101 - only who has asked is answered so
        is_wanted = head.method != b"HEAD"
        framing = (BY_CHUNKS if head.minor else BY_CLOSE) if is_wanted else NO_BODY
        self.is_endless = True
        self.send_head(self._lines(200, stream.headers, None), framing)
        self._out.flush()
        return is_wanted

    # ── within ──

    def _lines(
        self, status: int, headers: Sequence[tuple[str, str]], length: int | None
    ) -> list[bytes]:
        """Build the head of an answer of ours, all but Connection."""
        services = self._services
        if self._record is None:
            headers = with_common(headers, services.page_headers)
        lines = build_answer_lines(status, headers, length, self.cors)
        return [*lines, services.dates.line(), self._id_line()]

    def _id_line(self) -> bytes:
        if self._record is not None:
            request_id = self._record.request_id
        else:
            given = self.head.fields.get(b"x-request-id") if self.head is not None else None
            request_id = self._services.traffic.request_id(given)
        return b"X-Request-ID: %b" % request_id.encode()

    def _answer(self, status: int, lines: list[bytes], body: bytes) -> None:
        """Send a whole answer of our own."""
        if self.awaits_body or not self._may_be_kept():
            self.closes = True
        if self.head is not None and self.head.method == b"HEAD":
            body = b""
        record = self._record
        if record is not None:
            record.status = status
            record.whose = "proxy"
            record.bytes_out += len(body)
        self._out.head(self._whole(lines, body))
        self._out.flush()
        self._settle()

    async def _reply_with(self, rendering: Awaitable[Answer]) -> None:
        self.reply(await rendering)

    def _call_late(self, delay: float, answer: Callable[[], None]) -> None:
        self._late = asyncio.get_running_loop().call_later(delay, answer)

    def _may_be_kept(self) -> bool:
        head = self.head
        return head is not None and head.keep_alive and not self._caller.is_retiring

    def _whole(self, lines: list[bytes], body: bytes) -> bytes:
        """Put lines, a Connection header where one is needed, and a body together."""
        if self.closes:
            lines.append(b"Connection: close")
        elif self.head is not None and self.head.minor == 0:
            lines.append(b"Connection: keep-alive")
        lines += (b"", body)
        return b"\r\n".join(lines)

    def _answer_preflight(
        self, head: RequestHead, headers: list[tuple[bytes, bytes]], rest: bytes
    ) -> None:
        # Browsers send no body; any other is not worth reading.
        self.closes = head.has_body or not self._may_be_kept()
        self._caller.pipelined = rest
        lines = [b"HTTP/1.1 204 No Content", *(b"%b: %b" % header for header in headers)]
        self._answer(204, [*lines, self._services.dates.line(), self._id_line()], b"")

    def _settle(self) -> None:
        self._exchange = None
        self._caller.answered()
