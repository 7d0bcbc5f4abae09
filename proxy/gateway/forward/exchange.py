"""One request under way, from the moment it is admitted to the end of its answer.

    OBTAINING ─▶ AWAITING ─▶ ANSWERING ─▶ OVER
        ▲            │
        │            ├─▶ RENEWING   a 401 is held back while the grant is refreshed
        │            └─▶ SKIPPING   a 429 is read to its end and waited out
        └────────────┴── sent again, also after a lost connection where that is safe

Obtaining is one step, `_obtain`, once the limits let the request go: a credential, then a
connection; it waits only for what is not at hand. What was obtained is given back exactly once, in
`_finish`. The caller's hang-up cancels it from any state.

In docs/behaviour.md a 401 is rule 8 of requests, a lost connection rule 9 of requests, a hang-up
rule 13 of requests, and a 429 rule 5 of SmartRecruiters' limits.

Both sides call it with what happens; it never blocks and is over exactly once.
"""

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, Final

from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import Problem
from proxy.gateway.forward.delivery import Delivery
from proxy.gateway.forward.forwarder import Forwarder
from proxy.gateway.forward.prepared import Prepared
from proxy.gateway.forward.seams import Credential, Inbound
from proxy.gateway.forward.upload import NO_UPLOAD, Upload
from proxy.gateway.guards import Admission
from proxy.gateway.http1 import Headers, RequestHead, ResponseHead
from proxy.gateway.retry import IDEMPOTENT, may_resend
from proxy.gateway.upstream import AnswerSink, UpstreamConnection
from proxy.telemetry.traffic import RequestRecord

# How long a caller that asked for it waits for 100 Continue (RFC 9110 section 10.1.1 has it not
# wait for ever; not every upstream sends it).
CONTINUE_AFTER: Final = 2.0
EXPLAINED: Final = frozenset({403, 404})
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(Enum):
    """What comes next."""

    OBTAINING = "obtaining"
    AWAITING = "awaiting"  # sent; the head of the answer
    RENEWING = "renewing"
    SKIPPING = "skipping"
    ANSWERING = "answering"  # the caller has the head; the rest of the answer
    OVER = "over"


# Bound once: before Python 3.12 each look-up of an enum's member costs a function call.
OBTAINING: Final = State.OBTAINING
AWAITING: Final = State.AWAITING
RENEWING: Final = State.RENEWING
SKIPPING: Final = State.SKIPPING
ANSWERING: Final = State.ANSWERING
OVER: Final = State.OVER


class Exchange(AnswerSink):
    """The state of one forwarded request."""

    __slots__ = (
        "_connection", "_credential", "_delivery", "_forwarder", "_head", "_inbound",
        "_key_header", "_needs_fresh", "_prepared", "_record", "_refreshed", "_resent", "_sent_at",
        "_source", "_state", "_task", "_ticket", "_wait", "upload",
    )  # fmt: skip

    def __init__(
        self,
        forwarder: Forwarder,
        inbound: Inbound,
        head: RequestHead,
        admission: Admission,
        record: RequestRecord,
        prepared: Prepared,
    ) -> None:
        self._forwarder = forwarder
        self._prepared = prepared
        self._inbound = inbound
        self._head = head
        self._key_header = admission.key_header
        self._record = record
        self._source = forwarder.credentials[admission.account]
        self._connection: UpstreamConnection | None = None
        self._credential: Credential | None = None
        self._task: asyncio.Task[None] | None = None
        self._state = OBTAINING
        self._sent_at = 0.0
        self._refreshed = False
        self._resent = False
        self._needs_fresh = False  # a connection that was lost is not tried twice
        self._wait = 0.0
        tap_for = forwarder.tap_for
        tap = None if tap_for is None else tap_for(head, record, inbound.origin)
        self._delivery = Delivery(forwarder, inbound, head, tap)
        self._ticket = forwarder.gate.ticket(
            admission.account,
            record.operation,
            head.method,
            head.path,
            admission.caller,
        )
        self.upload = (
            Upload(head, inbound, forwarder.max_replay_body, tap)
            if head.chunked or head.content_length
            else NO_UPLOAD
        )

    def start(self) -> None:
        """Send the request: at once where the limits, a credential and a connection allow it."""
        if self._ticket is None or self._ticket.enter(self):
            self._obtain()

    # ── called by the limits ──

    def admitted(self) -> None:
        """Send what was held back."""
        # In a task, which answers for what was not foreseen: nobody else is there to do it.
        self._wait_for(self._obtain_in_turn(fresh=self._needs_fresh))

    def refused(self, problem: Problem) -> None:
        """Answer what was held back for too long."""
        self._refuse(problem)

    # ── called by the caller's side ──

    def caller_full(self) -> None:
        """Note that the caller reads more slowly than the upstream answers."""
        if self._connection is not None and self._state is not SKIPPING:
            self._connection.pause_reading()

    def caller_ready(self) -> None:
        """Note that the caller reads again."""
        if self._connection is not None:
            self._connection.resume_reading()

    def hang_up(self) -> None:
        """Cancel: the caller is gone, or what it sends is malformed."""
        self._break_off()
        if self._task is not None:
            self._task.cancel()

    def look(self, now: float) -> None:
        """Send 100 Continue to a caller that waits for it in vain."""
        if (
            self._state is AWAITING
            and self.upload.expects_continue
            and now - self._sent_at >= CONTINUE_AFTER
        ):
            self._inbound.send_interim(CONTINUE)
            self.upload.continued()

    @property
    def head_sent(self) -> bool:
        """Return whether the caller has been answered in part."""
        return self._state is ANSWERING

    @property
    def awaits_caller(self) -> bool:
        """Return whether the next byte is the caller's to send."""
        return self.upload.awaits_caller

    # ── called by the upstream's side ──

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on, to callers that know of such (RFC 9110 section 15.2)."""
        is_continue = head.status == 100
        if self._head.minor == 1 and (not is_continue or self.upload.expects_continue):
            lines = self._forwarder.inbound.build(head, self._inbound.origin)
            self._inbound.send_interim(b"\r\n".join([*lines, b"", b""]))
        if is_continue:
            self.upload.continued()

    def answer(self, head: ResponseHead) -> None:
        """Act on the head of the answer."""
        self._note(head)
        connection = self._connection
        if head.status == 401 and not self._refreshed and connection is not None:
            self._refreshed = True
            self._state = RENEWING
            connection.hold()
            if self.upload.is_replayable:
                self.upload.detach()
            self._wait_for(self._renew(connection, head))
        elif head.status == 429 and self._is_waited_out(head):
            self._state = SKIPPING
            self.upload.detach()
        else:
            self._pass_on(head)

    def whole_answer(self, head: ResponseHead, body: bytes) -> None:
        """Act on an answer that came all at once, as most do, framed by its length."""
        self._note(head)
        self._connection = None
        if head.status == 429 and self._is_waited_out(head):
            self.upload.detach()
            self._send_again(self._wait)
            return
        self._finish()
        self._delivery.send_whole(head, body, self._extra(head))

    def data(self, data: bytes) -> None:
        """Pass on a piece of the answer's body."""
        if self._state is not SKIPPING:
            self._delivery.data(data)

    def flush(self) -> None:
        """Pass on what is there: more may be long in coming."""
        if self._state is not SKIPPING:
            self._inbound.flush()

    def end(self, trailers: Headers) -> None:
        """Pass on the end of the answer."""
        self._connection = None
        if self._state is SKIPPING:
            self._send_again(self._wait)
            return
        self._finish()
        self._delivery.end(trailers)

    def failed(self, problem: Problem, connection: UpstreamConnection) -> None:
        """Act on the end of a connection without the end of an answer."""
        self._connection = None
        self.upload.detach()
        if self._state is SKIPPING:
            self._send_again(self._wait)
        elif (
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
            self._send_again(0.0, fresh=True)
        else:
            self._refuse(problem)

    def upstream_full(self) -> None:
        """Note that the upstream reads the body more slowly than the caller sends it."""
        self.upload.pause()

    def upstream_ready(self) -> None:
        """Note that the upstream reads again."""
        self.upload.resume()

    # ── obtaining and sending ──

    def _obtain(self, *, fresh: bool = False) -> None:
        """Get what sending needs, once the limits have let it go, and send."""
        if not fresh:
            credential = self._source.current()
            if credential is not None:
                connection = self._forwarder.upstream.take(repeatable=self._is_repeatable())
                if connection is not None:
                    self._send(connection, credential)
                    return
        self._wait_for(self._obtain_in_turn(fresh=fresh))

    async def _obtain_in_turn(self, *, fresh: bool) -> None:
        # Before the connection: without a credential none is needed.
        credential = self._source.current() or await self._source.credential()
        connection = await self._forwarder.upstream.acquire(
            repeatable=self._is_repeatable(), fresh=fresh
        )
        # The wait may have been long, and the token renewed.
        self._send(connection, self._source.current() or credential)

    def _send(self, connection: UpstreamConnection, credential: Credential) -> None:
        forwarder = self._forwarder
        head = self._head
        request = self._prepared.build(head, self._key_header, credential.lines)
        # Checked last of all: what arrives before the request would be read as its answer.
        if connection.reused and connection.has_input():
            connection.discard()
            self._obtain(fresh=True)
            return
        self._state = AWAITING
        self._connection = connection
        self._credential = credential
        self._sent_at = forwarder.clock.monotonic()
        if self._ticket is not None:
            self._ticket.sent()
        connection.begin(self, head.method, self._sent_at)
        self.upload.attach(connection, request)

    def _send_again(self, wait: float, *, fresh: bool = False) -> None:
        """Send once more what was sent before, not before `wait` seconds."""
        self._state = OBTAINING
        self._record.replays += 1
        if self._ticket is None:
            self._obtain(fresh=fresh)
        else:
            self._needs_fresh = fresh
            self._ticket.again(wait)

    def _is_repeatable(self) -> bool:
        upload = self.upload
        return (upload is NO_UPLOAD or upload.is_replayable) and self._head.method in IDEMPOTENT

    # ── answers ──

    def _note(self, head: ResponseHead) -> None:
        self._record.upstream_duration = self._forwarder.clock.monotonic() - self._sent_at
        if self._ticket is not None:
            self._ticket.answered(head.fields)
        if head.status == 429:
            record = self._record
            self._forwarder.limited(record.operation, record.account or DEFAULT_ACCOUNT)

    def _is_waited_out(self, head: ResponseHead) -> bool:
        """Return whether a refusal for its rate is to be sent again, and after how long."""
        if self._ticket is None or not self.upload.is_replayable:
            return False
        wait = self._ticket.resend_in(head.status, head.fields)
        self._wait = wait or 0.0
        return wait is not None

    async def _renew(self, connection: UpstreamConnection, head: ResponseHead) -> None:
        """Get a newer token and send again; or pass the 401 on, held back until then."""
        generation = self._credential.generation if self._credential is not None else 0
        try:
            newer = await self._source.rejected(generation)
        except Problem:
            # Rule 5 of the grant: a 401 whose refresh fails is passed on.
            newer = None
        if newer is None or not self.upload.is_replayable:
            # The caller's next request finds the new token, where there is one.
            self._pass_on(head)
            connection.go_on()
            return
        self._connection = None
        connection.discard()
        self._send_again(0.0)

    def _pass_on(self, head: ResponseHead) -> None:
        self._state = ANSWERING
        self.upload.forget()
        self._delivery.send_head(head, self._extra(head))

    def _extra(self, head: ResponseHead) -> bytes | None:
        """Note the answer in the record; return a header line of ours for it."""
        record = self._record
        record.status = head.status
        record.whose = "upstream"
        remaining = head.fields.get(b"x-ratelimit-remaining")
        if remaining is not None:
            record.rate_limit = remaining.decode("latin-1")
        if head.status in EXPLAINED:
            self._forwarder.explain(record, head)
        if head.status == 429 and self._ticket is not None and b"retry-after" not in head.fields:
            return b"Retry-After: 1"
        return None

    # ── the end ──

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._forwarder.spawn(work, self._refuse)

    def _refuse(self, problem: Problem) -> None:
        if self._state is OVER:
            return
        answered = self._state is ANSWERING
        self._break_off()
        if answered:
            self._inbound.abort(problem)
        else:
            self._inbound.refuse(problem)

    def _break_off(self) -> None:
        if self._state is not OVER:
            self._delivery.break_off()
        self._finish()
        if self._connection is not None:
            self._connection.discard()
            self._connection = None

    def _finish(self) -> None:
        """Give back what was obtained: once, at the end of the answer or of the caller."""
        if self._state is OVER:
            return
        self._state = OVER
        self.upload.detach()
        if self._ticket is not None:
            self._ticket.over()
            # Of a caller that gave up, too: that it was held may be why.
            self._record.held = self._ticket.held
