"""A request that the proxy answers itself, once its body is here: dry runs, token requests.

It stands where an exchange does, so that bodies are read, bounded and timed as they always are.
"""

import base64
from collections.abc import Callable

from proxy.errors import Problem
from proxy.gateway.forward import CONTINUE, Forwarder, Inbound
from proxy.gateway.guards import Admission, Guards
from proxy.gateway.http1 import Headers, RequestHead
from proxy.messages import Answer
from proxy.telemetry.traffic import RequestRecord


class Here:
    """Keeps the first `limit` bytes of the body, and has them answered at its end."""

    head_sent = False

    def __init__(
        self, inbound: Inbound, head: RequestHead, limit: int, answer: Callable[[bytes], None]
    ) -> None:
        self._inbound = inbound
        self._limit = limit
        self._answer = answer
        self._body = bytearray()
        self._complete = not head.has_body
        self._started = False
        self._expects_continue = head.minor == 1 and b"expect" in head.fields

    @property
    def upload(self) -> "Here":
        """Return where the body goes."""
        return self

    @property
    def awaits_caller(self) -> bool:
        """Return whether the next byte is the caller's to send."""
        return not self._complete

    def start(self) -> None:
        """Answer, if the body is here already."""
        self._started = True
        if self._complete:
            self._answer(bytes(self._body))
        elif self._expects_continue and not self._body:
            self._inbound.send_interim(CONTINUE)

    def feed(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._body += data[: self._limit - len(self._body)]

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - as an upload's
        """Note the body's end; answer, if the answer was asked for."""
        self._complete = True
        if self._started:
            self._answer(bytes(self._body))

    def look(self, now: float) -> None:
        """Nothing is waited for but the caller."""

    def hang_up(self) -> None:
        """Nothing is under way."""

    def caller_full(self) -> None:
        """The answer is short."""

    def caller_ready(self) -> None:
        """The answer is short."""


class Answering(Inbound):
    """The caller's side of a request that is answered here."""

    def reply(self, answer: Answer, delay: float = 0.0) -> None:
        """Send a whole answer, after so many seconds."""
        raise NotImplementedError


def dry_run(
    inbound: Inbound,
    head: RequestHead,
    forwarder: Forwarder,
    admission: Admission,
    record: RequestRecord,
) -> Here:
    """Make what says what would have been sent, once the body is here."""

    def answer(body: bytes) -> None:
        sent = forwarder.prepared().build(head, admission.key_header, b"")
        size = record.bytes_in
        inbound.refuse(describe_dry_run(forwarder.origin, sent, admission.account, body, size))

    return Here(inbound, head, forwarder.max_replay_body, answer)


def token(
    inbound: Answering,
    head: RequestHead,
    guards: Guards,
    limit: int,
    record: RequestRecord,
    delay: Callable[[], float],
) -> Here:
    """Make what answers a token request; `delay` counts a wrong key, and says what it costs."""

    def answer(body: bytes) -> None:
        answered = guards.token_answer(head, body)
        record.caller = answered.caller
        headers = [("Content-Type", "application/json")]
        headers += [(name.decode(), value.decode()) for name, value in answered.headers]
        late = delay() if answered.is_wrong else 0.0
        inbound.reply(Answer(answered.status, headers, answered.body), late)

    return Here(inbound, head, limit, answer)


def describe_dry_run(origin: str, sent: bytes, account: str, body: bytes, size: int) -> Problem:
    """Build the answer that says what would have been sent.

    `sent` is the head as prepared for the upstream, without its credential; `size` the whole
    body's, of which `body` is the beginning.
    """
    request, *lines = sent.decode("latin-1").split("\r\n")
    method, _, rest = request.partition(" ")
    target = rest.rpartition(" ")[0]
    headers = [list(line.partition(": ")[::2]) for line in lines if line]
    members: dict[str, object] = {
        "method": method,
        "url": origin + target,
        "account": account,
        "headers": headers,
        "body": "",
        "body_size": size,
        "truncated": size > len(body),
    }
    try:
        members["body"] = body.decode()
    except UnicodeDecodeError:
        members["body"] = base64.b64encode(body).decode()
        members["encoding"] = "base64"
    return Problem(
        "dry_run",
        "access.dry_run is on: nothing was sent. `would_send` is what the upstream would have got, "
        "but for the account's credential, which is not shown.",
        members={"would_send": members},
    )
