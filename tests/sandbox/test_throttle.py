"""The documented limits, on a clock that the test moves."""

import asyncio

import aiohttp
import pytest

from proxy.sandbox import SandboxSettings
from proxy.sandbox.throttle import Throttle
from tests.sandbox.conftest import Hands


def test_ten_a_second_per_endpoint() -> None:
    hands = Hands()
    throttle = Throttle(monotonic=hands)

    def ask(endpoint: str) -> bool:
        slot = throttle.enter("credential", endpoint)
        if slot.admitted:
            throttle.leave("credential", endpoint)
        return slot.admitted

    assert [ask("GET /jobs") for _ in range(11)] == [True] * 10 + [False]
    assert ask("GET /users/me")
    hands.at += 1
    assert ask("GET /jobs")


def test_two_a_second_for_publishing() -> None:
    throttle = Throttle(monotonic=Hands())
    slots = [throttle.enter("credential", "POST /jobs/{jobId}/publication") for _ in range(3)]

    assert [slot.admitted for slot in slots] == [True, True, False]
    assert slots[0].headers["X-RateLimit-Limit"] == "2"


def test_eight_at_once_per_credential() -> None:
    throttle = Throttle(monotonic=Hands())
    slots = [throttle.enter("credential", f"GET /{n}") for n in range(9)]

    assert [slot.admitted for slot in slots] == [True] * 8 + [False]
    assert throttle.enter("another", "GET /0").admitted
    throttle.leave("credential", "GET /0")
    assert throttle.enter("credential", "GET /9").admitted


def test_candidates_one_at_once() -> None:
    throttle = Throttle(monotonic=Hands())
    first = throttle.enter("credential", "GET /candidates")
    second = throttle.enter("credential", "GET /candidates")

    assert (first.admitted, second.admitted) == (True, False)
    assert first.headers == {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Concurrent-Limit": "1",
        "X-RateLimit-Concurrent-Remaining": "0",
    }


def test_unenforced_counts_and_refuses_nothing() -> None:
    throttle = Throttle(enforced=False, monotonic=Hands())
    slots = [throttle.enter("credential", "GET /candidates") for _ in range(50)]

    assert all(slot.admitted for slot in slots)
    assert slots[-1].headers["X-RateLimit-Remaining"] == "0"


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings(latency=0.2)


async def test_beyond_the_limits_is_429(api: aiohttp.ClientSession) -> None:
    async def ask() -> aiohttp.ClientResponse:
        async with api.get("/candidates") as answer:
            await answer.read()
            return answer

    first, second = await asyncio.gather(ask(), ask())

    refused = first if first.status == 429 else second
    assert {first.status, second.status} == {200, 429}
    assert (await refused.json())["errors"][0]["code"] == "TOO_MANY_REQUESTS"
