"""The status page as it is served: whole without JavaScript, escaped, and true."""

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.control.words import duration, milliseconds, size
from proxy.errors import KINDS, Problem
from proxy.grant.stores.record import LastRefresh
from tests.control.conftest import BEGAN, GRANTED, SECRETS, FakeAccount, Serve, World
from tests.control.test_events import make_record

KEYS = {"api_keys": [{"name": "ats", "key": "api-key-0123456789abcdef"}]}


async def page_of(serve: Serve, path: str = "/-/", **sections: object) -> str:
    client = await serve(**sections)
    return await (await client.get(path)).text()


async def test_without_a_grant_it_says_to_log_in(serve: Serve, world: World) -> None:
    world.problem = Problem("login_required", "x", reason="never_authorized")

    page = await page_of(serve)

    assert "Your tools cannot call now" in page
    assert "Nobody has logged in yet" in page
    assert 'href="/-/login"' in page
    assert "/-/logout" not in page


async def test_with_a_grant_it_shows_the_clock(serve: Serve, world: World) -> None:
    world.account.authorize()
    world.clock.seconds = BEGAN + 1200

    page = await page_of(serve)

    assert "Your tools can call now" in page
    assert "9 minutes 59 seconds left" in page
    assert "19 October 2026" in page
    assert 'action="/-/logout"' in page
    assert "candidates_<wbr>read" in page


async def test_it_says_since_when_there_is_a_grant_if_that_is_known(
    serve: Serve, world: World
) -> None:
    world.account.authorize()
    assert "<dt>Since</dt>" not in await page_of(serve)
    world.account.change(granted_at=1_789_000_000.0)

    page = await page_of(serve)

    assert "<dt>Since</dt><dd>" in page
    assert "10 September 2026" in page.partition("<dt>Since</dt>")[2][:120]


async def test_degraded_says_what_failed(serve: Serve, world: World) -> None:
    world.account.authorize()
    last = LastRefresh(BEGAN + 1200, "failed", "dns_error", "<No> name.")
    world.account.change(state="degraded", last_refresh=last)

    page = await page_of(serve)

    assert "Working, but not renewing" in page
    assert "&lt;No&gt; name." in page


async def test_the_problem_of_the_whole_program_comes_first(serve: Serve, world: World) -> None:
    world.account.authorize()
    world.problem = Problem("store_unavailable", "The store at /x is not readable.")

    page = await page_of(serve)

    assert "Calls are refused for now" in page
    assert "The store at /x is not readable." in page


async def test_the_owner_is_asked_for_once_and_shown_when_known(serve: Serve, world: World) -> None:
    world.account.authorize()
    world.owner = "Ada <Lovelace>"
    client = await serve()

    await client.get("/-/")
    page = await (await client.get("/-/")).text()

    assert "Ada &lt;Lovelace&gt;" in page
    assert world.asked == 1


async def test_an_owner_that_cannot_be_told_is_not_asked_for_at_every_look(
    serve: Serve, world: World
) -> None:
    world.account.authorize()
    client = await serve()

    for _ in range(3):
        await client.get("/-/")

    assert world.asked == 1


async def test_an_expired_token_is_not_refreshed_to_ask_for_the_owner(
    serve: Serve, world: World
) -> None:
    world.account.authorize()
    world.clock.seconds = BEGAN + 1800
    client = await serve()

    await client.get("/-/")

    assert world.asked == 0


async def test_curl_lines_are_for_the_address_in_use(serve: Serve) -> None:
    client = await serve(access=KEYS)

    page = await (await client.get("/-/", headers={"Host": "127.0.0.1:9000"})).text()

    assert "curl -H &#34;X-API-Key: $SRPROXY_KEY&#34; http://127.0.0.1:9000/users/me" in page
    assert "api-key-0123456789abcdef" not in page


async def test_without_keys_no_key_is_asked_for(serve: Serve) -> None:
    page = await page_of(serve)

    assert "X-API-Key" not in page.partition("<main>")[2].partition("problem-login_required")[0]


async def test_requests_are_listed_newest_first_without_query_values(
    serve: Serve, world: World
) -> None:
    world.traffic.records = [
        make_record(1),
        make_record(2, target=b"/jobs/<b>", status=403, whose="proxy", code="not_allowed"),
        make_record(3, status=429, replays=1, rate_limit="0"),
        make_record(4, status=0, aborted=True),
    ]

    page = await page_of(serve)
    rows = page.partition('id="rows"')[2].partition("</tbody>")[0]

    assert rows.index("caller left") < rows.index("429") < rows.index("not_allowed")
    rows = rows.replace("<wbr>", "")
    assert "/candidates?limit&amp;q" in rows
    assert "/jobs/&lt;b&gt;" in rows
    assert "Ada" not in rows
    assert "sent 2 times" in rows
    assert 'href="#problem-not_allowed"' in rows


async def test_the_filter_works_without_javascript(serve: Serve, world: World) -> None:
    world.traffic.records = [make_record(1, target=b"/users/me"), make_record(2)]

    page = await page_of(serve, "/-/?text=USERS%22%3E")
    rows = page.partition('id="rows"')[2].partition("</tbody>")[0]
    found = await page_of(serve, "/-/?text=get%20users")

    assert "<tr" not in rows
    assert 'value="USERS&#34;&gt;"' in page
    assert found.partition('id="rows"')[2].partition("</tbody>")[0].count("<tr") == 1


@dataclass(frozen=True)
class Use:
    account: str
    operation: str
    used: int
    limit: float
    unit: str
    held: int = 0
    refused: int = 0


class Limits:
    def uses(self) -> list[Use]:
        return [
            Use("default", "GET /candidates", 1, 1, "at once", held=3, refused=2),
            Use("default", "POST /<jobs>", 4, 10, "a second"),
        ]


async def test_the_limits_are_shown_with_what_is_held_and_refused(
    serve: Serve, world: World
) -> None:
    assert "Limits" not in await page_of(serve)
    world.limits = Limits()

    page = await page_of(serve)
    rows = page.partition('id="limits"')[2].partition("</section>")[0]

    assert "<b>1</b> of 1 at once" in rows
    assert "<b>3</b> held" in rows
    assert "<b>4</b> of 10 a second" in rows
    assert "2 refused" in rows
    assert "/<wbr>&lt;jobs&gt;" in rows


async def test_scopes_say_what_they_allow_and_which_were_not_granted(
    serve: Serve, world: World
) -> None:
    world.account.authorize()
    world.account.change(configured_scopes=("candidates_read", "candidates_manage"))

    page = await page_of(serve)
    notice = page.partition("Configured, but not granted")[2].partition("</ul>")[0]

    assert "GET /candidates/{id}" in page
    assert "candidates_<wbr>manage" in notice
    assert "candidates_<wbr>read" not in notice


async def test_without_scopes_in_the_answer_none_is_called_missing(
    serve: Serve, world: World
) -> None:
    world.account.authorize()
    world.account.change(
        tokens=replace(GRANTED, scopes=()), configured_scopes=("candidates_manage",)
    )

    page = await page_of(serve)

    assert "Configured, but not granted" not in page


ACCOUNTS: dict[str, Any] = {
    "accounts": {"acme": {}, "bulk": {"smart_token": "api-key-0123456789abcdef"}}
}


async def test_accounts_stand_side_by_side_each_with_its_own_login(
    serve: Serve, world: World
) -> None:
    world.account.authorize()
    world.others["acme"] = FakeAccount("acme")
    world.others["acme"].problem = Problem("login_required", "x", reason="never_authorized")
    world.others["bulk"] = FakeAccount("bulk")
    world.others["bulk"].change(state="authorized", reason=None)
    world.others["bulk"].no_login = Problem("bad_request", "Nobody logs in to it.", status=409)

    page = await page_of(serve, **ACCOUNTS)
    cards = page.partition('class="accounts"')[2].partition('id="limits"')[0].split("<section")[1:]

    assert "Some calls are refused" in page
    assert "These accounts serve none: acme." in page
    assert [name in card for name, card in zip(("default</h2>", "acme</h2>", "bulk</h2>"), cards,
                                               strict=True)] == [True] * 3  # fmt: skip
    assert 'href="/-/login?account=acme"' in cards[1]
    assert 'action="/-/logout"' in cards[0]
    assert "API key" in cards[2]
    assert "/-/log" not in cards[2]
    assert re.findall('action="([^"]*)"><button class="button small">', page) == [
        "/-/login", "/-/login?account=acme",
    ]  # fmt: skip
    assert SECRETS[2] not in page


async def test_one_sentence_is_said_once(serve: Serve, world: World) -> None:
    dead = "SmartRecruiters refused the refresh token (invalid_grant). Log in again."
    last = LastRefresh(BEGAN, "failed", "invalid_grant", dead)
    world.account.change(reason="grant_revoked", detail=dead, last_refresh=last, warnings=(dead,))
    world.account.problem = Problem("login_required", dead, reason="grant_revoked")

    page = await page_of(serve)

    assert page.count("SmartRecruiters refused the refresh token") == 1
    assert page.count("Log in again.") == 1


async def test_the_end_of_the_certificate_is_told_and_warned_of(serve: Serve, world: World) -> None:
    assert "certificate until" not in await page_of(serve)
    world.certificate_ends_at = BEGAN + 13 * 86400

    page = await page_of(serve)
    world.certificate_ends_at = BEGAN + 90 * 86400
    later = await page_of(serve)

    assert "4 October 2026" in page
    assert "Renew the file of listen.tls.cert_file" in page
    assert "certificate until" in later
    assert "Renew the file" not in later


async def test_a_page_holds_no_other_resource(serve: Serve, world: World) -> None:
    world.account.authorize()

    page = await page_of(serve)
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="([^"]*)"', page)

    assert [url for url in loaded if not url.startswith("data:")] == []
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page.partition("</style>")[2].partition("<script>")[0])


async def test_every_problem_code_is_explained(serve: Serve) -> None:
    text = await page_of(serve)

    assert all(f'id="problem-{code}"' in text for code in KINDS)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"), (0, "0 seconds"), (1, "1 second"), (61, "1 minute 1 second"),
        (3600, "1 hour"), (90061, "1 day 1 hour"), (2419199, "27 days 23 hours"), (86430, "1 day"),
    ],
)  # fmt: skip
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_sizes_and_times_in_words() -> None:
    assert [size(n) for n in (0, 999, 1500, 250_000, 3_200_000, 5_000_000_000_000)] == [
        "0 B", "999 B", "1.5 kB", "250 kB", "3.2 MB", "5000 GB",
    ]  # fmt: skip
    assert [milliseconds(s) for s in (0.0012, 0.25, 130)] == ["1.2 ms", "250 ms", "130.0 s"]
