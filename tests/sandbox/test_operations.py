"""What public clients call beside candidates and jobs; credentials and scopes as the vendor's."""

import csv
import hashlib
import hmac
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from proxy.sandbox import Sandbox, SandboxSettings, operations
from proxy.sandbox.webhooks import SIGNATURE
from tests.sandbox.conftest import Visitor

WEBHOOKS = "/webhooks-api/v201907/subscriptions"
REPORTS = "/reporting-api/v201804"


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings(throttle=False)


async def ask(api: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Any:
    """Return the status and the JSON (None where there is none) of an answer."""
    async with api.request(method, path, json=body) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else None


async def first_candidate(api: aiohttp.ClientSession) -> Any:
    _, page = await ask(api, "GET", "/candidates?limit=1")
    return page["content"][0]


# ── pages ──


async def test_jobs_are_paged_by_next_page_id_too(api: aiohttp.ClientSession) -> None:
    titles, path = [], "/jobs?limit=4"
    while path:
        async with api.get(path) as answer:
            page = await answer.json()
        titles += [job["title"] for job in page["content"]]
        found = page.get("nextPageId")
        path = str(answer.url.with_query({"limit": "4", "pageId": found})) if found else ""

    assert len(titles) == len(set(titles)) == page["totalFound"] == 6


async def test_users_are_paged_and_read(api: aiohttp.ClientSession) -> None:
    _, page = await ask(api, "GET", "/user-api/v201804/users?limit=2")
    user = page["content"][1]

    assert "nextPageId" in page
    assert await ask(api, "GET", f"/user-api/v201804/users/{user['id']}") == (200, user)
    assert (await ask(api, "GET", "/user-api/v201804/users/me"))[1]["lastName"] == "Lindqvist"
    assert (await ask(api, "GET", "/user-api/v201804/users/nobody"))[0] == 404


# ── candidates and jobs ──


async def test_tags_are_added_replaced_and_deleted(api: aiohttp.ClientSession) -> None:
    path = f"/candidates/{(await first_candidate(api))['id']}/tags"

    assert await ask(api, "PUT", path, {"tags": ["a"]}) == (200, {"tags": ["a"]})
    assert await ask(api, "POST", path, {"tags": ["b", "a"]}) == (201, {"tags": ["a", "b"]})
    assert (await ask(api, "DELETE", path))[0] == 204
    assert await ask(api, "GET", path) == (200, {"tags": []})
    assert (await ask(api, "POST", path, {"tags": "a"}))[0] == 400


async def test_a_status_changes_for_one_job_and_is_remembered(api: aiohttp.ClientSession) -> None:
    _, page = await ask(api, "GET", "/jobs")
    job = page["content"][3]
    fields = {"firstName": "Mira", "lastName": "Holt", "email": "m@mail.example"}
    status, made = await ask(api, "POST", f"/jobs/{job['id']}/candidates", fields)
    path = f"/candidates/{made['id']}/jobs/{job['id']}"

    assert status == 201
    assert (await ask(api, "PUT", f"{path}/status", {"status": "INTERVIEW"}))[0] == 204
    assert (await ask(api, "GET", path))[1]["status"] == "INTERVIEW"
    _, history = await ask(api, "GET", f"/candidates/{made['id']}/status/history")
    assert [change["status"] for change in history["content"]] == ["INTERVIEW", "NEW"]
    assert (await ask(api, "PUT", f"{path}/status", {"status": "HAPPY"}))[0] == 400
    assert (await ask(api, "DELETE", path))[0] == 204
    assert (await ask(api, "GET", path))[0] == 404


async def test_a_hiring_team_is_read_and_changed(api: aiohttp.ClientSession) -> None:
    _, jobs = await ask(api, "GET", "/jobs")
    _, users = await ask(api, "GET", "/user-api/v201804/users")
    path = f"/jobs/{jobs['content'][0]['id']}/hiring-team"
    member = {"id": users["content"][-1]["id"], "role": "HIRING_MANAGER"}

    assert await ask(api, "POST", path, member) == (201, member)
    assert member in (await ask(api, "GET", path))[1]["content"]
    assert (await ask(api, "DELETE", f"{path}/{member['id']}"))[0] == 204
    assert member not in (await ask(api, "GET", path))[1]["content"]


async def test_a_job_is_published_and_its_posting_is_public(
    api: aiohttp.ClientSession, sandbox: Sandbox, visitor: Visitor
) -> None:
    _, job = await ask(api, "POST", "/jobs", {"title": "Welder"})
    path = f"/v1/companies/LindqvistOkafor/postings/{job['id']}"

    assert (await ask(api, "GET", path))[0] == 404
    assert (await ask(api, "POST", f"/jobs/{job['id']}/publication"))[0] == 201
    async with visitor.session.get(sandbox.origin + path) as answer:  # without a credential
        posting = await answer.json()
    assert posting["name"] == "Welder"
    assert urlsplit(posting["ref"]).path == path
    assert (await ask(api, "DELETE", f"/jobs/{job['id']}/publication"))[0] == 204
    assert (await ask(api, "GET", path))[0] == 404


# ── the company's own ──


@pytest.mark.parametrize("what", ["departments", "sources", "hiring-processes"])
async def test_configuration_is_listed(api: aiohttp.ClientSession, what: str) -> None:
    status, found = await ask(api, "GET", f"/configuration/{what}")

    assert status == 200
    assert found["totalFound"] == len(found["content"]) > 0


async def test_a_message_is_shared_and_withdrawn(api: aiohttp.ClientSession) -> None:
    candidate = await first_candidate(api)
    sent = {"content": "Hello", "candidateIds": [candidate["id"]]}
    _, made = await ask(api, "POST", "/messages/shares", sent)
    path = f"/messages?candidateId={candidate['id']}"

    assert (await ask(api, "GET", path))[1]["content"][0]["content"] == "Hello"
    assert (await ask(api, "DELETE", f"/messages/shares/{made['id']}"))[0] == 204
    assert (await ask(api, "GET", path))[1]["content"] == []


async def test_an_offer_and_its_document(api: aiohttp.ClientSession) -> None:
    _, offers = await ask(api, "GET", "/offers")
    offer = offers["content"][0]
    own = f"/candidates/{offer['candidate']['id']}/jobs/{offer['job']['id']}/offers"
    _, documents = await ask(api, "GET", f"/offers/{offer['id']}/documents")
    download = urlsplit(documents["content"][0]["actions"]["download"]["url"]).path

    assert await ask(api, "GET", f"{own}/{offer['id']}") == (200, offer)
    async with api.get(download) as answer:
        assert offer["id"] in await answer.text()
        assert answer.headers["X-RateLimit-Limit"] == "2"


async def test_a_report_s_file_is_csv(api: aiohttp.ClientSession) -> None:
    _, reports = await ask(api, "GET", f"{REPORTS}/reports")
    path = f"{REPORTS}/reports/{reports['content'][0]['id']}/files"
    assert (await ask(api, "GET", f"{path}/recent"))[0] == 404
    _, made = await ask(api, "POST", path)

    assert (await ask(api, "GET", f"{path}/recent"))[1] == made
    async with api.get(f"{REPORTS}/files/{made['reportFileId']}/data") as answer:
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
        assert answer.content_type == "text/csv"
    assert len(rows) == 12


# ── credentials and scopes ──


async def test_client_credentials_give_an_access_token_alone(
    sandbox: Sandbox, visitor: Visitor
) -> None:
    status, answer = await visitor.token(grant_type="client_credentials", scope="jobs_read")

    assert status == 200
    assert answer.keys() == {"token_type", "access_token", "expires_in"}
    assert await visitor.status(answer["access_token"], "/jobs") == 200
    assert await visitor.status(answer["access_token"], "/candidates") == 403


async def test_client_credentials_cannot_take_a_scope_that_the_app_has_not(
    visitor: Visitor,
) -> None:
    status, answer = await visitor.token(grant_type="client_credentials", scope="everything")

    assert (status, answer["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(("key", "status"), [("sandbox-api-key-0123456789abcdef", 200), ("x", 401)])
async def test_an_api_key_may_do_everything(
    sandbox: Sandbox, visitor: Visitor, key: str, status: int
) -> None:
    headers = {"X-SmartToken": key}
    async with visitor.session.get(f"{sandbox.origin}/candidates", headers=headers) as answer:
        assert answer.status == status


async def test_a_missing_scope_is_named_as_the_vendor_s_middleware_does(
    sandbox: Sandbox, visitor: Visitor
) -> None:
    tokens = await visitor.log_in(scope="jobs_read")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with visitor.session.get(f"{sandbox.origin}/candidates", headers=headers) as answer:
        body = await answer.json()

    assert answer.status == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer scope="candidates_read", error="insufficient_scope"'
    )
    assert "candidates_read" in body["message"]


def test_scopes_are_spelt_as_the_vendor_does() -> None:
    scopes = {operation.name: operation.scopes for operation in operations()}

    assert scopes["GET /configuration/company"] == ("company_read",)
    assert scopes["DELETE /candidates/attachments/{attachment}"] == ("candidates_create",)


# ── webhooks ──


@asynccontextmanager
async def receiver(
    answer: Callable[[web.Request], Awaitable[web.Response]],
) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/hook", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        await runner.cleanup()


async def test_a_subscription_is_activated_by_handshake_and_a_test_is_signed(
    api: aiohttp.ClientSession,
) -> None:
    heard: list[tuple[dict[str, str], bytes]] = []

    async def hook(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), await request.read()))
        secret = request.headers.get("X-Hook-Secret")
        return web.Response(headers={"X-Hook-Secret": secret} if secret else {})

    async with receiver(hook) as url:
        wanted = {"callbackUrl": url, "events": ["application.created"]}
        _, made = await ask(api, "POST", WEBHOOKS, wanted)
        path = f"{WEBHOOKS}/{made['id']}"
        _, key = await ask(api, "POST", f"{path}/secret-key")
        assert (await ask(api, "PUT", f"{path}/activation"))[0] == 204

    headers, body = heard[1]
    expected = hmac.new(key["secretKey"].encode(), body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == expected
    assert headers["Event-Name"] == "application.created"
    assert (await ask(api, "GET", path))[1]["status"] == "active"
    assert (await ask(api, "GET", f"{path}/callbacks-log"))[1]["content"][0]["status"] == 200


async def test_a_receiver_that_does_not_return_the_secret_is_not_activated(
    api: aiohttp.ClientSession,
) -> None:
    async def hook(_: web.Request) -> web.Response:
        return web.Response()

    async with receiver(hook) as url:
        wanted = {"callbackUrl": url, "events": ["job.created"]}
        _, made = await ask(api, "POST", WEBHOOKS, wanted)
        status, answer = await ask(api, "PUT", f"{WEBHOOKS}/{made['id']}/activation")

    assert (status, answer["errors"][0]["code"]) == (400, "HANDSHAKE_FAILED")


@pytest.mark.parametrize("url", ["https://example.com/", "http://10.0.0.1/", "http://localhost.x/"])
async def test_the_sandbox_calls_nobody_but_this_machine(
    api: aiohttp.ClientSession, url: str
) -> None:
    wanted = {"callbackUrl": url, "events": ["job.created"]}

    assert (await ask(api, "POST", WEBHOOKS, wanted))[0] == 400


# ── what tests of other programs ask for ──


async def test_the_next_answer_can_be_made_to_fail_once(
    api: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    sandbox.fail_next(500)

    assert [(await ask(api, "GET", "/jobs"))[0] for _ in range(2)] == [500, 200]


async def test_what_is_added_comes_first_and_goes_with_a_reset(
    api: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    added = sandbox.add_candidate(firstName="Mira", lastName="Holt")
    job = sandbox.add_job(title="Welder")

    assert (await first_candidate(api))["id"] == added["id"]
    assert (await ask(api, "GET", "/jobs?limit=1"))[1]["content"][0]["id"] == job["id"]
    sandbox.reset(empty=True)
    assert (await ask(api, "GET", "/candidates"))[1]["content"] == []
    assert (await ask(api, "GET", "/jobs"))[1]["totalFound"] == 0
