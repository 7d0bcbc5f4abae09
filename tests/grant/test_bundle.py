"""A grant moves to another machine, and there is one copy of it at a time."""

import pytest

from proxy.errors import GrantEnded, Problem, StoreError, TokenEndpointError
from proxy.grant.oauth import TokenSet
from proxy.grant.stores.record import to_json
from proxy.system.secret import Secret
from tests.support.authorization_server import Answer
from tests.support.granting import World, token_of
from tests.support.memory_store import MemoryStore

PASSPHRASE = Secret("a passphrase for the journey")


async def exported(grant: World) -> bytes:
    manager = await grant.authorized()
    bundles: list[bytes] = []
    await manager.export(PASSPHRASE, bundles.append)
    return bundles[0]


async def test_export_retires_the_local_copy(grant: World) -> None:
    bundle = await exported(grant)

    restarted = await grant.open()
    assert (restarted.status().state, restarted.status().reason) == ("login_required", "logged_out")
    assert "exported" in (restarted.status().detail or "")
    assert len(grant.store.aside) == 1
    assert b"refresh-" not in bundle


async def test_import_refreshes_at_once_and_serves(grant: World) -> None:
    bundle = await exported(grant)
    other = await grant.open(MemoryStore())
    await other.import_bundle(bundle, PASSPHRASE)

    assert len(grant.server.refreshes) == 1
    assert (other.status().state, other.status().generation) == ("authorized", 2)
    assert other.current() is not None


async def test_a_bundle_used_twice_is_found_out(grant: World) -> None:
    bundle = await exported(grant)
    await (await grant.open(MemoryStore())).import_bundle(bundle, PASSPHRASE)

    with pytest.raises(GrantEnded, match="another copy"):
        await (await grant.open(MemoryStore())).import_bundle(bundle, PASSPHRASE)


@pytest.mark.parametrize("before", ["nothing", "logged_out", "revoked"])
@pytest.mark.parametrize("fault", ["spent", "unavailable", "lost"])
async def test_a_refused_import_leaves_what_was_there(
    grant: World, before: str, fault: str
) -> None:
    bundle = await exported(grant)
    store = MemoryStore()
    other = await grant.open(store)
    if before != "nothing":
        await other.exchange(Secret(grant.server.issue_code()))
    if before == "logged_out":
        await other.logout()
    elif before == "revoked":
        grant.server.script.append(Answer(400, b'{"error": "invalid_grant"}'))
        await other.rejected(1)
    if fault == "spent":
        await (await grant.open(MemoryStore())).import_bundle(bundle, PASSPHRASE)
    else:
        grant.server.script.append(Answer(503) if fault == "unavailable" else Answer(cut=True))
    there, status = dict(store.data), other.status()

    with pytest.raises((GrantEnded, TokenEndpointError)):
        await other.import_bundle(bundle, PASSPHRASE)

    assert store.data == there
    assert (other.status().state, other.status().reason) == (status.state, status.reason)
    if fault == "unavailable":
        await other.import_bundle(bundle, PASSPHRASE)
        assert other.status().state == "authorized"


@pytest.mark.parametrize("damage", ["passphrase", "flip", "empty", "cut"])
async def test_a_bad_bundle_changes_nothing(grant: World, damage: str) -> None:
    bundle = await exported(grant)
    passphrase = Secret("another passphrase") if damage == "passphrase" else PASSPHRASE
    damaged = {
        "passphrase": bundle,
        "empty": b"",
        "cut": bundle[:-30],
        "flip": bundle.replace(b'data": "', b'data": "A'),
    }
    bundle = damaged[damage]
    other = await grant.open(MemoryStore())

    with pytest.raises(StoreError, match="bundle"):
        await other.import_bundle(bundle, passphrase)

    assert grant.server.refreshes == []
    assert other.status().reason == "never_authorized"


async def test_a_living_grant_is_not_replaced(grant: World) -> None:
    bundle = await exported(grant)
    other = await grant.open(MemoryStore())
    await other.exchange(Secret(grant.server.issue_code()))

    with pytest.raises(StoreError, match="already"):
        await other.import_bundle(bundle, PASSPHRASE)

    assert grant.server.refreshes == []


async def test_a_bundle_that_cannot_be_delivered_retires_nothing(grant: World) -> None:
    manager = await grant.authorized()

    def deliver(_: bytes) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await manager.export(PASSPHRASE, deliver)

    assert manager.status().state == "authorized"


async def test_without_a_grant_there_is_nothing_to_export(grant: World) -> None:
    manager = await grant.open()

    with pytest.raises(GrantEnded):
        await manager.export(PASSPHRASE, lambda _: None)


async def test_logout_sets_the_record_aside_and_remembers_why(grant: World) -> None:
    manager = await grant.authorized()
    await manager.logout()
    await manager.logout()

    assert manager.current() is None
    assert len(grant.store.aside) == 1
    assert (await grant.open()).status().reason == "logged_out"
    assert manager.status().as_json(0)["access_token"] is None


async def test_a_grant_knows_when_it_was_given_wherever_it_goes(grant: World) -> None:
    manager = await grant.authorized()
    given = manager.status().granted_at
    await grant.clock.advance(60)
    await manager.rejected(1)
    bundles: list[bytes] = []
    await manager.export(PASSPHRASE, bundles.append)
    other = await grant.open(MemoryStore())
    await other.import_bundle(bundles[0], PASSPHRASE)

    assert given is not None
    assert (other.status().granted_at, manager.status().granted_at) == (given, None)
    await grant.clock.advance(60)
    await other.exchange(Secret(grant.server.issue_code()))
    assert other.status().granted_at == given + 120


async def test_what_is_not_admitted_replaces_nothing_until_it_is_taken(grant: World) -> None:
    manager = await grant.authorized()
    before = await grant.record()
    refused: list[TokenSet] = []

    async def admit(fresh: TokenSet) -> str | None:
        refused.append(fresh)
        raise Problem("bad_request", "Another user's.")

    with pytest.raises(Problem, match="Another"):
        await manager.exchange(Secret(grant.server.issue_code()), None, admit)

    assert to_json(await grant.record()) == to_json(before)
    await manager.take(refused[0], "Mallory")
    assert (manager.status().generation, manager.status().subject) == (2, "Mallory")
    credential = manager.current()
    assert credential is not None
    assert token_of(credential) == refused[0].access_token.reveal()


async def test_an_admitted_login_is_stored_with_whose_it_is(grant: World) -> None:
    manager = await grant.authorized()

    async def admit(fresh: TokenSet) -> str | None:
        return "Ana Özdemir"

    await manager.exchange(Secret(grant.server.issue_code()), None, admit)
    # An answer about the earlier grant that comes late does not rename this one.
    await manager.set_subject("Somebody Earlier")

    assert (await grant.record()).subject == manager.status().subject == "Ana Özdemir"


async def test_the_subject_stays_with_the_grant_until_another_login(grant: World) -> None:
    manager = await grant.authorized()
    await manager.set_subject("Ana Özdemir")
    await manager.rejected(1)
    assert (await grant.open()).status().subject == "Ana Özdemir"
    await manager.exchange(Secret(grant.server.issue_code()))

    assert manager.status().subject is None
