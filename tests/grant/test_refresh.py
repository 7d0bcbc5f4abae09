"""When a refresh token is spent, and that it is spent only once."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from proxy.errors import Outcome, Problem, StoreError, TokenEndpointError
from proxy.system.secret import Secret
from tests.support.authorization_server import Answer
from tests.support.granting import World, finish, problem_of, token_of, world
from tests.support.memory_store import MemoryStore


async def test_without_a_grant_a_login_is_required(grant: World) -> None:
    manager = await grant.open()

    problem = await problem_of(manager)

    assert (problem.code, problem.reason) == ("login_required", "never_authorized")
    assert manager.current() is None
    assert manager.readiness() is not None
    assert manager.status().state == "login_required"


async def test_a_login_is_used_at_once_and_after_a_restart(grant: World) -> None:
    manager = await grant.authorized()
    credential = manager.current()

    assert credential is not None
    assert token_of(credential) in grant.server.valid_access_tokens
    assert (await grant.open()).current() is not None
    assert grant.server.refreshes == []


async def test_a_code_is_sent_once_whatever_comes_back(grant: World) -> None:
    manager = await grant.open()
    answers = (Answer(500), Answer(cut=True), Answer(200, b"{}"), Answer(400, b"<html>"))
    for number, answer in enumerate(answers):
        grant.server.script.append(answer)
        with pytest.raises(TokenEndpointError):
            await manager.exchange(Secret(f"the-code-{number}"))

    assert len(grant.server.log) == 4
    assert manager.status().reason == "never_authorized"


async def test_a_thousand_callers_at_expiry_share_one_refresh(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1800)

    credentials = await asyncio.gather(*(manager.credential() for _ in range(1000)))

    assert {credential.generation for credential in credentials} == {2}
    assert len(grant.server.refreshes) == 1


async def test_traffic_refreshes_ahead_and_waits_for_nothing(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1799 - 301)
    assert manager.current() is not None
    assert manager._flight.task is None

    await grant.clock.advance(2)
    early = manager.current()
    assert early is not None
    assert early.generation == 1
    await finish(manager)

    later = manager.current()
    assert later is not None
    assert later.generation == 2


async def test_the_margin_is_at_most_half_of_the_lifetime() -> None:
    async with world(lifetime=100) as grant:
        manager = await grant.authorized()
        await grant.clock.advance(49)
        manager.current()
        assert manager._flight.task is None
        await grant.clock.advance(2)
        manager.current()
        await finish(manager)

        assert len(grant.server.refreshes) == 1


async def test_without_traffic_nothing_is_refreshed_before_its_time(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(6 * 86400)
    await finish(manager)

    assert grant.server.refreshes == []
    assert manager.readiness() is None


async def test_a_grant_at_rest_is_refreshed_before_it_dies(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(7 * 86400 + 10)
    await finish(manager)

    assert len(grant.server.refreshes) == 1
    assert manager.status().generation == 2


async def test_after_a_long_rest_it_refreshes_at_the_start(grant: World) -> None:
    await (await grant.authorized()).close()
    await grant.clock.advance(27 * 86400)

    manager = await grant.open()

    assert manager.status().generation == 2
    assert manager.status().state == "authorized"


async def test_all_callers_hang_up_and_the_refresh_goes_on(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1800)
    grant.server.release = asyncio.Event()
    callers = [asyncio.ensure_future(manager.credential()) for _ in range(10)]
    await grant.asked(2)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    grant.server.release.set()
    await finish(manager)

    assert (await grant.record()).generation == 2


async def test_stopping_waits_for_a_refresh_to_be_stored(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1800)
    grant.server.release = asyncio.Event()
    caller = asyncio.ensure_future(manager.credential())
    await grant.asked(2)
    closing = asyncio.ensure_future(manager.close())
    await asyncio.sleep(0)
    assert not closing.done()
    grant.server.release.set()
    await closing

    assert (await grant.record()).generation == 2
    assert (await caller).generation == 2


async def test_stopping_does_not_wait_for_its_turn_at_the_lease(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1800)
    async with grant.store.lease("default", 1):
        caller = asyncio.ensure_future(problem_of(manager))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await manager.close()
        assert (await caller).code == "token_endpoint_unavailable"

    assert grant.server.refreshes == []


class Overrun(MemoryStore):
    """A lease that runs out between the intent and the token."""

    def lease(self, account, patience):
        return overrun(super().lease(account, patience))


@asynccontextmanager
async def overrun(leased):
    async with leased as lease:
        lease.ensure_held = refuse
        yield lease


def refuse() -> None:
    raise StoreError("redis", "the claim ran out", "wait")


async def test_a_token_that_was_not_sent_leaves_no_intent() -> None:
    async with world(store=Overrun()) as grant:
        manager = await grant.authorized()
        await grant.clock.advance(1800)

        assert (await problem_of(manager)).code == "store_unavailable"
        assert (await grant.record()).intent is None
        assert grant.server.refreshes == []


async def test_a_401_forces_one_refresh_for_all_who_met_it(grant: World) -> None:
    manager = await grant.authorized()

    newer = await asyncio.gather(*(manager.rejected(1) for _ in range(20)))

    assert {credential.generation for credential in newer if credential} == {2}
    assert None not in newer
    assert len(grant.server.refreshes) == 1


async def test_a_401_of_an_older_token_costs_nothing(grant: World) -> None:
    manager = await grant.authorized()
    await manager.rejected(1)

    newer = await manager.rejected(1)

    assert newer is not None
    assert newer.generation == 2
    assert len(grant.server.refreshes) == 1


async def test_a_path_that_always_answers_401_does_not_spend_tokens(grant: World) -> None:
    managers = [await grant.authorized(), await grant.open()]
    for _ in range(100):
        for manager in managers:
            credential = manager.current()
            assert credential is not None
            await manager.rejected(credential.generation)
    assert len(grant.server.refreshes) == 1

    await grant.clock.advance(61)
    for manager in managers:
        await manager.rejected(2)

    assert len(grant.server.refreshes) == 2


async def test_a_failed_forced_refresh_passes_the_401_on(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.always = Answer(503)

    assert await manager.rejected(1) is None
    assert await manager.rejected(1) is None
    assert manager.current() is not None
    assert len(grant.server.refreshes) == 1


async def test_an_answer_without_refresh_token_keeps_the_old(grant: World) -> None:
    manager = await grant.authorized()
    before = (await grant.record()).tokens
    grant.server.script.append(Answer(change={"refresh_token": None}))
    await grant.clock.advance(1800)
    await manager.credential()

    after = (await grant.record()).tokens
    assert before is not None
    assert after is not None
    assert after.refresh_token == before.refresh_token
    assert after.refresh_issued_at == before.refresh_issued_at


async def test_the_intent_is_stored_before_the_token_leaves(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1800)
    grant.server.release = asyncio.Event()
    caller = asyncio.ensure_future(manager.credential())
    await grant.asked(2)
    during = await grant.record()
    grant.server.release.set()
    await caller

    after = await grant.record()
    assert during.intent is not None
    assert (during.generation, during.intent.generation) == (1, 1)
    assert (after.generation, after.intent) == (2, None)


async def test_a_store_that_takes_no_writes_keeps_the_token_unspent(grant: World) -> None:
    manager = await grant.authorized()
    failure = StoreError("/state/grants/default.json", "cannot be written: full", "free space")
    grant.store.failure = failure
    await grant.clock.advance(1799 - 200)
    assert manager.current() is not None
    await finish(manager)
    assert manager.current() is not None
    assert manager.readiness() is None
    assert manager.status().state == "degraded"
    assert "full" in str(manager.status().as_json(grant.clock.now())["warning"])
    await grant.clock.advance(300)
    await finish(manager)

    problem = await problem_of(manager)
    readiness = manager.readiness()
    assert readiness is not None
    assert problem.code == readiness.code == "store_unavailable"
    assert problem.retry_after is not None
    assert grant.server.refreshes == []

    grant.store.failure = None
    await grant.clock.advance(31)
    await finish(manager)
    assert manager.current() is not None
    assert len(grant.server.refreshes) == 1
    assert manager.status().state == "authorized"


class FullAfterSpending(MemoryStore):
    """Stores the intent and refuses the new pair, as long as it is told to."""

    full = False

    def write(self, account, record):
        if self.full and record.intent is None:
            raise StoreError("/state", "cannot be written", "check the disk")
        super().write(account, record)


async def test_a_new_pair_that_cannot_be_stored_is_held_and_not_used() -> None:
    async with world(store=FullAfterSpending()) as grant:
        manager = await grant.authorized()
        grant.store.full = True
        await grant.clock.advance(1800)

        assert (await problem_of(manager)).code == "store_unavailable"
        assert manager.current() is None
        grant.store.full = False
        await grant.clock.advance(2)
        await finish(manager)

        assert len(grant.server.refreshes) == 1
        credential = manager.current()
        assert credential is not None
        assert credential.generation == 2
        assert (await grant.record()).generation == 2


async def test_a_held_pair_is_stored_at_the_last_moment() -> None:
    async with world(store=FullAfterSpending()) as grant:
        manager = await grant.authorized()
        grant.store.full = True
        await grant.clock.advance(1800)
        await problem_of(manager)
        grant.store.full = False
        await manager.close()

        assert (await grant.record()).generation == 2


async def test_two_processes_at_expiry_spend_one_token(grant: World) -> None:
    managers = [await grant.authorized(), await grant.open(), await grant.open()]
    await grant.clock.advance(1800)
    credentials = await asyncio.gather(*(manager.credential() for manager in managers * 5))

    assert {credential.generation for credential in credentials} == {2}
    assert len(grant.server.refreshes) == 1


async def test_what_one_process_stores_the_others_see_in_five_seconds(grant: World) -> None:
    first, second = await grant.open(), await grant.open()
    changes: list[str] = []
    second.subscribe(lambda: changes.append(second.status().state))
    await first.exchange(Secret(grant.server.issue_code()))
    await grant.clock.advance(5)
    assert second.status().state == "authorized"
    await first.rejected(1)
    await grant.clock.advance(5)
    assert second.status().generation == 2
    await first.logout()
    await grant.clock.advance(5)

    assert second.status().reason == "logged_out"
    assert second.current() is None
    assert changes == ["authorized", "authorized", "login_required"]
    with pytest.raises(Problem, match="login_required"):
        await second.credential()


async def test_a_login_while_a_refresh_runs_keeps_one_history(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1600)
    manager.current()
    await asyncio.gather(manager.exchange(Secret(grant.server.issue_code())), finish(manager))

    assert manager.status().generation == 3
    assert (await grant.record()).generation == 3
    credential = manager.current()
    assert credential is not None
    assert credential.generation == 3


async def test_the_old_grant_serves_until_the_new_one_is_stored(grant: World) -> None:
    manager = await grant.authorized()
    grant.server.release = asyncio.Event()
    login = asyncio.ensure_future(manager.exchange(Secret(grant.server.issue_code())))
    await grant.asked(2)
    during = manager.current()
    grant.server.release.set()
    await login
    after = manager.current()

    assert during is not None
    assert after is not None
    assert (during.generation, after.generation) == (1, 2)


async def test_a_login_does_not_lose_its_code_to_a_store_that_is_broken(grant: World) -> None:
    manager = await grant.open()
    grant.store.data["default"] = b"garbage"

    with pytest.raises(StoreError):
        await manager.exchange(Secret(grant.server.issue_code()))

    assert grant.server.log == []
    assert grant.store.data["default"] == b"garbage"


async def test_a_code_that_is_refused_changes_nothing(grant: World) -> None:
    manager = await grant.authorized()
    with pytest.raises(TokenEndpointError) as caught:
        await manager.exchange(Secret("stolen"))

    assert caught.value.outcome is Outcome.INVALID_GRANT
    assert manager.status().state == "authorized"


# ── a token that lasts ──


async def test_a_token_asked_for_by_its_life_is_refreshed_where_it_must_be(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1799 - 320)
    assert token_of(await manager.lasting()) == token_of(await manager.credential())
    assert grant.server.refreshes == []

    lasting = await manager.lasting(600)

    assert lasting.generation == 2
    assert len(grant.server.refreshes) == 1
    assert (await manager.lasting(1700)).generation == 2


async def test_a_token_with_less_left_than_the_margin_is_refreshed_by_default(
    grant: World,
) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1799 - 5)

    assert (await manager.lasting()).generation == 2


async def test_a_life_that_no_token_has_costs_one_refresh_and_gives_none(grant: World) -> None:
    manager = await grant.authorized()

    with pytest.raises(Problem, match="issues none that lives longer"):
        await manager.lasting(3600)

    assert len(grant.server.refreshes) == 1


async def test_a_refresh_that_fails_gives_no_short_token(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1799 - 5)
    grant.server.always = Answer(503)

    with pytest.raises(Problem) as caught:
        await manager.lasting()

    assert caught.value.code == "token_endpoint_unavailable"
    assert len(grant.server.refreshes) == 1
    assert manager.current() is not None


# ── a code is presented once, by anybody ──


async def test_a_code_is_presented_once_by_all_processes_and_after_a_restart(
    grant: World,
) -> None:
    code = Secret(grant.server.issue_code())
    manager = await grant.open()
    await manager.exchange(code)

    for again in (manager, await grant.open()):
        with pytest.raises(Problem, match="the login succeeded then") as caught:
            await again.exchange(code)
        assert (caught.value.status, caught.value.reason) == (409, "already_taken")

    assert len(grant.server.log) == 1
    assert manager.current() is not None


async def test_a_login_that_failed_says_so_when_its_callback_is_opened_again(
    grant: World,
) -> None:
    manager = await grant.open()
    grant.server.script.append(Answer(500))
    with pytest.raises(TokenEndpointError):
        await manager.exchange(Secret("the-code"))

    with pytest.raises(Problem, match="did not succeed then: The token endpoint answered 500"):
        await (await grant.open()).exchange(Secret("the-code"))

    assert len(grant.server.log) == 1
    assert "the-code" not in repr(grant.store.codes)


async def test_a_code_that_cannot_be_noted_is_not_presented(grant: World) -> None:
    manager = await grant.open()
    grant.store.failure = StoreError("memory:default", "is full", "free space")

    with pytest.raises(StoreError):
        await manager.exchange(Secret(grant.server.issue_code()))

    assert grant.server.log == []
