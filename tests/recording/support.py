"""Recorded exchanges to put into files, and masks to do it with."""

from proxy.recording.exchange import Body, Headers, Message, RecordedExchange


def unmasked(text: str) -> str:
    return text


def message(body: bytes = b"", *headers: tuple[str, str]) -> Message:
    return Message(list(headers), Body(body, len(body)))


def exchange(
    method: str = "GET",
    target: str = "/jobs",
    *,
    body: bytes = b"",
    sent: Headers | None = None,
    status: int = 200,
    answer: bytes = b"{}",
    got: Headers | None = None,
) -> RecordedExchange:
    return RecordedExchange(
        id="id-1",
        at=1_790_000_000.0,
        method=method,
        url=f"http://localhost:8080{target}",
        request=message(body, *(sent or [])),
        status=status,
        reason="OK",
        response=message(answer, *(got or [("Content-Type", "application/json")])),
    )
