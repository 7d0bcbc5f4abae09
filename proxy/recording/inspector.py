"""The inspector: shows the exchanges kept in memory, and sends one of them again."""

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from proxy.errors import Problem
from proxy.recording.exchange import Headers, RecordedExchange
from proxy.recording.har import MASK
from proxy.recording.keep import Keep
from proxy.recording.recorder import RESEND, Recorder

METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
TARGET = re.compile(r"/[!-~\x80-\xff]*")
NAME = METHOD
VALUE = re.compile(r"[\t -~\x80-\xff]*")
ACCOUNT = "x-srproxy-account"
# Headers that are set anew, or that were meant for the first connection.
NOT_SENT = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
        "upgrade", "expect", "proxy-connection", "x-request-id",
    }
)  # fmt: skip
# Headers with credentials or an origin: of whoever sends it again, never of the first sender.
KEYS = frozenset(
    {"authorization", "x-smarttoken", "x-api-key", "x-srproxy-key", "cookie", "origin", "referer"}
)


@dataclass(slots=True)
class Draft:
    """A kept request to be sent again, perhaps edited."""

    method: str
    target: str
    headers: Headers
    body: bytes = field(repr=False)
    account: str | None = None  # that served it, and is to serve it again


class Inspector:
    """The kept exchanges; `send` gives a whole request to the front and returns the status."""

    def __init__(
        self, recorder: Recorder, keep: Keep, send: Callable[[bytes], Awaitable[int]]
    ) -> None:
        self._recorder = recorder
        self._keep = keep
        self._send = send

    @property
    def enabled(self) -> bool:
        """Tell whether exchanges are being kept."""
        return self._recorder.inspecting

    def get(self, exchange_id: str) -> RecordedExchange | None:
        """Return a kept exchange."""
        return self._keep.get(exchange_id)

    def all(self) -> list[RecordedExchange]:
        """Return all that are kept, oldest first."""
        return self._keep.all()

    async def resend(self, draft: Draft, host: str, credentials: Headers) -> tuple[str, int]:
        """Send a request through all guards and limits; return the new id and the status.

        `credentials` are the key of whoever asks for it. Problem bad_request where the draft is no
        request; an empty id where it was refused before it could be kept.
        """
        nonce = secrets.token_hex(16).encode()
        request = _build(draft, host, credentials, nonce)
        self._recorder.expect(nonce)
        try:
            status = await self._send(request)
        except ConnectionError as error:
            raise Problem(
                "bad_request", "The request was refused before it was read; look at the log."
            ) from error
        finally:
            sent = self._recorder.seen(nonce)
        return sent or "", status


def draft_of(exchange: RecordedExchange) -> Draft:
    """Return the kept request, ready to be sent again; Problem 409 where its body is not whole."""
    if exchange.request.body.truncated:
        raise Problem(
            "bad_request",
            "The request's body was kept in part only (inspect.max_body), so that it cannot be "
            "sent again.",
            status=409,
        )
    target = "/" + exchange.url.split("://", 1)[-1].partition("/")[2]
    request, record = exchange.request, exchange.record
    account = record.account if record is not None else None
    headers = [header for header in request.headers if _is_sent(*header)]
    return Draft(exchange.method, target, headers, request.body.data, account)


def _is_sent(name: str, value: str) -> bool:
    lower = name.lower()
    return not (lower in NOT_SENT or lower in KEYS or lower.startswith("sec-") or value == MASK)


def _build(draft: Draft, host: str, credentials: Headers, nonce: bytes) -> bytes:
    if not METHOD.fullmatch(draft.method):
        raise Problem("bad_request", "The method is not an HTTP method.")
    if not TARGET.fullmatch(draft.target):
        raise Problem(
            "bad_request",
            "The path must begin with a slash and hold no blank or control character.",
        )
    lines = [f"{draft.method} {draft.target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    for name, value in draft.headers:
        if not _is_sent(name, value):
            continue
        if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise Problem("bad_request", "A header's name or value cannot be sent.")
        lines.append(f"{name}: {value}")
    if draft.account is not None and not any(name.lower() == ACCOUNT for name, _ in draft.headers):
        # The API key or the Host may have chosen the account, and neither is sent again.
        lines.append(f"{ACCOUNT}: {draft.account}")
    lines.append(f"{RESEND.decode()}: {nonce.decode()}")
    if draft.body or draft.method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
        lines.append(f"Content-Length: {len(draft.body)}")
    # As the control routes decode them: bytes that are not UTF-8 stay as they are.
    keys = "".join(f"{name}: {value}\r\n" for name, value in credentials)
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    return head + keys.encode("utf-8", "surrogateescape") + b"\r\n" + draft.body
