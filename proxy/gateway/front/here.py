"""A request that the proxy answers itself, once its body is here: dry runs, token requests.

It stands where an exchange does, so that bodies are read, bounded and timed as they always are.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass

from proxy.errors import Problem
from proxy.gateway.forward import CONTINUE, Forwarder, Inbound, Prepared
from proxy.gateway.front.answers import REASONS
from proxy.gateway.guards import Admission, Guards
from proxy.gateway.http1 import Headers, RequestHead
from proxy.telemetry.traffic import RequestRecord


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of ours that is no problem."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    delay: float = 0.0  # seconds before it is told

    def head(self) -> bytes:
        """Build its head, all but Date, CORS, Connection and the blank line."""
        lines = [b"%b: %b\r\n" % header for header in self.headers]
        return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b" % (
            self.status,
            REASONS[self.status].encode(),
            len(self.body),
            b"".join(lines),
        )


class Answering(Inbound):
    """The caller's side of a request that is answered here."""

    def reply(self, reply: Reply) -> None:
        """Answer; `refuse` answers with a problem."""
        raise NotImplementedError


class Here:
    """Keeps the first `limit` bytes of the body, and answers at its end what `decide` says."""

    head_sent = False

    def __init__(
        self,
        inbound: Answering,
        head: RequestHead,
        limit: int,
        decide: Callable[[bytes], Reply | Problem],
    ) -> None:
        self._inbound = inbound
        self._limit = limit
        self._decide = decide
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
        """Tell whether the next byte is the caller's to send."""
        return not self._complete

    def start(self) -> None:
        """Answer, if the body is here already."""
        self._started = True
        if self._complete:
            self._answer()
        elif self._expects_continue and not self._body:
            self._inbound.send_interim(CONTINUE)

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body += data[: self._limit - len(self._body)]

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - as an upload's
        """Take the body's end."""
        self._complete = True
        if self._started:
            self._answer()

    def look(self, now: float) -> None:
        """Nothing is waited for but the caller."""

    def hang_up(self) -> None:
        """Nothing is under way."""

    def caller_full(self) -> None:
        """The answer is short."""

    def caller_ready(self) -> None:
        """The answer is short."""

    def _answer(self) -> None:
        told = self._decide(bytes(self._body))
        if isinstance(told, Problem):
            self._inbound.refuse(told)
        else:
            self._inbound.reply(told)


def dry_run(
    forwarder: Forwarder, head: RequestHead, admission: Admission, record: RequestRecord
) -> Callable[[bytes], Problem]:
    """Return what says what would have been sent, once the body is here."""

    def decide(body: bytes) -> Problem:
        sent = forwarder.prepare(head, admission.key_header, Prepared())
        return describe_dry_run(forwarder.origin, sent, admission.account, body, record.bytes_in)

    return decide


def token(
    guards: Guards, head: RequestHead, record: RequestRecord, delay: Callable[[], float]
) -> Callable[[bytes], Reply]:
    """Return what answers a token request; `delay` counts a wrong key, and says what it costs."""

    def decide(body: bytes) -> Reply:
        answer = guards.token_answer(head, body)
        record.caller = answer.caller
        return Reply(
            answer.status, answer.headers, answer.body, delay() if answer.is_wrong else 0.0
        )

    return decide


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
