"""The event stream behind the status page."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse

from proxy.telemetry.traffic import RequestRecord
from tests.control.conftest import Serve, World
from tests.control.support import begin, come_back
from tests.support import records


def make_record(number: int, **changes: Any) -> RequestRecord:
    usual = {"target": b"/candidates?limit=10&q=Ada", "caller": "ats", "duration": 0.12}
    usual["upstream_duration"] = 0.11
    return records.make_record(f"r{number}", 1_790_000_000.0 + number, **{**usual, **changes})


async def read_event(answer: ClientResponse) -> tuple[str, Any]:
    """Read up to the next event; comments and the retry time are passed over."""
    name = ""
    async with asyncio.timeout(5):
        while True:
            line = (await answer.content.readuntil(b"\n")).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))


async def test_a_stream_begins_with_everything(serve: Serve, world: World) -> None:
    client = await serve()
    world.traffic.records = [make_record(1), make_record(2)]

    answer = await client.get("/-/events", headers={"Last-Event-ID": "whatever"})
    name, data = await read_event(answer)

    assert answer.content_type == "text/event-stream"
    assert name == "snapshot"
    assert data["status"]["accounts"] == [world.account.now.as_json(world.clock.now())]
    assert [record["id"] for record in data["records"]] == ["r1", "r2"]
    assert "Ada" not in json.dumps(data)
    answer.close()


async def test_requests_and_changes_come_as_they_happen(serve: Serve, world: World) -> None:
    client = await serve()
    answer = await client.get("/-/events")
    await read_event(answer)

    world.traffic.add(make_record(7, target=b"/<script>?token=x", code="dns_error", status=502))
    name, data = await read_event(answer)
    world.account.authorize()
    change, state = await read_event(answer)

    assert name == "request"
    assert (data["id"], data["code"]) == ("r7", "dns_error")
    assert "&lt;script&gt;" in data["row"]
    assert "<script>" not in data["row"]
    assert change == "state"
    assert state["status"]["accounts"][0]["state"] == "authorized"
    answer.close()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("error=access_denied&code=500&state={state}", "access_denied"),
        ("error=access_denied&code=500", "access_denied"),
        ("error=server_error&state={state}", "server_error"),
        ("error=access_denied&state=another", None),
        ("code=c&state=another", None),
        ("code=c&code=d&state={state}", None),
    ],
)
async def test_a_login_that_ended_without_a_grant_is_told_and_noise_is_not(
    serve: Serve, query: str, told: str | None
) -> None:
    client = await serve()
    answer = await client.get("/-/events")
    await read_event(answer)
    state, cookies = await begin(client)

    await come_back(client, query.format(state=state), cookies)
    # Whoever began nothing here ends nobody's waiting either.
    await come_back(client, "error=access_denied&code=500", {})
    await come_back(client, f"error=invalid_scope&state={state}", cookies)
    name, data = await read_event(answer)
    answer.close()

    assert name == "login"
    assert data["account"] == "default"
    assert data["reason"] == (told or "invalid_scope")


async def test_a_filtered_stream_gives_what_fits(serve: Serve, world: World) -> None:
    client = await serve()
    world.traffic.records = [make_record(1), make_record(2, status=404)]
    answer = await client.get("/-/events?status=4xx")
    _, snapshot = await read_event(answer)

    world.traffic.add(make_record(3))
    world.traffic.add(make_record(4, status=429))
    _, record = await read_event(answer)

    assert [one["id"] for one in snapshot["records"]] == ["r2"]
    assert record["id"] == "r4"
    answer.close()


async def test_a_state_brings_the_overview_as_the_page_has_it(serve: Serve, world: World) -> None:
    client = await serve()
    answer = await client.get("/-/events")
    _, snapshot = await read_event(answer)
    world.account.authorize()
    _, state = await read_event(answer)

    assert "Your tools cannot call now" in snapshot["overview"]
    assert "Your tools can call now" in state["overview"]
    assert state["now"] == world.clock.now()
    answer.close()


async def test_heartbeats_keep_the_stream_alive(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.events.HEARTBEAT", 0.02)
    client = await serve()
    answer = await client.get("/-/events")
    await read_event(answer)

    async with asyncio.timeout(5):
        lines = [await answer.content.readuntil(b"\n") for _ in range(4)]

    assert b"event: alive\n" in lines
    answer.close()


async def test_a_reader_that_leaves_is_forgotten(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.events.HEARTBEAT", 0.02)
    client = await serve()
    answer = await client.get("/-/events")
    await read_event(answer)

    answer.close()
    async with asyncio.timeout(5):
        while world.traffic.callbacks:
            await asyncio.sleep(0.01)

    assert not world.account.callbacks


async def test_a_reader_that_falls_behind_is_cut_off(
    world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve()
    answer = await client.get("/-/events")
    await read_event(answer)

    for number in range(300):  # in one step of the loop: nobody can have read them
        world.traffic.add(make_record(number))

    async with asyncio.timeout(5):
        with pytest.raises(ClientError):  # a reset, or an end without its last chunk
            await answer.content.read()
        while world.traffic.callbacks:
            await asyncio.sleep(0.01)


async def test_a_reader_that_does_not_read_is_cut_off(serve: Serve, world: World) -> None:
    client = await serve(listen={"stall_timeout": 0.4})
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /-/events HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
    async with asyncio.timeout(5):
        while not world.traffic.callbacks:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20):
        number = 0
        while world.traffic.callbacks:
            for _ in range(50):
                world.traffic.add(make_record(number, target=b"/" + b"x" * 2000))
                number += 1
            world.traffic.records.clear()
            await asyncio.sleep(0.001)

    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_stop_ends_the_streams(serve: Serve) -> None:
    client = await serve()
    answer = await client.get("/-/events")
    await read_event(answer)

    await client.control.close()

    async with asyncio.timeout(5):
        assert (await answer.content.read()).strip() == b""
