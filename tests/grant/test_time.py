"""Clocks that jump, machines that sleep, lifetimes that make no sense."""

import logging

import pytest

from proxy.system.secret import Secret
from tests.support.authorization_server import Answer
from tests.support.granting import World, finish, world

JUMPS = (7200, -7200, 30 * 86400, -30 * 86400)


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_clock_that_jumps_costs_at_most_one_refresh(grant: World, jump: float) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(600)
    grant.clock.jump(jump)
    for _ in range(20):
        await grant.clock.advance(10)
        manager.current() or await manager.credential()
        await finish(manager)
    grant.clock.jump(-jump)
    for _ in range(20):
        await grant.clock.advance(10)
        manager.current() or await manager.credential()
        await finish(manager)

    assert len(grant.server.refreshes) <= 1
    assert manager.status().state == "authorized"


@pytest.mark.parametrize("jump", JUMPS)
async def test_no_expired_token_is_handed_out_after_a_jump(grant: World, jump: float) -> None:
    manager = await grant.authorized()
    grant.clock.jump(jump)
    await grant.clock.advance(1799)

    credential = manager.current()

    assert credential is None or credential.generation > 1


async def test_a_suspend_is_noticed(grant: World) -> None:
    manager = await grant.authorized()
    grant.clock.jump(3600)  # the monotonic clock stands still meanwhile

    assert manager.current() is None
    assert (await manager.credential()).generation == 2


async def test_reading_the_same_token_again_does_not_prolong_it(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1700)
    grant.clock.jump(-86400)
    record = await grant.record()
    async with grant.store.lease("default", 1) as lease:
        await lease.save(record)
    await grant.clock.advance(100)

    assert manager.current() is None


@pytest.mark.parametrize(
    ("value", "lifetime"),
    [("600", 600), (600.5, 600.5), (None, 1799), (0, 1799), (-5, 1799), ("soon", 1799),
     (True, 1799), ([], 1799), (1e300, 86400), ("1e9", 86400), ("nan", 1799), ("inf", 86400)],
)  # fmt: skip
async def test_a_strange_lifetime_is_taken_with_sense(
    grant: World, value: object, lifetime: float
) -> None:
    manager = await grant.open()
    grant.server.script.append(Answer(change={"expires_in": value}))
    await manager.exchange(Secret(grant.server.issue_code()))

    tokens = (await grant.record()).tokens
    assert tokens is not None
    assert tokens.lifetime == pytest.approx(lifetime)
    assert manager.current() is not None


async def test_the_end_is_announced_at_seven_three_and_one_days(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(sections={"tokens": {"idle_refresh": 28 * 86400}}) as grant:
        manager = await grant.authorized()
        seen = []
        with caplog.at_level(logging.WARNING, "proxy.grant.trouble"):
            for _ in range(27):
                grant.clock.jump(86400)
                await grant.clock.advance(5)
                seen.append("warning" in manager.status().as_json(grant.clock.now()))

    days = [record.args[1] for record in caplog.records if "grant_ending" in record.msg]  # type: ignore[index]
    assert days == [7, 3, 1]
    assert seen == [False] * 20 + [True] * 7


async def test_idle_refresh_looks_at_the_monotonic_clock_too() -> None:
    async with world(sections={"tokens": {"idle_refresh": 86400}}) as grant:
        manager = await grant.authorized()
        grant.clock.jump(-20 * 86400)
        await grant.clock.advance(90000)
        await finish(manager)

        assert manager.status().generation == 2


async def test_the_status_has_the_documented_form(grant: World) -> None:
    manager = await grant.authorized()
    await grant.clock.advance(1790)
    manager.current()
    await finish(manager)

    account = manager.status().as_json(grant.clock.now())

    assert account == {
        "name": "default",
        "kind": "authorization_code",
        "state": "authorized",
        "reason": None,
        "scopes": [],
        "generation": 2,
        "access_token": {
            "issued_at": "2026-09-21T14:43:10Z",
            "expires_at": "2026-09-21T15:13:09Z",
            "expires_in": 1799,
        },
        "refresh_token": {
            "issued_at": "2026-09-21T14:43:10Z",
            "expires_at": "2026-10-19T14:43:10Z",
            "expires_in": 2419200,
        },
        "last_refresh": {
            "at": "2026-09-21T14:43:10Z",
            "outcome": "ok",
            "code": None,
            "detail": None,
        },
        "granted_at": "2026-09-21T14:13:20Z",
    }


async def test_a_clock_that_was_set_back_shows_no_longer_life(grant: World) -> None:
    manager = await grant.authorized()
    shown = manager.status().as_json(grant.clock.now() - 40 * 86400)

    assert shown["access_token"]["expires_in"] <= 1799
    assert shown["refresh_token"]["expires_in"] <= 28 * 86400
