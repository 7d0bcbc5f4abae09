"""The login from its beginning to each of its ends (docs/security.md, the login)."""

import asyncio
import json
import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from aiohttp import ClientResponse

from proxy.control.login.pending import MOST_LOGINS, Logins
from proxy.errors import GrantEnded, Outcome, Problem, StoreError, TokenEndpointError
from tests.control.conftest import BROWSER, SECRETS, Client, FakeAccount, Serve, World
from tests.control.support import CALLBACK, begin, come_back, cookie_header, cookies_of

FORM = {"Content-Type": "application/x-www-form-urlencoded", **BROWSER}


async def test_login_leads_to_the_authorization_endpoint(serve: Serve) -> None:
    client = await serve()

    answer = await client.get("/-/login", allow_redirects=False)
    place = urlsplit(answer.headers["Location"])
    query = parse_qs(place.query)

    assert answer.status == 302
    assert f"{place.scheme}://{place.netloc}{place.path}" == (
        "https://sr.example/identity/oauth/allow"
    )
    assert query["redirect_uri"] == ["http://localhost:8080/-/callback"]
    assert query["client_id"] == ["the-client"]
    assert len(query["state"][0]) >= 43
    (cookie,) = answer.cookies.values()
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert cookie["max-age"] == "600"
    assert cookie["secure"] == ""


async def test_the_cookie_is_secure_behind_tls(serve: Serve) -> None:
    client = await serve(oauth={"redirect_uri": "https://proxy.example/-/callback"})

    answer = await client.get("/-/login", allow_redirects=False, headers={"Host": "proxy.example"})

    assert answer.headers["Location"].startswith("https://sr.example/")
    ((name, cookie),) = answer.cookies.items()
    assert cookie["secure"] is True
    assert name.startswith("__Host-srproxy_login_")


async def test_a_login_behind_tls_is_found_again_and_taken_back(serve: Serve, world: World) -> None:
    client = await serve(oauth={"redirect_uri": "https://proxy.example/-/callback"})
    host = {"Host": "proxy.example"}
    begun = await client.get("/-/login", allow_redirects=False, headers=host)
    state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]

    answer = await come_back(client, f"code=c&state={state}", cookies_of(begun), **host)

    assert answer.status == 200
    ((name, cookie),) = answer.cookies.items()
    assert name in begun.cookies
    assert (cookie["max-age"], cookie["secure"]) == ("600", True)


async def test_paste_back_beside_a_tls_front_needs_no_tls(serve: Serve, world: World) -> None:
    """`kubectl port-forward` to a proxy that is registered under its public name."""
    client = await serve(oauth={"redirect_uri": "https://proxy.example/-/callback"})
    begun = await client.post("/-/login")
    url = (await begun.json())["authorization_url"]
    state = parse_qs(urlsplit(url).query)["state"][0]

    done = await paste(
        client, f"https://proxy.example/-/callback?code=c&state={state}", cookies_of(begun)
    )

    assert done.status == 200
    assert not next(iter(begun.cookies)).startswith("__Host-")


async def test_another_name_for_us_is_left_once(serve: Serve) -> None:
    client = await serve()
    host = {"Host": "127.0.0.1:8080"}

    first = await client.get("/-/login?account=default", allow_redirects=False, headers=host)
    second = await client.get(
        urlsplit(first.headers["Location"]).path + "?moved=1", allow_redirects=False, headers=host
    )

    assert first.headers["Location"] == "http://localhost:8080/-/login?moved=1"
    assert not first.cookies
    assert second.headers["Location"].startswith("https://sr.example/")


async def test_no_parameter_redirects_elsewhere(serve: Serve) -> None:
    client = await serve()

    answer = await client.get(
        "/-/login?next=//evil.example&redirect_uri=https://evil.example", allow_redirects=False
    )

    assert "evil" not in answer.headers["Location"]


async def test_an_unknown_account_is_not_found(serve: Serve) -> None:
    client = await serve()

    for method, path in (("GET", "/-/login"), ("POST", "/-/login"), ("POST", "/-/logout")):
        answer = await client.request(method, f"{path}?account=other", allow_redirects=False)
        assert answer.status == 404
        assert (await answer.json(content_type=None))["code"] == "unknown_account"


async def test_a_login_of_another_account_is_its_own_apps(serve: Serve, world: World) -> None:
    world.others["acme"] = FakeAccount("acme")
    acme = {"client_id": "acme-app", "redirect_uri": "http://localhost:8080/-/acme"}
    client = await serve(accounts={"acme": {"oauth": acme}})
    answer = await client.get("/-/login?account=acme", allow_redirects=False)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)

    done = await client.get(
        f"/-/acme?code=c&state={query['state'][0]}", headers=cookie_header(cookies_of(answer))
    )

    assert query["client_id"] == ["acme-app"]
    assert done.status == 200
    assert world.others["acme"].exchanged == [("c", None)]
    assert world.account.exchanged == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_account_without_a_login_says_so(serve: Serve, world: World, method: str) -> None:
    world.account.no_login = Problem("bad_request", "Nobody logs in to it.", status=409)
    client = await serve()

    answer = await client.request(method, "/-/login", allow_redirects=False)

    assert answer.status == 409
    assert not answer.cookies


async def test_a_code_is_exchanged_at_once_and_the_page_says_so(serve: Serve, world: World) -> None:
    client = await serve()
    world.owner = "Ada <Lovelace>"
    state, cookies = await begin(client)

    answer = await come_back(client, f"code=the-code&state={state}", cookies)
    page = await answer.text()

    assert answer.status == 200
    assert world.account.exchanged == [("the-code", None)]
    assert "You are logged in" in page
    assert "Ada &lt;Lovelace&gt;" in page
    assert "replaces" not in page
    assert "Proxy-Status" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    # The login's cookie is good for nothing but to tell how it came out.
    assert set(answer.cookies) == set(cookies)
    assert cookies_of(answer) != cookies


async def test_pkce_sends_the_verifier_of_the_challenge(serve: Serve, world: World) -> None:
    client = await serve(oauth={"pkce": True})
    answer = await client.get("/-/login", allow_redirects=False)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)

    await come_back(client, f"code=c&state={query['state'][0]}", cookies_of(answer))

    assert query["code_challenge_method"] == ["S256"]
    ((_, verifier),) = world.account.exchanged
    assert verifier is not None


async def test_the_callback_has_whatever_path_the_redirect_uri_has(
    serve: Serve, world: World
) -> None:
    client = await serve(oauth={"redirect_uri": "http://localhost:8080/oauth/done%2F"})
    state, cookies = await begin(client)

    answer = await client.get(
        f"/oauth/done%2F?code=c&state={state}", headers=cookie_header(cookies)
    )

    assert answer.status == 200
    assert (await client.get("/-/callback")).status == 404


@pytest.mark.parametrize("query", ["code=c", "code=c&state=x", "code=c&state=", "state=x", ""])
async def test_noise_consumes_nothing(serve: Serve, world: World, query: str) -> None:
    client = await serve()
    state, cookies = await begin(client)

    noise = await come_back(client, query, cookies)
    good = await come_back(client, f"code=the-code&state={state}", cookies)

    assert noise.status == 400
    assert not noise.cookies
    assert good.status == 200
    assert world.account.exchanged == [("the-code", None)]


async def test_a_callback_in_a_browser_that_began_nothing_is_refused(
    serve: Serve, world: World
) -> None:
    client = await serve()
    state, _ = await begin(client)
    _, others = await begin(client)

    assert (await come_back(client, f"code=c&state={state}", {})).status == 400
    assert (await come_back(client, f"code=c&state={state}", others)).status == 400
    assert world.account.exchanged == []


async def test_a_state_works_once(serve: Serve, world: World) -> None:
    client = await serve()
    state, cookies = await begin(client)
    query = f"code=the-code&state={state}"

    assert (await come_back(client, query, cookies)).status == 200
    again = await come_back(client, query, cookies)
    elsewhere = await come_back(client, query, {})

    assert (again.status, elsewhere.status) == (409, 409)
    assert "the login succeeded then" in await again.text()
    assert len(world.account.exchanged) == 1


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (None, 409, "the login succeeded then"),
        (TokenEndpointError(Outcome.INVALID_GRANT, "invalid_grant", "Dead."), 400, "invalid_"),
    ],
)
async def test_another_process_or_a_restart_tells_how_a_login_came_out(
    serve: Serve, world: World, failure: Exception | None, status: int, words: str
) -> None:
    first, second = await serve(), await serve()
    world.account.failure = failure
    state, cookies = await begin(first)
    query = f"code=the-code&state={state}"
    cookies |= cookies_of(await come_back(first, query, cookies))

    again = await come_back(second, query, cookies)
    other_code = await come_back(second, f"code=another&state={state}", cookies)

    assert (again.status, other_code.status) == (status, status)
    assert words in await again.text()
    assert len(world.account.exchanged) == 1


async def test_a_callback_that_is_reloaded_while_its_code_is_exchanged_waits_for_the_outcome(
    serve: Serve, world: World
) -> None:
    client = await serve()
    world.account.pause = asyncio.Event()
    state, cookies = await begin(client)
    query = f"code=the-code&state={state}"
    first = asyncio.ensure_future(come_back(client, query, cookies))
    while not world.account.exchanged:
        await asyncio.sleep(0)
    second = asyncio.ensure_future(come_back(client, query, cookies))
    await asyncio.sleep(0.05)
    assert not second.done()

    world.account.pause.set()

    assert ((await first).status, (await second).status) == (200, 409)
    assert len(world.account.exchanged) == 1


async def test_a_decline_that_is_opened_again_says_the_same(serve: Serve) -> None:
    client = await serve()
    state, cookies = await begin(client)
    query = f"error=access_denied&state={state}"

    await come_back(client, query, cookies)
    again = await come_back(client, query, cookies)

    assert again.status == 400
    page = await again.text()
    assert "Access was declined" in page
    assert "opened before" in page


async def test_a_question_that_is_opened_again_is_asked_again(serve: Serve, world: World) -> None:
    client = await serve()
    world.account.authorize()
    world.owner, world.new_owner = "Ada", "Mallory"
    state, cookies = await begin(client)
    query = f"code=c&state={state}"

    pages = [await (await come_back(client, query, cookies)).text() for _ in range(2)]

    assert question_on(pages[0]) == question_on(pages[1])
    assert len(world.account.exchanged) == 1


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 3, 1, 0, 2, 4)])
async def test_six_tabs_are_finished_in_any_order(
    serve: Serve, world: World, order: tuple[int, ...]
) -> None:
    client = await serve()
    jar: dict[str, str] = {}
    states = []
    for _ in order:
        answer = await client.get("/-/login", allow_redirects=False, headers=cookie_header(jar))
        jar |= cookies_of(answer)
        states.append(parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0])

    for number in order:
        answer = await come_back(client, f"code=code-{number}&state={states[number]}", jar)
        assert answer.status == 200
        jar |= cookies_of(answer)

    assert [code for code, _ in world.account.exchanged] == [f"code-{n}" for n in order]


@pytest.mark.parametrize(
    ("error", "logged"), [("access_denied", "access_denied"), ("tOp-SeCrEt", "other")]
)
@pytest.mark.parametrize("with_state", [True, False])
async def test_a_decline_leaves_a_log_line(
    serve: Serve, caplog: pytest.LogCaptureFixture, error: str, logged: str, with_state: bool
) -> None:
    client = await serve()
    state, cookies = await begin(client)

    await come_back(client, f"error={error}" + f"&state={state}" * with_state, cookies)
    await come_back(client, f"error={error}", {})  # nobody's

    lines = [line for line in caplog.messages if line.startswith("login_declined")]
    assert lines == [f"login_declined account=default error={logged}"]


async def test_a_state_is_good_for_ten_minutes(serve: Serve, world: World) -> None:
    client = await serve()
    state, cookies = await begin(client)
    world.clock.seconds += 601

    assert (await come_back(client, f"code=c&state={state}", cookies)).status == 400
    assert world.account.exchanged == []


async def test_several_logins_in_one_browser_each_find_their_own(
    serve: Serve, world: World
) -> None:
    client = await serve()
    first, cookies_1 = await begin(client)
    second, cookies_2 = await begin(client)

    for state in (second, first):
        answer = await come_back(client, f"code=c&state={state}", cookies_1 | cookies_2)
        assert answer.status == 200


async def test_the_oldest_of_many_logins_gives_way(serve: Serve, world: World) -> None:
    client = await serve()
    jar: dict[str, str] = {}
    for _ in range(12):
        world.clock.seconds += 1
        answer = await client.get(
            "/-/login", allow_redirects=False, headers=cookie_header(jar) if jar else {}
        )
        for name, morsel in answer.cookies.items():
            if morsel.value:
                jar[name] = morsel.value
            else:
                del jar[name]

    assert len(jar) == MOST_LOGINS


async def test_a_decline_is_explained_and_its_code_500_is_no_code(
    serve: Serve, world: World
) -> None:
    client = await serve()
    state, cookies = await begin(client)
    said = "error=access_denied&error_description=User%20<script>denied&code=500"

    answer = await come_back(client, f"{said}&state={state}", cookies)
    page = await answer.text()

    assert answer.status == 400
    assert "Access was declined" in page
    assert "User &lt;script&gt;denied" in page
    assert "Start again" in page
    assert world.account.exchanged == []


async def test_a_decline_without_state_consumes_nothing(serve: Serve, world: World) -> None:
    client = await serve()
    state, cookies = await begin(client)

    decline = await come_back(client, "error=access_denied&code=500", cookies)
    good = await come_back(client, f"code=c&state={state}", cookies)

    assert decline.status == 400
    assert "declined" in await decline.text()
    assert good.status == 200


async def test_duplicates_and_a_foreign_issuer_are_refused_and_the_login_survives(
    serve: Serve, world: World
) -> None:
    client = await serve()
    state, cookies = await begin(client)
    for query in (
        f"code=a&code=b&state={state}",
        f"code=a&state={state}&state={state}",
        f"code=a&state={state}&iss=https%3A%2F%2Fevil.example",
        f"code=a&state={state}&iss=%5B",
    ):
        assert (await come_back(client, query, cookies)).status == 400
    assert world.account.exchanged == []

    good = f"code=a&state={state}&iss=https%3A%2F%2Fsr.example"
    assert (await come_back(client, good, cookies)).status == 200


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
async def test_the_callback_takes_get_alone(serve: Serve, world: World, method: str) -> None:
    client = await serve()
    state, cookies = await begin(client)

    answer = await client.request(
        method, f"{CALLBACK}?code=c&state={state}", headers=cookie_header(cookies)
    )

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    assert world.account.exchanged == []


@pytest.mark.parametrize(
    "header",
    [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}],
)
async def test_a_prefetch_of_the_callback_has_no_effect(
    serve: Serve, world: World, header: dict[str, str]
) -> None:
    client = await serve()
    state, cookies = await begin(client)
    query = f"code=c&state={state}"

    assert (await come_back(client, query, cookies, **header)).status == 503
    assert world.account.exchanged == []
    assert (await come_back(client, query, cookies)).status == 200


ENDS = [
    (
        TokenEndpointError(Outcome.INVALID_GRANT, "invalid_grant", "The code is unknown."),
        400, "The code had expired", "bad_request",
    ),
    (GrantEnded("grant_revoked", "dead"), 400, "The code had expired", "bad_request"),
    (
        TokenEndpointError(Outcome.NOT_SPENT, "invalid_client", "Refused."),
        503, "id or secret was refused", "token_endpoint_unavailable",
    ),
    (
        TokenEndpointError(Outcome.NOT_SPENT, "connection_refused", "Nobody there."),
        503, "The code was not exchanged", "token_endpoint_unavailable",
    ),
    (
        TokenEndpointError(Outcome.UNKNOWN, "timeout", "No <b>answer</b>."),
        503, "outcome is unknown", "token_endpoint_unavailable",
    ),
    (
        StoreError("/var/lib/x", "read-only file system", "make it writable"),
        503, "could not be stored", "store_unavailable",
    ),
    (Problem("store_unavailable", "Away."), 503, "did not succeed", "store_unavailable"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "words", "code"), ENDS)
async def test_each_failure_of_the_exchange_is_told_apart_and_tried_once(
    serve: Serve, world: World, error: Exception, status: int, words: str, code: str
) -> None:
    client = await serve()
    world.account.failure = error
    state, cookies = await begin(client)
    query = f"code=the-code&state={state}"

    answer = await come_back(client, query, cookies)
    page = await answer.text()
    again = await come_back(client, query, cookies)

    assert answer.status == status
    assert words in page
    assert "Start again" in page
    assert "<b>answer" not in page
    assert f'details="{code}"' in answer.headers["Proxy-Status"]
    assert again.status == status
    assert "nothing was sent again" in await again.text()
    assert len(world.account.exchanged) == 1


async def test_an_unforeseen_failure_says_nothing_of_itself(
    serve: Serve, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    world.account.failure = RuntimeError("secret inside")
    state, cookies = await begin(client)

    answer = await come_back(client, f"code=c&state={state}", cookies)

    assert answer.status == 500
    assert "secret inside" not in await answer.text()


async def log_in_as_mallory(client: Client, world: World) -> ClientResponse:
    """Come back from the consent of Mallory's where Ada's grant is."""
    world.account.authorize()
    world.owner, world.new_owner = "Ada <A>", "Mallory"
    state, cookies = await begin(client)
    return await come_back(client, f"code=c&state={state}", cookies)


def question_on(page: str) -> str:
    names: set[str] = set(re.findall(r'name="(?:keep|replace)" value="([^"]+)"', page))
    (name,) = names
    return name


async def answer_with(client: Client, **fields: str) -> ClientResponse:
    return await client.post("/-/login/complete", data=fields, headers=FORM)


async def test_a_login_by_somebody_else_replaces_nothing_before_it_is_confirmed(
    serve: Serve, world: World
) -> None:
    client = await serve()

    asked = await log_in_as_mallory(client, world)
    page = await asked.text()

    assert asked.status == 409
    assert "You logged in as Mallory, but the grant here is that of Ada &lt;A&gt;" in page
    assert "fresh-token" not in page
    assert len(world.account.exchanged) == 1
    assert world.account.stored == 0

    done = await answer_with(client, replace=question_on(page))
    page = await done.text()

    assert done.status == 200
    assert "replaces the grant of Ada &lt;A&gt;" in page
    assert "act as Mallory" in page
    assert (world.account.stored, world.account.subject) == (1, "Mallory")


async def test_the_grant_that_is_here_may_be_kept_and_the_question_is_put_once(
    serve: Serve, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    question = question_on(await (await log_in_as_mallory(client, world)).text())

    kept = await answer_with(client, keep=question)
    late = await answer_with(client, replace=question)

    assert (kept.status, late.status) == (400, 400)
    assert "The grant of Ada &lt;A&gt; stays" in await kept.text()
    assert "Nothing waits for this answer" in await late.text()
    assert world.account.stored == 0
    assert not [record for record in caplog.messages if "Mallory" in record or "Ada" in record]


@pytest.mark.parametrize("name", ["", "x"])
async def test_an_answer_to_no_question_changes_nothing(
    serve: Serve, world: World, name: str
) -> None:
    client = await serve()
    await log_in_as_mallory(client, world)

    assert (await answer_with(client, replace=name)).status == 400
    assert world.account.stored == 0


async def test_a_question_is_forgotten_after_ten_minutes(serve: Serve, world: World) -> None:
    client = await serve()
    question = question_on(await (await log_in_as_mallory(client, world)).text())
    world.clock.seconds += 601

    assert (await answer_with(client, replace=question)).status == 400
    assert world.account.stored == 0


async def test_a_confirmed_grant_that_cannot_be_stored_is_a_failure(
    serve: Serve, world: World
) -> None:
    client = await serve()
    question = question_on(await (await log_in_as_mallory(client, world)).text())
    world.account.failure = StoreError("/var/lib/x", "read-only file system", "make it writable")

    assert (await answer_with(client, replace=question)).status == 503


async def test_the_same_user_logs_in_again_without_a_question(serve: Serve, world: World) -> None:
    client = await serve()
    world.account.authorize()
    world.owner = world.new_owner = "Ada"
    state, cookies = await begin(client)

    answer = await come_back(client, f"code=c&state={state}", cookies)

    assert answer.status == 200
    assert "takes the place of your earlier grant" in await answer.text()
    assert world.account.subject == "Ada"


async def test_a_program_that_pastes_is_asked_too(serve: Serve, world: World) -> None:
    client = await serve()
    world.account.authorize()
    world.owner, world.new_owner = "Ada", "Mallory"
    state, cookies = await begin(client)

    asked = await paste(client, f"http://localhost:8080/-/callback?code=c&state={state}", cookies)
    body = json.loads(await asked.text())
    done = await client.post("/-/login/complete", json={"replace": body["question"]})

    assert (asked.status, body["reason"], body["login_ended"]) == (409, "other_user", False)
    assert done.status == 200
    assert (await done.json())["owner"] == "Mallory"


async def test_a_login_whose_owner_cannot_be_told_asks_before_it_replaces_a_known_one(
    serve: Serve, world: World
) -> None:
    client = await serve()
    world.account.authorize()
    world.owner = "Ada"
    state, cookies = await begin(client)

    answer = await come_back(client, f"code=c&state={state}", cookies)

    assert answer.status == 409
    assert "name SmartRecruiters does not tell" in await answer.text()
    assert world.account.subject != "Ada"


async def test_a_login_whose_owner_cannot_be_told_still_says_that_it_replaces(
    serve: Serve, world: World
) -> None:
    client = await serve()
    world.account.authorize()
    state, cookies = await begin(client)

    page = await (await come_back(client, f"code=c&state={state}", cookies)).text()

    assert "replaces the grant" in page


async def paste(client: Client, url: str, cookies: dict[str, str]) -> ClientResponse:
    return await client.post("/-/login/complete", json={"url": url}, headers=cookie_header(cookies))


async def test_paste_back_by_a_program(serve: Serve, world: World) -> None:
    client = await serve()
    world.owner = "Ada"
    answer = await client.post("/-/login")
    begun = await answer.json()
    state = parse_qs(urlsplit(begun["authorization_url"]).query)["state"][0]

    done = await paste(
        client, f"http://localhost:8080/-/callback?code=the-code&state={state}", cookies_of(answer)
    )
    body = await done.json()

    assert begun["expires_in"] == 600
    assert done.status == 200
    assert body["state"] == "authorized"
    assert body["owner"] == "Ada"
    assert world.account.exchanged == [("the-code", None)]


async def test_paste_back_by_forms_is_answered_with_pages(serve: Serve, world: World) -> None:
    client = await serve()
    answer = await client.post("/-/login", headers=BROWSER)
    page = await answer.text()
    cookies = cookies_of(answer)
    state = page.partition("state=")[2].partition("&amp;")[0].partition('"')[0]
    url = f"http://localhost:8080/-/callback?code=the-code&state={state}"

    done = await client.post(
        "/-/login/complete",
        data=f"url={quote(url, safe='')}",
        headers=FORM | cookie_header(cookies),
    )

    assert 'action="/-/login/complete"' in page
    assert done.status == 200
    assert "You are logged in" in await done.text()


@pytest.mark.parametrize("encode", [True, False])
async def test_a_pasted_decline_may_hold_raw_spaces(
    serve: Serve, world: World, encode: bool
) -> None:
    client = await serve()
    answer = await client.post("/-/login")
    url = (
        "http://localhost:8080/-/callback?error=access_denied"
        "&error_description=User denied the access&code=500"
    )

    body = f"url={quote(url, safe='') if encode else url}"
    done = await client.post(
        "/-/login/complete", data=body, headers=FORM | cookie_header(cookies_of(answer))
    )

    assert done.status == 400
    assert "User denied the access" in await done.text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the-code",
        "code=the-code&state={state}",
        "http://evil.example/-/callback?code=the-code&state={state}",
        "http://localhost:8080.evil.example/-/callback?code=the-code&state={state}",
        "http://localhost:8080@evil.example/-/callback?code=the-code&state={state}",
        "http://x@localhost:8080/-/callback?code=the-code&state={state}",
        "https://localhost:8080/-/callback?code=the-code&state={state}",
        "http://localhost:9999/-/callback?code=the-code&state={state}",
        "http://localhost:8080/-/other?code=the-code&state={state}",
        "http://localhost:x/-/callback?code=the-code&state={state}",
        "http://[/-/callback?code=the-code&state={state}",
        "http://localhost:8080/-/callback?code=the-code",
        "http://localhost:8080/-/callback?state={state}",
    ],
)
async def test_what_is_not_the_whole_final_address_is_refused_and_consumes_nothing(
    serve: Serve, world: World, text: str
) -> None:
    client = await serve()
    state, cookies = await begin(client)

    bad = await paste(client, text.format(state=state), cookies)
    body = json.loads(await bad.text())
    good = await paste(
        client, f"  http://LOCALHOST:8080/-/callback?code=c&state={state}\n", cookies
    )

    assert bad.status == 400
    assert body["code"] == "bad_request"
    assert bad.content_type == "application/problem+json"
    assert good.status == 200


@pytest.mark.parametrize(
    ("redirect_uri", "text"),
    [
        ("http://localhost:8080/-/callback", "localhost:8080/-/callback?{query}"),
        ("http://localhost:8080/-/callback", "//localhost:8080/-/callback?{query}"),
        ("http://localhost:8080/-/callback", "\ufeffhttp://localhost:8080/-/callback?{query}"),
        ("http://localhost:8080/-/callback", "<http://localhost:8080/-/callback?{query}>"),
        ("http://localhost:8080/-/callback", '("http://localhost:8080/-/callback?{query}")'),
        ("http://localhost:8080/-/callback", "[http://localhost:8080/-/callback?{query}]"),
        ("http://localhost:8080/-/callback", "HTTP://LocalHost:8080/-/callback?{query}#_=_"),
        ("http://localhost:8080/-/callback", "http://localhost:8080/-/call\r\n  back?{query}"),
        ("http://localhost:80/-/callback", "http://localhost/-/callback?{query}"),
        ("http://localhost/-/callback", "localhost:80/-/callback?{query}"),
        ("https://proxy.example:443/-/callback", "proxy.example/-/callback?{query}"),
        ("http://localhost:8080/", "http://localhost:8080?{query}"),
        ("http://localhost:8080/", "localhost:8080?{query}"),
    ],
)
async def test_the_final_address_is_taken_as_browsers_and_mails_show_it(
    serve: Serve, world: World, redirect_uri: str, text: str
) -> None:
    client = await serve(oauth={"redirect_uri": redirect_uri})
    begun = await client.post("/-/login")
    url = (await begun.json())["authorization_url"]
    state = parse_qs(urlsplit(url).query)["state"][0]

    done = await paste(client, text.format(query=f"code=the-code&state={state}"), cookies_of(begun))

    assert done.status == 200
    assert world.account.exchanged == [("the-code", None)]


async def test_a_wrong_paste_keeps_the_field_and_says_what_was_wrong(
    serve: Serve, world: World
) -> None:
    client = await serve()
    begun = await client.post("/-/login", headers=BROWSER)
    cookies = cookie_header(cookies_of(begun))
    state = (await begun.text()).partition("state=")[2].partition("&")[0].partition('"')[0]

    wrong = await client.post("/-/login/complete", data={"url": "the-code"}, headers=FORM | cookies)
    page = await wrong.text()
    url = f"http://localhost:8080/-/callback?code=c&state={state}"
    done = await client.post("/-/login/complete", data={"url": url}, headers=FORM | cookies)

    assert wrong.status == 400
    assert "Paste the whole address" in page
    assert 'name="url"' in page
    assert "the-code" not in page
    assert f"state={state}" in page
    assert done.status == 200


async def test_paste_back_is_bound_to_the_browser_that_began(serve: Serve, world: World) -> None:
    client = await serve()
    state, _ = await begin(client)
    url = f"http://localhost:8080/-/callback?code=c&state={state}"

    assert (await paste(client, url, {})).status == 400
    assert world.account.exchanged == []


@pytest.mark.parametrize("body", ["[1]", "{", '"x"', "\xff", "[" * 50_000])
async def test_a_body_that_is_no_object_is_refused(serve: Serve, body: str) -> None:
    client = await serve()

    answer = await client.post(
        "/-/login/complete",
        data=body.encode("latin-1"),
        headers={"Content-Type": "application/json"},
    )

    assert answer.status == 400
    assert (await answer.json(content_type=None))["code"] == "bad_request"


async def test_logout_forgets_the_grant(serve: Serve, world: World) -> None:
    client = await serve()
    world.account.authorize()

    answer = await client.post("/-/logout")

    assert answer.status == 200
    assert (await answer.json())["state"] == "login_required"
    assert world.account.now.reason == "logged_out"


async def test_logout_by_a_form_leads_back_to_the_page(serve: Serve, world: World) -> None:
    client = await serve()

    answer = await client.post("/-/logout", headers=FORM, data="", allow_redirects=False)

    assert answer.status == 303
    assert answer.headers["Location"] == "/-/"


async def test_no_secret_is_in_any_answer_or_log(
    serve: Serve, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = await serve(oauth={"pkce": True})
    seen = []
    for failure in (None, *(error for error, *_ in ENDS)):
        world.account.failure = failure
        state, cookies = await begin(client)
        answer = await come_back(client, f"code=the-code&state={state}", cookies)
        seen += [await answer.text(), str(answer.headers), str(cookies)]
    seen += [await (await client.get(path)).text() for path in ("/-/", "/-/status")]
    verifiers = [verifier for _, verifier in world.account.exchanged if verifier]

    text = "\n".join([*seen, caplog.text.replace("code=the-code", "")])

    assert not [secret for secret in (*SECRETS, *verifiers) if secret in text]


async def test_only_a_login_that_ended_cleans_the_address(serve: Serve, world: World) -> None:
    """The address of one that did not may have to be copied into the browser that began it."""
    client = await serve()
    state, cookies = await begin(client)

    elsewhere = await (await come_back(client, f"code=c&state={state}", {})).text()
    done = await (await come_back(client, f"code=c&state={state}", cookies)).text()

    assert "<main" in elsewhere
    assert "data-finished>" not in elsewhere
    assert "data-finished>" in done


async def test_a_login_whose_browser_leaves_is_finished_and_audited(
    serve: Serve, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The code is spent by then: what came of it must not be lost with the connection."""
    caplog.set_level("INFO")
    client = await serve()
    world.account.authorize()
    world.account.pause = asyncio.Event()
    world.owner = world.new_owner = "Ada"
    state, cookies = await begin(client)
    url = f"http://localhost:8080/-/callback?code=the-code&state={state}"
    pasting = asyncio.ensure_future(paste(client, url, cookies))
    while not world.account.exchanged:
        await asyncio.sleep(0.005)

    pasting.cancel()
    while client.front.connections:
        await asyncio.sleep(0.005)
    world.account.pause.set()
    while not (told := [r for r in caplog.records if r.__dict__.get("members")]):
        await asyncio.sleep(0.005)

    assert world.account.stored == 1
    assert world.account.subject == "Ada"
    assert [record.__dict__["members"]["outcome"] for record in told] == ["ok"]


async def test_a_login_is_sealed_with_the_secret_of_now(serve: Serve, world: World) -> None:
    """After a reload the client secret is another, and an old one signs nothing any more."""
    client = await serve()
    _, before = await begin(client)
    old = client.config
    client.reload(oauth={"client_secret": "another-secret-0123456789"})
    state, cookies = await begin(client)
    again = Logins(lambda: client.config.accounts, world.clock, lambda: "")
    first = Logins(lambda: old.accounts, world.clock, lambda: "")

    assert [login.state for login in again.known(before | cookies)] == [state]
    assert [login.state for login in first.known(cookies)] == []
