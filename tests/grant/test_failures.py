"""What a failed refresh costs, what it never takes away, and what ends a grant."""

import pytest

from proxy.errors import Side, StoreError
from proxy.grant.stores.record import Intent
from tests.support.authorization_server import Answer
from tests.support.granting import World, finish, problem_of

HTML = b"<html>Service unavailable</html>"
NOT_SPENT = {
    "429": Answer(429, b'{"message": "slow down"}', {"Retry-After": "7"}),
    "503": Answer(503, HTML),
    "403": Answer(403, HTML),
    "400": Answer(400, b'{"error": "invalid_request"}'),
    "invalid_client": Answer(401, b'{"error": "invalid_client"}'),
}
UNKNOWN = {
    "500": Answer(500, HTML, spend=False),
    "502": Answer(502, b""),
    "504": Answer(504, b'{"error": "server_error"}'),
    "empty_object": Answer(200, b"{}"),
    "html": Answer(200, HTML),
    "redirect": Answer(302, b"", {"Location": "http://localhost:9/evil"}),
    "cut": Answer(cut=True),
}


@pytest.mark.parametrize("kind", NOT_SPENT)
async def test_a_passing_failure_costs_a_valid_token_nothing(grant: World, kind: str) -> None:
    manager = await grant.authorized()
    grant.server.always = NOT_SPENT[kind]
    await grant.clock.advance(1799 - 200)
    for _ in range(20):
        assert manager.current() is not None
        await finish(manager)
    assert len(grant.server.refreshes) == 1
    assert manager.status().state == "degraded"
    assert manager.readiness() is None
    assert (await grant.record()).intent is None

    grant.server.always = None
    await grant.clock.advance(31)
    manager.current()
    await finish(manager)
    assert manager.status().state == "authorized"
    assert manager.status().generation == 2


@pytest.mark.parametrize("kind", UNKNOWN)
async def test_a_token_of_unknown_fate_rests_while_the_access_token_lives(
    grant: World, kind: str
) -> None:
    manager = await grant.authorized()
    grant.server.always = UNKNOWN[kind]
    await grant.clock.advance(1799 - 250)
    manager.current()
    await finish(manager)
    for _ in range(20):
        await grant.clock.advance(10)
        assert manager.current() is not None
    assert len(grant.server.refreshes) == 1
    assert manager.status().state == "degraded"
    assert await manager.rejected(1) is None
    assert len(grant.server.refreshes) == 1

    grant.server.always = None
    await grant.clock.advance(90)
    await finish(manager)
    assert manager.status().state == "authorized"
    assert [entry.verdict for entry in grant.server.refreshes] == ["failed", "rotated"]


@pytest.mark.parametrize("kind", [*NOT_SPENT, *UNKNOWN])
async def test_after_expiry_it_backs_off_and_recovers_by_itself(grant: World, kind: str) -> None:
    manager = await grant.authorized()
    grant.server.always = {**NOT_SPENT, **UNKNOWN}[kind]
    await grant.clock.advance(1800)

    problem = await problem_of(manager)
    assert problem.code == "token_endpoint_unavailable"
    assert problem.retry_after is not None
    assert 1 <= problem.retry_after <= 30
    assert (await problem_of(manager)).code == "token_endpoint_unavailable"
    assert len(grant.server.refreshes) == 1
    for _ in range(60):
        await grant.clock.advance(5)
        await finish(manager)
    # Five minutes: 1, 2, 4, 8 s, then at least 15 s each.
    assert 8 <= len(grant.server.refreshes) <= 25

    grant.server.always = None
    await grant.clock.advance(31)
    await finish(manager)
    assert manager.current() is not None
    assert manager.status().state == "authorized"


async def test_a_servers_retry_after_is_kept_to(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.script.append(Answer(429, b"", {"Retry-After": "20"}))
    await grant.clock.advance(1800)
    problem = await problem_of(manager)
    assert problem.retry_after == 20
    await grant.clock.advance(18)
    await finish(manager)
    assert len(grant.server.refreshes) == 1
    await grant.clock.advance(3)
    await finish(manager)

    assert manager.current() is not None


async def test_our_own_refused_secret_keeps_the_grant(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.always = NOT_SPENT["invalid_client"]
    await grant.clock.advance(1800)

    problem = await problem_of(manager)

    assert (problem.code, problem.reason) == ("token_endpoint_unavailable", "invalid_client")
    assert "client_secret" in problem.detail
    assert (await grant.record()).tokens is not None


async def test_nobody_listens_and_the_token_is_not_spent(grant: World) -> None:
    manager = await grant.authorized()
    port = grant.server.port
    await grant.server.stop()
    await grant.clock.advance(1800)
    problem = await problem_of(manager)
    assert (problem.code, problem.reason) == ("token_endpoint_unavailable", "connection_refused")
    assert (await grant.record()).intent is None
    await grant.server.start(port)
    await grant.clock.advance(31)
    await finish(manager)

    assert manager.current() is not None


async def test_invalid_grant_ends_the_grant_and_nothing_retries(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.revoke_everything()
    await grant.clock.advance(1800)

    problem = await problem_of(manager)
    assert (problem.code, problem.reason) == ("login_required", "grant_revoked")
    assert "another copy" in problem.detail
    for _ in range(50):
        await grant.clock.advance(60)
        await problem_of(manager)
    assert len(grant.server.refreshes) == 1
    assert len(grant.store.aside) == 1
    restarted = await grant.open()
    assert restarted.status().reason == "grant_revoked"
    assert restarted.status().state == "login_required"
    assert len(grant.server.refreshes) == 1


async def test_a_dead_grants_access_token_is_used_to_its_end(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.revoke_everything()
    await grant.clock.advance(1799 - 200)
    manager.current()
    await finish(manager)
    assert manager.current() is not None
    assert (manager.status().state, manager.status().reason) == ("degraded", "grant_revoked")
    await grant.clock.advance(200)

    assert manager.current() is None
    assert manager.status().state == "login_required"


async def test_after_28_days_the_reason_is_that_it_expired(grant: World) -> None:
    manager = await grant.authorized()
    await manager.close()
    grant.server.revoke_everything()
    await grant.clock.advance(29 * 86400)
    again = await grant.open()

    assert again.status().reason == "grant_expired"


async def test_a_lost_rotation_is_told_with_its_time(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1800)
    grant.server.script.append(Answer(cut=True, spend=True))
    problem = await problem_of(manager)
    assert problem.reason == "connection_terminated"
    await grant.clock.advance(31)
    await finish(manager)

    problem = await problem_of(manager)
    assert (problem.code, problem.reason) == ("login_required", "grant_revoked")
    assert "rotation was lost" in problem.detail
    assert [entry.verdict for entry in grant.server.refreshes] == ["rotated", "reused"]


async def test_an_intent_left_by_a_kill_waits_for_the_access_tokens_end(grant: World) -> None:
    manager = await grant.authorized()
    record = await grant.record()
    async with grant.store.lease("default", 1) as lease:
        at = grant.clock.now()
        await lease.save(replace_intent(record, at))
    await manager.close()

    again = await grant.open()
    assert again.current() is not None
    assert (again.status().state, again.status().reason) == ("degraded", "interrupted")
    await grant.clock.advance(900)
    assert grant.server.refreshes == []
    await grant.clock.advance(910)
    await finish(again)

    assert again.status().state == "authorized"
    assert again.status().generation == 2


def replace_intent(record, at):
    from dataclasses import replace

    return replace(record, intent=Intent(record.generation, at))


async def test_an_intent_left_by_a_kill_is_resolved_at_the_start(grant: World) -> None:
    manager = await grant.authorized()
    record = await grant.record()
    async with grant.store.lease("default", 1) as lease:
        await lease.save(replace_intent(record, grant.clock.now()))
    await manager.close()
    await grant.clock.advance(3600)
    grant.server.revoke_everything()

    again = await grant.open()

    assert again.status().reason == "grant_revoked"
    assert "rotation was lost" in (again.status().detail or "")
    assert len(grant.server.refreshes) == 1


async def test_failures_of_one_process_hold_the_others_back(grant: World) -> None:
    first, second = await grant.authorized(), await grant.open()
    grant.server.always = Answer(503)
    await grant.clock.advance(1800)
    await problem_of(first)
    problem = await problem_of(second)

    assert problem.code == "token_endpoint_unavailable"
    assert len(grant.server.refreshes) == 1


async def test_a_record_that_breaks_takes_nothing_from_a_valid_token(grant: World) -> None:
    manager = await grant.authorized()
    good = grant.store.data["default"]
    grant.store.data["default"] = b"garbage"
    grant.store._writes["default"] += 1
    await grant.clock.advance(5)
    assert manager.current() is not None
    assert (manager.status().state, manager.status().reason) == ("degraded", "store_unavailable")
    await grant.clock.advance(1800)
    assert (await problem_of(manager)).code == "store_unavailable"
    assert grant.store.data["default"] == b"garbage"
    with pytest.raises(StoreError):
        await manager.logout()
    assert grant.store.data["default"] == b"garbage"

    grant.store.data["default"] = good
    await grant.clock.advance(31)
    await finish(manager)
    assert manager.current() is not None
    assert manager.status().state == "authorized"


async def test_a_record_that_disappears_is_no_logout(grant: World) -> None:
    manager = await grant.authorized()
    gone = grant.store.data.pop("default")
    await grant.clock.advance(5)
    assert manager.current() is not None
    assert manager.status().reason == "store_unavailable"
    await grant.clock.advance(1800)
    assert (await problem_of(manager)).code == "store_unavailable"
    grant.store.data["default"] = gone
    await grant.clock.advance(31)
    await finish(manager)

    assert manager.status().state == "authorized"


async def test_a_store_that_is_broken_at_the_start_is_not_a_missing_grant(grant: World) -> None:
    grant.store.data["default"] = b""
    manager = await grant.open()

    assert (await problem_of(manager)).code == "store_unavailable"
    assert manager.status().state == "degraded"
    assert manager.status().store_error is not None


REFUSALS = {
    "400": Answer(400, b'{"error": "invalid_request"}'),
    "403": Answer(403, HTML),
    "in a form, at 200": Answer(200, b"error=unauthorized_client"),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_three_complete_refusals_need_a_person_and_it_is_well_again_by_itself(
    grant: World, kind: str
) -> None:
    manager = await grant.authorized()
    grant.server.always = REFUSALS[kind]
    await grant.clock.advance(1800)
    await problem_of(manager)
    while len(grant.server.refreshes) < 3:
        assert manager.status().state == "degraded"
        await grant.clock.advance(1)
        await finish(manager)

    assert (manager.status().state, manager.status().reason) == (
        "login_required",
        "refresh_refused",
    )
    problem = await problem_of(manager)
    assert (problem.code, problem.reason) == ("login_required", "refresh_refused")
    assert (await grant.record()).ended is None
    grant.server.always = None
    await grant.clock.advance(31)
    await finish(manager)
    assert manager.status().state == "authorized"


@pytest.mark.parametrize("kind", ["429", "503", "invalid_client"])
async def test_what_is_no_refusal_of_the_request_needs_no_login(grant: World, kind: str) -> None:
    manager = await grant.authorized()
    grant.server.always = NOT_SPENT[kind]
    await grant.clock.advance(1800)
    for _ in range(5):
        await problem_of(manager)
        await grant.clock.advance(31)
        await finish(manager)

    assert manager.status().state == "degraded"
    assert (await problem_of(manager)).code == "token_endpoint_unavailable"


async def test_refusals_say_nothing_while_the_access_token_lives(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.always = REFUSALS["400"]
    await grant.clock.advance(1799 - 250)
    for _ in range(5):
        assert manager.current() is not None
        await finish(manager)
        await grant.clock.advance(31)

    assert len(grant.server.refreshes) >= 3
    assert manager.status().state == "degraded"


async def test_a_rotated_token_in_a_failure_is_spent_next(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.script.append(Answer(change={"access_token": None}))
    await grant.clock.advance(1800)

    problem = await problem_of(manager)
    record = await grant.record()
    assert problem.code == "token_endpoint_unavailable"
    assert (record.generation, record.intent) == (2, None)
    await grant.clock.advance(5)
    await finish(manager)

    assert manager.status().state == "authorized"
    assert [entry.verdict for entry in grant.server.refreshes] == ["rotated", "rotated"]


async def test_changed_settings_are_tried_at_once_after_a_restart(grant: World) -> None:
    await grant.authorized()
    await grant.close()
    grant.sections = {"oauth": {"client_secret": "another-secret-0123456789"}}
    wrong = await grant.open()
    await grant.clock.advance(1800)
    for _ in range(5):
        problem = await problem_of(wrong)
        await grant.clock.advance(31)
        await finish(wrong)
    assert (problem.code, problem.reason) == ("token_endpoint_unavailable", "invalid_client")
    assert problem.side is Side.PROXY
    assert "oauth.client_secret" in problem.detail
    assert wrong.status().needed == "client_refused"
    attempts = len(grant.server.refreshes)
    await grant.close()

    grant.sections = {}
    mended = await grant.open()

    assert len(grant.server.refreshes) == attempts + 1
    assert mended.current() is not None
    assert mended.status().needed is None


async def test_the_same_settings_still_back_off_after_a_restart(grant: World) -> None:
    await grant.authorized()
    grant.server.always = NOT_SPENT["503"]
    await grant.clock.advance(1800)
    for manager in grant.opened:
        await problem_of(manager)
    attempts = len(grant.server.refreshes)

    again = await grant.open()

    assert (await problem_of(again)).code == "token_endpoint_unavailable"
    assert len(grant.server.refreshes) == attempts


async def test_a_401_on_a_dead_grant_needs_a_login_here_and_elsewhere(grant: World) -> None:
    manager = await grant.authorized()
    other = await grant.open()
    grant.server.revoke_everything()
    await grant.clock.advance(1799 - 250)
    manager.current()
    await finish(manager)
    assert (manager.status().state, manager.status().needed) == ("degraded", "login_required")
    await grant.clock.advance(6)
    assert other.current() is not None

    assert await other.rejected(1) is None

    assert other.status().state == "login_required"
    assert (await problem_of(other)).code == "login_required"
    await grant.clock.advance(6)
    assert manager.status().state == "login_required"
    assert (await grant.open()).readiness() is not None
