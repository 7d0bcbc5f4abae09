"""Attacks over raw sockets: what is sent, what came back, and what the upstream got to see."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.proxying import FakeCredentials, bearer, proxying
from tests.support.recorder import Recorded, Recorder

HOST = b"Host: localhost\r\n"
CANARY = b"GET /canary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
TOKEN = b"access-token-canary-0815-zyxwvutsrq"
KEY = "api-key-canary-4711-abcdefghijkl"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
PATIENCE = 10.0
# So short that what waits for a body that never comes is cut within the test.
TIMES = {"header_timeout": 0.5, "idle_timeout": 0.5, "stall_timeout": 0.5}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an attack."""

    answer: bytes
    requests: Sequence[Recorded]

    @property
    def statuses(self) -> list[int]:
        """Every final status on the connection, in order."""
        return [int(status) for status in STATUS.findall(self.answer) if status >= b"200"]

    @property
    def targets(self) -> list[bytes]:
        """What the upstream was asked for."""
        return [request.lines[0].split(b" ")[1] for request in self.requests]

    @property
    def code(self) -> str:
        """The code of the first problem."""
        match = re.search(rb'"code": "([a-z_]+)"', self.answer)
        return match[1].decode() if match else ""


def canary_credentials() -> FakeCredentials:
    """Make credentials whose token is recognised anywhere."""
    return FakeCredentials(bearer(TOKEN, 1))


async def talk(port: int, *payloads: bytes) -> bytes:
    """Send each payload in a packet of its own; return all that comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE):
            for payload in payloads:
                writer.write(payload)
                await writer.drain()
                await asyncio.sleep(0)
            while data := await reader.read(65536):
                answer += data
    except ConnectionError:
        pass  # closed on us while we were still sending: that too is an answer
    finally:
        writer.transport.abort()
    return answer


async def attack(
    *payloads: bytes, canary: bool = True, answers: Sequence[bytes] = (), **sections: Any
) -> Result:
    """Send to a proxy of its own; then, on the same connection, a request that should be last."""
    sections["listen"] = TIMES | sections.get("listen", {})
    recorder = Recorder(answers=list(answers)) if answers else Recorder()
    async with recorder as upstream:
        async with proxying(upstream, credentials=canary_credentials(), **sections) as proxy:
            answer = await talk(proxy.port, *payloads, *([CANARY] if canary else []))
        result = Result(answer, list(upstream.requests))
    check_always(result)
    return result


def check_always(result: Result) -> None:
    """What holds in every row: the token is with the upstream alone, once, and we spoke first."""
    assert TOKEN not in result.answer
    assert KEY.encode() not in result.answer
    for request in result.requests:
        assert request.values(b"Authorization") == [b"Bearer " + TOKEN]
        assert KEY.encode() not in request.head
        assert len(request.values(b"Host")) == 1
        assert len(request.values(b"Content-Length") + request.values(b"Transfer-Encoding")) <= 1


def refused(result: Result, *statuses: int) -> None:
    """Assert that one answer came, nothing was forwarded, and the connection ended with it."""
    assert len(result.statuses) == 1, result.answer
    assert result.statuses[0] in statuses, result.answer
    assert result.requests == []
    assert b"Proxy-Status: smartrecruiters-proxy; error=" in result.answer
