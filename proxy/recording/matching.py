"""Which recorded answer a request gets.

By method, path, query without regard to order, and the body's hash for requests that have one. Each
repetition of a request gets the next answer recorded for it, and the last one from then on.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from urllib.parse import urlsplit

from proxy.recording.exchange import Message, RecordedExchange

BOUNDARY = re.compile(r"boundary=\"?([^\";,]+)", re.IGNORECASE)
Key = tuple[str, str, tuple[str, ...]]


@dataclass(slots=True)
class _Answers:
    """The answers to one request, in the order of recording."""

    recorded: list[RecordedExchange] = field(default_factory=list)
    given: int = 0

    def take(self) -> RecordedExchange:
        answer = self.recorded[min(self.given, len(self.recorded) - 1)]
        self.given += 1
        return answer


class Tape:
    """All recorded answers, by the request that each belongs to."""

    def __init__(self, exchanges: Iterable[RecordedExchange]) -> None:
        self._answers: dict[Key, dict[str | None, _Answers]] = {}
        self.count = 0
        for exchange in exchanges:
            parts = urlsplit(exchange.url)
            if parts.path.startswith("/-/"):
                continue  # the proxy's own
            target = (parts.path or "/") + (f"?{parts.query}" if "?" in exchange.url else "")
            bodies = self._answers.setdefault(_key(exchange.method, target), {})
            body = exchange.request.body
            # A body that was not recorded whole cannot be compared: it matches any.
            known = None if body.truncated else _hash(exchange.request)
            bodies.setdefault(known, _Answers()).recorded.append(exchange)
            self.count += 1

    def answer(self, method: str, target: str, request: Message) -> RecordedExchange | None:
        """Return the next answer to a request, or None if none was recorded."""
        bodies = self._answers.get(_key(method, target))
        if bodies is None and method == "HEAD":
            bodies = self._answers.get(_key("GET", target))
        if bodies is None:
            return None
        answers = bodies.get(_hash(request)) or bodies.get(None)
        return answers.take() if answers else None

    def nearest(self, method: str, target: str) -> str | None:
        """Return the recorded request that looks most like this one, as `METHOD target`."""
        wanted = _shown(_key(method, target))
        best, likeness = None, 0.0
        matcher = SequenceMatcher(b=wanted, autojunk=False)
        for key in self._answers:
            shown = _shown(key)
            matcher.set_seq1(shown[:1000])
            if matcher.real_quick_ratio() > likeness and (ratio := matcher.ratio()) > likeness:
                best, likeness = shown, ratio
        return best

    def differs_by_body(self, method: str, target: str) -> bool:
        """Tell whether the request was recorded, but with another body."""
        return _key(method, target) in self._answers


def _key(method: str, target: str) -> Key:
    path, _, query = target.partition("?")
    return method, path, tuple(sorted(query.split("&"))) if query else ()


def _shown(key: Key) -> str:
    method, path, query = key
    return f"{method} {path}" + (f"?{'&'.join(query)}" if query else "")


def _hash(request: Message) -> str:
    data = request.body.data
    # Each upload has a boundary of its own, without a meaning.
    found = BOUNDARY.search(request.header("content-type"))
    if found:
        data = data.replace(found[1].encode(), b"boundary")
    return hashlib.sha256(data).hexdigest()
