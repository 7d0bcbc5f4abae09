"""One request under way, from the moment it is admitted to the end of its answer.

    start ─▶ credential ─▶ connection ─▶ sent ─▶ answer's head ─▶ body ─▶ end
               (waits only when none is in memory, or no connection is idle)
    401, first time      held back, the grant refreshed, sent again; or passed on (rule 6)
    connection lost      sent again where that is safe (rule 7); else a problem, or an abort
    the caller hangs up  the connection is broken off, waiting is ended (rule 8)

Both sides tell it what happens by plain calls; it never blocks and is over exactly once.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from proxy.errors import Problem
from proxy.gateway.forward.seams import Credential, Framing, Inbound
from proxy.gateway.forward.upload import NO_UPLOAD, Upload
from proxy.gateway.guards import Admission
from proxy.gateway.headers import passing_trailers
from proxy.gateway.http1 import Headers, RequestHead, ResponseHead
from proxy.gateway.retry import is_idempotent, may_resend
from proxy.gateway.upstream import UpstreamConnection
from proxy.telemetry.traffic import RequestRecord

if TYPE_CHECKING:
    from proxy.gateway.forward.forwarder import Forwarder

# The statuses without a body (RFC 9112 section 6.3), beside every answer to HEAD.
BODILESS = (204, 304)
# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
NO_BODY, BY_LENGTH, BY_CHUNKS, BY_CLOSE = Framing


class Exchange:
    """The state of one forwarded request."""

    __slots__ = (
        "_admission", "_connection", "_forwarder", "_generation", "_head", "_inbound", "_over",
        "_record", "_refreshed", "_resent", "_sent_at", "_source", "_task", "head_sent", "upload",
    )  # fmt: skip

    def __init__(
        self,
        forwarder: "Forwarder",
        inbound: Inbound,
        head: RequestHead,
        admission: Admission,
        record: RequestRecord,
    ) -> None:
        self._forwarder = forwarder
        self._inbound = inbound
        self._head = head
        self._admission = admission
        self._record = record
        self._source = forwarder.credentials[admission.account]
        self._connection: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._generation = 0
        self._sent_at = 0.0
        self._refreshed = False
        self._resent = False
        self._over = False
        self.head_sent = False
        self.upload = (
            Upload(head, inbound, forwarder.max_replay_body)
            if head.chunked or head.content_length
            else NO_UPLOAD
        )

    def start(self) -> None:
        """Send the request: at once where a credential and a connection are at hand."""
        credential = self._source.current()
        if credential is not None:
            connection = self._forwarder.upstream.take(repeatable=self._is_repeatable())
            if connection is not None:
                self._send(connection, credential)
                return
        self._wait_for(self._obtain(fresh=False))

    # ── what the caller's side tells ──

    def caller_full(self) -> None:
        """Note that the caller reads more slowly than the upstream answers."""
        if self._connection is not None:
            self._connection.pause_reading()

    def caller_ready(self) -> None:
        """Note that the caller can take more."""
        if self._connection is not None:
            self._connection.resume_reading()

    def hang_up(self) -> None:
        """Cancel: the caller is gone, or what it sends is malformed."""
        self._finish()
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.discard()
            self._connection = None

    @property
    def awaits_caller(self) -> bool:
        """Tell whether the next byte is the caller's to send."""
        return self.upload.awaits_caller

    # ── what the upstream's side tells ──

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on, to callers that know of such (RFC 9110 section 15.2)."""
        if self._head.minor == 1:
            lines = self._forwarder.inbound.build(head, self._inbound.origin)
            self._inbound.send_interim(lines + b"\r\n")
        if head.status == 100:
            self.upload.continued()

    def answer(self, head: ResponseHead) -> None:
        """Take the head of the answer."""
        self._record.upstream_duration = self._forwarder.clock.monotonic() - self._sent_at
        if head.status == 401 and not self._refreshed and self._connection is not None:
            self._refreshed = True
            self._connection.hold()
            if self.upload.is_replayable:
                self.upload.detach()
                self._wait_for(self._replay_or_pass_on(self._connection, head))
            else:
                self._wait_for(self._refresh_and_pass_on(self._connection, head))
            return
        self._pass_on(head)

    def whole_answer(self, head: ResponseHead, body: bytes) -> None:
        """Take an answer that came all at once, as most do, framed by its length."""
        self._record.upstream_duration = self._forwarder.clock.monotonic() - self._sent_at
        self._connection = None
        self._finish()
        self._inbound.send_whole(self._answer_lines(head, keep_trailer=False), body)

    def data(self, data: bytes) -> None:
        """Pass a piece of the answer's body on."""
        self._inbound.send(data)

    def flush(self) -> None:
        """Pass on what is there: more may be long in coming."""
        self._inbound.flush()

    def end(self, trailers: Headers) -> None:
        """Take the end of the answer."""
        self._connection = None
        self._finish()
        self._inbound.end(passing_trailers(trailers) if trailers else trailers)

    def failed(self, problem: Problem, connection: UpstreamConnection) -> None:
        """Take the end of a connection without the end of an answer."""
        self._connection = None
        self.upload.detach()
        if (
            problem.code == "connection_terminated"
            and not self._resent
            and may_resend(
                self._head.method,
                replayable=self.upload.is_replayable,
                reused=connection.reused,
                answered=connection.answered,
            )
        ):
            self._resent = True
            self._record.replays += 1
            self._wait_for(self._obtain(fresh=True))
        else:
            self._refuse(problem)

    def upstream_full(self) -> None:
        """Note that the upstream takes the body more slowly than the caller sends it."""
        self.upload.pause()

    def upstream_ready(self) -> None:
        """Note that the upstream can take more."""
        self.upload.resume()

    # ── within ──

    def _is_repeatable(self) -> bool:
        upload = self.upload
        return is_idempotent(self._head.method) and (upload is NO_UPLOAD or upload.is_replayable)

    async def _obtain(self, *, fresh: bool) -> None:
        """Wait for what is missing, the credential first: without one no connection is needed."""
        credential = self._source.current() or await self._source.credential()
        connection = await self._forwarder.upstream.acquire(
            repeatable=self._is_repeatable(), fresh=fresh
        )
        # The wait may have been long, and the token renewed.
        self._send(connection, self._source.current() or credential)

    def _send(self, connection: UpstreamConnection, credential: Credential) -> None:
        forwarder = self._forwarder
        head = self._head
        prepared = head.prepared or forwarder.prepare(head, self._admission.key_header)
        request = b"%b%b\r\n" % (prepared, credential.lines)
        # Looked at last of all: what arrives before the request would be taken for its answer.
        if connection.reused and connection.has_input():
            connection.discard()
            self._wait_for(self._obtain(fresh=True))
            return
        self._connection = connection
        self._generation = credential.generation
        self._sent_at = forwarder.clock.monotonic()
        connection.begin(self, head.method, self._sent_at)
        self.upload.attach(connection, request)

    async def _replay_or_pass_on(self, connection: UpstreamConnection, head: ResponseHead) -> None:
        credential = await self._newer_credential()
        if credential is None:
            self._pass_on(head)
            connection.go_on()
            return
        self._connection = None
        connection.discard()
        self._record.replays += 1
        connection = await self._forwarder.upstream.acquire(repeatable=self._is_repeatable())
        self._send(connection, self._source.current() or credential)

    async def _newer_credential(self) -> Credential | None:
        try:
            return await self._source.rejected(self._generation)
        except Problem:
            # Rule 5 of the grant: a 401 whose refresh fails is passed on.
            return None

    async def _refresh_and_pass_on(
        self, connection: UpstreamConnection, head: ResponseHead
    ) -> None:
        # Too late for this one, but the caller's next request must find the new token (rule 6).
        await self._newer_credential()
        self._pass_on(head)
        connection.go_on()

    def _pass_on(self, head: ResponseHead) -> None:
        self.head_sent = True
        self.upload.forget()
        request = self._head
        if request.method == b"HEAD" or head.status in BODILESS:
            framing = NO_BODY
        elif head.content_length is not None:
            framing = BY_LENGTH
        elif request.minor == 1:
            framing = BY_CHUNKS
        else:
            framing = BY_CLOSE
        lines = self._answer_lines(head, keep_trailer=framing is BY_CHUNKS and head.chunked)
        self._inbound.send_head(lines, framing)

    def _answer_lines(self, head: ResponseHead, *, keep_trailer: bool) -> bytes:
        fields, record, inbound = head.fields, self._record, self._inbound
        record.status = head.status
        record.whose = "upstream"
        remaining = fields.get(b"x-ratelimit-remaining")
        if remaining is not None:
            record.rate_limit = remaining.decode("latin-1")
        lines = self._forwarder.inbound.build(
            head, inbound.origin, keep_trailer=keep_trailer, cors=inbound.cors
        )
        if b"date" not in fields:
            lines += inbound.date_line()  # RFC 9110 section 6.6.1
        return lines

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._forwarder.spawn(work, self._refuse)

    def _refuse(self, problem: Problem) -> None:
        if self._over:
            return
        self._finish()
        if self._connection is not None:
            self._connection.discard()
            self._connection = None
        if self.head_sent:
            self._inbound.abort(problem)
        else:
            self._inbound.refuse(problem)

    def _finish(self) -> None:
        self._over = True
        self.upload.detach()
