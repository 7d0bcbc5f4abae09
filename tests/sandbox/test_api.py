"""The API side: pages, bodies with absolute URLs, files, and errors as the real one gives them."""

import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from proxy.sandbox import Sandbox, SandboxSettings
from tests.sandbox.conftest import Visitor

PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings(throttle=False)


async def read(api: aiohttp.ClientSession, path: str) -> Any:
    async with api.get(path) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_users_me_and_company(api: aiohttp.ClientSession) -> None:
    assert (await read(api, "/users/me"))["lastName"] == "Lindqvist"
    assert (await read(api, "/configuration/company"))["name"] == "Lindqvist & Okafor"


async def test_candidates_are_paged_by_next_page_id(api: aiohttp.ClientSession) -> None:
    names, path, links = [], "/candidates?limit=5", []
    while path:
        async with api.get(path) as answer:
            page = await answer.json()
            link = answer.headers.get("Link")
        names += [candidate["firstName"] for candidate in page["content"]]
        assert page["limit"] == 5
        # Relative and percent-encoded, as documented.
        found = re.fullmatch(r'<(/candidates\?limit=5&pageId=[\w%.~-]+)>; rel="next"', link or "")
        assert bool(found) == ("nextPageId" in page)
        path = found[1] if found else ""
        links.append(path)

    assert len(names) == len(set(names)) == 12
    assert all("%" in link for link in links[:-1])


async def test_query_narrows_candidates_and_stays_in_the_link(api: aiohttp.ClientSession) -> None:
    async with api.get("/candidates?q=@mail.example&limit=1") as answer:
        assert "q=%40mail.example&limit=1&pageId=" in answer.headers["Link"]
    found = await read(api, "/candidates?q=sørensen greta")
    assert [candidate["lastName"] for candidate in found["content"]] == ["Sørensen"]


async def test_actions_are_absolute_urls_that_lead_to_the_record(
    api: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    for path in ("/candidates", "/jobs"):
        record = (await read(api, path))["content"][0]
        url = record["actions"]["details"]["url"]
        assert url.startswith(f"{sandbox.origin}{path}/")
        assert await read(api, urlsplit(url).path) == record


async def test_candidate_is_created_changed_and_deleted(api: aiohttp.ClientSession) -> None:
    fields = {"firstName": "Mira", "lastName": "Łukasik", "email": "m@mail.example", "id": "mine"}
    async with api.post("/candidates", json=fields) as answer:
        created = await answer.json()
        assert answer.status == 201
    path = f"/candidates/{created['id']}"
    assert created["id"] != "mine"
    async with api.patch(path, json={"tags": ["x"]}) as answer:
        assert (await answer.json())["tags"] == ["x"]
    async with api.delete(path) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    async with api.get(path) as answer:
        assert answer.status == 404


async def test_upload_comes_back_byte_for_byte(api: aiohttp.ClientSession) -> None:
    content = bytes(range(256)) * 3000
    candidate = (await read(api, "/candidates"))["content"][0]
    path = f"/candidates/{candidate['id']}/attachments"
    form = aiohttp.FormData({"attachmentType": "RESUME"}, quote_fields=False)
    form.add_field("file", content, filename="CV “Ørsted”.pdf", content_type="application/pdf")
    async with api.post(path, data=form) as answer:
        uploaded = await answer.json()
        assert answer.status == 201
    listed = await read(api, path)
    assert listed["totalFound"] == 2
    assert listed["content"][-1] == uploaded

    url = uploaded["actions"]["download"]["url"]
    for download in (urlsplit(url).path, f"{path}/{uploaded['id']}"):
        async with api.get(download) as answer:
            assert await answer.read() == content
            assert answer.content_type == "application/pdf"
            assert answer.content_disposition is not None
            assert answer.content_disposition.filename == "CV “Ørsted”.pdf"
    async with api.delete(urlsplit(url).path) as answer:
        assert answer.status == 204
    assert (await read(api, path))["totalFound"] == 1


async def test_jobs_are_paged_by_offset(api: aiohttp.ClientSession) -> None:
    page = await read(api, "/jobs?limit=4&offset=4")

    assert (page["limit"], page["offset"], page["totalFound"]) == (4, 4, 6)
    assert len(page["content"]) == 2
    assert (await read(api, "/jobs?status=OFFER"))["totalFound"] == 1


async def test_job_is_created_and_patched(api: aiohttp.ClientSession) -> None:
    async with api.post("/jobs", json={"title": "Welder", "status": "OFFER"}) as answer:
        job = await answer.json()
        assert (answer.status, job["status"]) == (201, "CREATED")
    operations = (
        '[{"op":"replace","path":"/title","value":"Diver"},{"op":"remove","path":"/location"}]'
    )
    async with api.patch(f"/jobs/{job['id']}", data=operations, headers=PATCH) as answer:
        assert answer.status == 200
    patched = await read(api, f"/jobs/{job['id']}")
    assert patched["title"] == "Diver"
    assert "location" not in patched


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("GET", "/candidates/none", None, {}, 404),
        ("GET", "/jobs/none", None, {}, 404),
        ("GET", "/candidates/attachments/none", None, {}, 404),
        ("GET", "/candidates/none/attachments", None, {}, 404),
        ("PUT", "/jobs", None, {}, 405),
        ("GET", "/candidates?limit=0", None, {}, 400),
        ("GET", "/candidates?limit=x", None, {}, 400),
        ("GET", "/candidates?pageId=x", None, {}, 400),
        ("GET", "/jobs?offset=-1", None, {}, 400),
        ("POST", "/candidates", "{", {}, 400),
        ("POST", "/candidates", "[]", {}, 400),
        ("POST", "/candidates", "{}", {}, 400),
    ],
)
async def test_errors_have_message_and_codes(
    api: aiohttp.ClientSession,
    method: str,
    path: str,
    body: str | None,
    headers: dict[str, str],
    status: int,
) -> None:
    async with api.request(method, path, data=body, headers=headers) as answer:
        error = await answer.json()
        assert answer.status == status
        assert error.keys() == {"message", "errors"}
        assert error["errors"][0].keys() == {"code", "message"}
        assert "X-RateLimit-Remaining" in answer.headers


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("[]", "application/json", 415),
        ("{}", "application/json-patch+json", 400),
        ('[{"op":"remove","path":"/none"}]', "application/json-patch+json", 400),
    ],
)
async def test_bad_patch_changes_nothing(
    api: aiohttp.ClientSession, body: str, content_type: str, status: int
) -> None:
    job = (await read(api, "/jobs"))["content"][0]
    path = f"/jobs/{job['id']}"
    async with api.patch(path, data=body, headers={"Content-Type": content_type}) as answer:
        assert answer.status == status
    assert await read(api, path) == job


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"attachmentType": "NO_SUCH", "file": "x"}, 400),
        ({"attachmentType": "RESUME", "file": "not a file"}, 400),
        (None, 415),
    ],
)
async def test_bad_upload_is_refused(
    api: aiohttp.ClientSession, form: dict[str, str] | None, status: int
) -> None:
    candidate = (await read(api, "/candidates"))["content"][0]
    data: Any = b"x"
    if form:
        data = aiohttp.MultipartWriter("form-data")
        for name, value in form.items():
            data.append(value).set_content_disposition("form-data", name=name)
    async with api.post(f"/candidates/{candidate['id']}/attachments", data=data) as answer:
        assert answer.status == status


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic eDp5", "bearer"])
async def test_bad_bearer_is_401_with_a_json_body(
    visitor: Visitor, sandbox: Sandbox, authorization: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with visitor.session.get(f"{sandbox.origin}/users/me", headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["errors"][0]["code"] == "UNAUTHORIZED"
        assert "X-RateLimit-Limit" in answer.headers


async def test_missing_scope_is_403_that_does_not_say_which(visitor: Visitor) -> None:
    tokens = await visitor.log_in(scope="user_me_read")

    assert await visitor.status(tokens["access_token"], "/users/me") == 200
    assert await visitor.status(tokens["access_token"], "/jobs") == 403


async def test_head_answers_without_a_body(api: aiohttp.ClientSession) -> None:
    async with api.head("/users/me") as answer:
        assert answer.status == 200
        assert int(answer.headers["Content-Length"]) > 0
        assert await answer.read() == b""
