"""Callers that know what must come back: every answer carries the id that was asked with.

An *innocent* request names no fault: the upstream would answer it, so it must be answered, with its
own id. What a guilty one may come to is listed by fault.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from tests.e2e.soak.wire import Answer, Cut, Wire

# 1 % of the requests, in equal parts.
FAULTS = ("cut", "cut_chunked", "garbage", "extra", "late", "idle_408", "slow")
FAULTY = 0.01
HANGS_UP = 0.002

# What a request with that fault may come to.
ALLOWED: dict[str, set[str]] = {
    "cut": {"cut"},
    "cut_chunked": {"cut"},
    "garbage": {"http_protocol_error"},
    "extra": {"ok", "http_protocol_error"},
    "late": {"ok"},
    "idle_408": {"ok"},
    "slow": {"ok"},
    "chunked": {"ok"},
    "": {"ok"},
}

STRAY = "stray"  # the id of an answer that is nobody's


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    id: str
    method: str
    fault: str
    size: int
    body: int
    chunked: bool

    def encode(self) -> bytes:
        query = "&".join(
            part
            for part in (self.fault and f"fault={self.fault}", self.size and f"size={self.size}")
            if part
        )
        lines = [
            f"{self.method} /soak/{self.id}{'?' + query if query else ''} HTTP/1.1",
            "Host: localhost",
            f"X-Soak-Id: {self.id}",
        ]
        body = b""
        if self.method == "POST":
            body = (self.id.encode() + b"\n").ljust(self.body, b".")
            if self.chunked:
                lines.append("Transfer-Encoding: chunked")
                half = len(body) // 2
                body = b"".join(
                    f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
                    for piece in (body[:half], body[half:])
                )
                body += b"0\r\n\r\n"
            else:
                lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def expected(self) -> bytes:
        """Build the body that must come back: the id all through, and how much was sent."""
        line = self.id.encode() + b"\n"
        sent = b"%d" % max(len(line), self.body) if self.method == "POST" else b""
        return line * (self.size // len(line) + 1) + sent


@dataclass(frozen=True, slots=True)
class MixUp:
    """A request, and whose answer it got."""

    ask: Ask
    got: str


@dataclass(slots=True)
class Tally:
    """What became of all requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    mixed_up: list[MixUp] = field(default_factory=list)
    # Mixed up by a crossing on the wire, which HTTP/1.1 cannot tell from an answer.
    crossed: list[MixUp] = field(default_factory=list)
    hung_up: int = 0

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values()) + self.hung_up

    def set_crossed_apart(self, crossed: Container[str], nameless: int) -> None:
        """Take out what came of a request that crossed with something unasked for.

        Of so many such the upstream does not know the name: each can have got that, and no more.
        """
        for mix_up in tuple(self.mixed_up):
            if mix_up.ask.id in crossed or mix_up.got in crossed:
                pass
            elif nameless and mix_up.got == STRAY:
                nameless -= 1
            else:
                continue
            self.mixed_up.remove(mix_up)
            self.crossed.append(mix_up)


class Caller:
    """One caller: one connection, kept as long as it lasts."""

    def __init__(
        self,
        port: int,
        tally: Tally,
        excuse: Callable[[Ask, str, float], str | None],
        seed: int,
    ) -> None:
        self._port = port
        self._tally = tally
        self._excuse = excuse
        self._random = random.Random(seed)
        self._name = f"c{seed}"
        self._count = 0
        self._wire: Wire | None = None

    async def run(self, stop: asyncio.Event, interval: float) -> None:
        """Ask until told to stop, at most once an interval."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._random.random() * interval
        while not stop.is_set():
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + interval, loop.time() - 1)
            await self._ask_once()
        self._close()

    def _next(self) -> Ask:
        self._count += 1
        draw = self._random.random
        method = self._random.choices(("GET", "POST", "HEAD"), (70, 25, 5))[0]
        fault = ""
        if method == "GET" and draw() < FAULTY / 0.7:
            fault = self._random.choice(FAULTS)
        elif method == "GET" and draw() < 0.1:
            fault = "chunked"
        return Ask(
            id=f"{self._name}-{self._count}",
            method=method,
            fault=fault,
            size=self._random.choices((0, 1024, 65536), (60, 35, 5))[0],
            body=self._random.choices((0, 1024, 100_000), (50, 45, 5))[0],
            chunked=draw() < 0.3,
        )

    async def _ask_once(self) -> None:
        ask = self._next()
        begun_at = asyncio.get_running_loop().time()
        try:
            if self._wire is None:
                self._wire = await Wire.connect(self._port)
            if self._random.random() < HANGS_UP:
                self._wire.send(ask.encode())
                self._tally.hung_up += 1
                self._close()
                return
            async with asyncio.timeout(30):
                outcome = await self._converse(ask, self._wire)
            if outcome == "mixed up":
                self._close()
        except TimeoutError:
            outcome = "no answer in 30 s"
            self._close()
        except (ValueError, IndexError):
            outcome = "garbage"
            self._close()
        except (Cut, OSError, asyncio.IncompleteReadError) as error:
            outcome = "cut" if isinstance(error, Cut) else f"caller's {type(error).__name__}"
            self._close()
        self._judge(ask, outcome, begun_at)

    def _judge(self, ask: Ask, outcome: str, begun_at: float) -> None:
        self._tally.outcomes[outcome] += 1
        if outcome in ALLOWED[ask.fault] or outcome == "mixed up":  # judged at the end
            return
        excuse = self._excuse(ask, outcome, begun_at)
        if excuse is not None:
            self._tally.excused[excuse] += 1
        else:
            self._tally.failures.append(f"{ask}: {outcome}")

    async def _converse(self, ask: Ask, wire: Wire) -> str:
        answer = await wire.ask(ask.encode(), has_body=ask.method != "HEAD")
        fields, body = answer.fields, answer.body
        if fields.get(b"connection", b"").lower() == b"close":
            self._close()
        if fields.get(b"content-type", b"").startswith(b"application/problem+json"):
            # A HEAD has no body to say it: RFC 9209's header does.
            proxy_status = fields.get(b"proxy-status", b"").decode()
            return str(json.loads(body)["code"]) if body else proxy_status.split('"')[1]
        if fields.get(b"x-soak-id") == STRAY.encode():
            return self._mix_up(ask, STRAY)
        if answer.status != 200:
            return f"status {answer.status} {body[:60]!r}"
        return self._check_id(ask, answer)

    def _check_id(self, ask: Ask, answer: Answer) -> str:
        own = ask.id.encode()
        named = answer.fields.get(b"x-soak-id", b"")
        if named != own:
            return self._mix_up(ask, named.decode())
        if ask.method == "HEAD" or answer.body == ask.expected():
            return "ok"
        *lines, last = answer.body.split(b"\n")
        if set(lines) != {own}:
            return self._mix_up(ask, f"body {answer.body[:60]!r}")
        return f"body of {len(answer.body)} bytes came back, which ends with {last!r}"

    def _mix_up(self, ask: Ask, got: str) -> str:
        self._tally.mixed_up.append(MixUp(ask, got))
        return "mixed up"

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None
