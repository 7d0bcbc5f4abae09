"""Starting and stopping, and the hook for tests."""

import socket

import aiohttp
from aiohttp import web

from proxy.sandbox import Sandbox
from tests.sandbox.conftest import Visitor


async def test_localhost_is_both_loopback_families(sandbox: Sandbox) -> None:
    port = int(sandbox.origin.rpartition(":")[2])
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as caller:
            caller.connect((address, port))


async def test_records_stay_the_same_at_every_start() -> None:
    ids = []
    for _ in range(2):
        sandbox = Sandbox()
        await sandbox.start("127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            visitor = Visitor(sandbox, session)
            tokens = await visitor.log_in()
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            async with session.get(f"{sandbox.origin}/jobs", headers=headers) as answer:
                ids.append([job["id"] for job in (await answer.json())["content"]])
        await sandbox.close()

    assert ids[0] == ids[1]


async def test_revoked_access_tokens_leave_the_grant(visitor: Visitor, sandbox: Sandbox) -> None:
    tokens = await visitor.log_in()
    sandbox.revoke_access_tokens()

    assert await visitor.status(tokens["access_token"]) == 401
    assert (await visitor.refresh(tokens["refresh_token"]))[0] == 200


async def test_ended_grant_is_dead_altogether(visitor: Visitor, sandbox: Sandbox) -> None:
    tokens = await visitor.log_in()
    sandbox.end_grants()

    assert await visitor.status(tokens["access_token"]) == 401
    assert (await visitor.refresh(tokens["refresh_token"]))[0] == 400


async def test_interrupt_answers_in_place_of_the_sandbox(
    visitor: Visitor, sandbox: Sandbox
) -> None:
    async def outage(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if request.path.startswith("/identity") else None

    tokens = await visitor.log_in()
    sandbox.interrupt = outage

    assert await visitor.status(tokens["access_token"]) == 200
    async with visitor.session.post(sandbox.token_endpoint) as answer:
        assert answer.status == 503
