"""One finished exchange: request and answer as the caller sent and got them."""

from dataclasses import dataclass, field

from proxy.telemetry.traffic import RequestRecord

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Body:
    """What was kept of a body, as it went over the wire; `size` counts all of it, in bytes."""

    data: bytes = b""
    size: int = 0

    @property
    def truncated(self) -> bool:
        """Tell whether more went through than was kept."""
        return self.size > len(self.data)


@dataclass(slots=True)
class Message:
    """The headers, in order and as spelt, and the body of a request or an answer."""

    headers: Headers = field(default_factory=list)
    body: Body = field(default_factory=Body)

    def header(self, name: str) -> str:
        """Return the first value of a header, or an empty text; `name` in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(slots=True)
class Timings:
    """Seconds: held back by limits, connecting, to the answer's head, to its end."""

    held: float = 0.0
    connect: float = 0.0
    wait: float = 0.0
    receive: float = 0.0

    @property
    def total(self) -> float:
        """Return the seconds from the request to the answer's end."""
        return self.held + self.connect + self.wait + self.receive


@dataclass(slots=True)
class RecordedExchange:
    """What is kept of one request; `url` is absolute, with the origin that the caller used."""

    id: str
    at: float  # seconds since the epoch
    method: str
    url: str
    request: Message
    status: int
    reason: str
    response: Message
    timings: Timings = field(default_factory=Timings)
    complete: bool = True  # false: broken off before the answer's end, or answered by the proxy
    record: RequestRecord | None = None  # what else is told of it; None: read from a file
