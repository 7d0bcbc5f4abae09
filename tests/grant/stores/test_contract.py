"""One suite for all stores: what `proxy.grant.stores.base` promises."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import StoreError
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.encryption import EncryptingCodec
from proxy.grant.stores.record import PlainCodec, RecordError, from_json, to_envelope, to_json
from proxy.system.secret import Secret
from tests.grant.stores.conftest import STORES, Place, cheap_codec, make_record

Open = Callable[[], Awaitable[TokenStore]]
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
async def open_store(place: Place) -> AsyncIterator[Open]:
    opened: list[TokenStore] = []

    async def open_one() -> TokenStore:
        store = place.open()
        opened.append(store)
        await store.start()
        return store

    yield open_one
    for store in opened:
        await store.close()


@asynccontextmanager
async def leased(store: TokenStore, patience: float = 5.0) -> AsyncIterator[object]:
    async with store.lease("default", patience) as lease:
        yield lease


async def test_nothing_stored_is_no_record_and_no_error(open_store: Open) -> None:
    store = await open_store()

    assert await store.load("default") is None
    async with store.lease("default", 5) as lease:
        assert await lease.load() is None


async def test_what_was_saved_is_read_back_by_another_process(open_store: Open) -> None:
    first, second = await open_store(), await open_store()
    record = make_record()
    async with first.lease("default", 5) as lease:
        await lease.save(record)

    found = await second.load("default")

    assert found is not None
    assert to_json(found) == to_json(record)


def test_a_record_from_before_the_login_was_dated_is_still_read() -> None:
    record = make_record()
    plain = to_json(record)
    del plain["granted_at"]

    assert to_json(from_json(plain)) == {**to_json(record), "granted_at": None}


async def test_a_record_of_version_1_is_still_read(place: Place) -> None:
    suffix = "-encrypted" if place.kind.endswith("+key") else ""
    place.put((DATA / f"record-v1{suffix}.json").read_bytes())
    store = place.open()

    found = await store.load("default")

    assert found is not None
    assert (found.generation, found.subject, found.bound) == (7, "Ana Özdemir", None)
    assert found.tokens is not None
    assert found.tokens.access_token.reveal() == "access-canary-7"
    await store.close()


async def test_a_record_without_a_grant_keeps_its_reason(open_store: Open) -> None:
    store = await open_store()
    record = make_record(tokens=None, intent=None, subject=None)
    async with store.lease("default", 5) as lease:
        await lease.save(record)

    found = await store.load("default")

    assert found is not None
    assert to_json(found) == to_json(record)


async def test_the_stamp_differs_after_every_write(open_store: Open) -> None:
    store, other = await open_store(), await open_store()
    stamps = [await other.stamp("default")]
    for generation in (1, 2, 3):
        async with store.lease("default", 5) as lease:
            await lease.save(make_record(generation))
        stamps.append(await other.stamp("default"))

    assert len(set(stamps)) == 4
    assert await other.stamp("default") == stamps[-1]


async def test_one_process_at_a_time_has_the_lease(open_store: Open) -> None:
    stores = [await open_store() for _ in range(4)]
    holders = most = 0

    async def hold(store: TokenStore) -> None:
        nonlocal holders, most
        async with store.lease("default", 20):
            holders += 1
            most = max(most, holders)
            await asyncio.sleep(0.01)
            holders -= 1

    await asyncio.gather(*(hold(store) for store in stores for _ in range(3)))

    assert most == 1


async def test_two_accounts_do_not_wait_for_each_other(open_store: Open) -> None:
    store = await open_store()

    async with store.lease("default", 5), store.lease("other", 5) as lease:
        assert await lease.load() is None


async def test_a_lease_that_was_cancelled_is_free_again(open_store: Open) -> None:
    store, other = await open_store(), await open_store()
    held = asyncio.Event()

    async def hold() -> None:
        async with store.lease("default", 5):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(hold())
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with other.lease("default", 5) as lease:
        assert await lease.load() is None


async def test_generations_written_in_turn_are_all_there(open_store: Open) -> None:
    stores = [await open_store() for _ in range(3)]

    async def count(store: TokenStore) -> None:
        for _ in range(5):
            async with store.lease("default", 20) as lease:
                record = await lease.load()
                await lease.save(make_record((record.generation if record else 0) + 1))

    await asyncio.gather(*(count(store) for store in stores))

    record = await stores[0].load("default")
    assert record is not None
    assert record.generation == 15


async def test_a_copy_set_aside_leaves_the_record_alone(open_store: Open) -> None:
    store = await open_store()
    async with store.lease("default", 5) as lease:
        await lease.save(make_record(1))
        await lease.set_aside(make_record(1))
        await lease.set_aside(make_record(1))

    record = await store.load("default")

    assert record is not None
    assert record.generation == 1


@pytest.mark.parametrize("place", [kind for kind in STORES if "+" in kind], indirect=True)
async def test_a_key_is_changed_without_a_login(place: Place, open_store: Open) -> None:
    old, new = (Secret(f"{name}-encryption-key-0123") for name in ("old", "new"))
    place.put(EncryptingCodec(old, cost=16).seal(make_record(1)))
    store: Any = await open_store()
    store._codec = EncryptingCodec(new, old, cost=16)
    record = await store.load("default")
    with pytest.raises(RecordError):
        EncryptingCodec(new, cost=16).unseal("default", place.raw() or b"")

    async with store.lease("default", 5) as lease:
        await lease.save(record)

    unsealed = EncryptingCodec(new, cost=16).unseal("default", place.raw() or b"")
    assert to_json(unsealed) == to_json(make_record(1))


def _envelope(version: int, grant: dict[str, Any]) -> bytes:
    text = json.dumps(grant, sort_keys=True, separators=(",", ":"))
    check = hashlib.sha256(text.encode()).hexdigest()
    envelope = {**to_envelope(make_record()), "version": version, "check": check, "grant": grant}
    return json.dumps(envelope).encode()


def _with_unknown_member() -> bytes:
    return _envelope(2, {**to_json(make_record()), "of_tomorrow": 1})


def test_a_record_of_version_1_is_read_and_written_as_version_2() -> None:
    grant = to_json(make_record(bound=None))
    del grant["bound"]
    first = _envelope(1, {**grant, "previous": grant["tokens"]})

    record = PlainCodec().unseal("default", first)

    assert to_json(record) == {**grant, "bound": None}
    assert json.loads(PlainCodec().seal(record))["version"] == 2


@pytest.mark.parametrize(
    "newer",
    [
        b'{"format": "smartrecruiters-proxy grant", "version": 3, "grant": {}}',
        b'{"format": "smartrecruiters-proxy grant", "version": 3, "encrypted": {}}',
        _with_unknown_member(),
    ],
)
def test_a_record_of_the_next_version_is_refused_with_a_clear_word(newer: bytes) -> None:
    with pytest.raises(RecordError, match="newer version of the program"):
        PlainCodec().unseal("default", newer)


BROKEN = {
    "empty": b"",
    "blank": b"  \n",
    "truncated": PlainCodec().seal(make_record())[:-40],
    "half": PlainCodec().seal(make_record())[:300],
    "zeros": b"\0" * 800,
    "another_format": b'{"format": "something else", "version": 1}',
    "no_version": b'{"format": "smartrecruiters-proxy grant"}',
    "newer": b'{"format": "smartrecruiters-proxy grant", "version": 3, "grant": {}}',
    "damaged": PlainCodec().seal(make_record()).replace(b"access-canary-1", b"access-canary-2"),
    "another_account": PlainCodec().seal(make_record(account="other")),
    "list": b"[]",
    "deep": b"[" * 100_000,
    "huge": b" " * (1024 * 1024 + 1) + b"{}",
    "wrong_key": cheap_codec("another-key-0123456789").seal(make_record()),
}


@pytest.mark.parametrize("damage", BROKEN)
async def test_what_cannot_be_read_is_an_error_and_never_overwritten(
    place: Place, open_store: Open, damage: str
) -> None:
    store = await open_store()
    place.put(BROKEN[damage])

    with pytest.raises(StoreError) as caught:
        await store.load("default")
    with pytest.raises(StoreError):
        async with store.lease("default", 5) as lease:
            await lease.save(make_record())

    assert place.raw() == BROKEN[damage]
    assert store.where("default").rpartition("/")[2] in caught.value.where
    assert caught.value.remedy
    assert "canary" not in str(caught.value)


async def test_a_record_of_the_other_mode_is_a_clear_error(place: Place, open_store: Open) -> None:
    encrypted = place.kind.endswith("+key")
    other = PlainCodec() if encrypted else cheap_codec()
    place.put(other.seal(make_record()))
    store = await open_store()

    with pytest.raises(StoreError, match="encryption_key"):
        await store.load("default")


async def test_an_encrypted_record_shows_nothing(place: Place, open_store: Open) -> None:
    store = await open_store()
    async with store.lease("default", 5) as lease:
        await lease.save(make_record())

    raw = place.raw()

    assert raw is not None
    assert (b"canary" in raw) is not place.kind.endswith("+key")


async def test_a_lease_in_use_is_an_error_after_the_patience(open_store: Open) -> None:
    store = await open_store()

    async with store.lease("default", 5):
        with pytest.raises(StoreError):
            async with store.lease("default", 0.05):
                raise AssertionError("two leases")  # pragma: no cover


async def test_a_code_is_taken_once_by_all_processes(open_store: Open) -> None:
    first, second = await open_store(), await open_store()

    taken = await asyncio.gather(
        *(store.take_code("default", "d" * 32) for store in (first, second))
    )

    assert sorted(taken, key=str) == ["", None]
    await first.note_code("default", "d" * 32, "succeeded")
    assert await second.take_code("default", "d" * 32) == "succeeded"
    assert await second.take_code("default", "e" * 32) is None
    assert await second.take_code("other", "d" * 32) is None
    assert await second.load("default") is None
