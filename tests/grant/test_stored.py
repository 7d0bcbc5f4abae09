"""The stored token without an event loop: given only where the account would give the same."""

from pathlib import Path

import pytest

from proxy.grant.stored import stored_credential
from proxy.grant.stores.file import FileStore
from tests.support.granting import World

KEY = "an encryption key of some length"


@pytest.fixture
async def stored(grant: World, tmp_path: Path):
    """Log in to a file store; return what is read of it."""
    grant.store = FileStore(tmp_path, grant.clock)
    manager = await grant.authorized()

    def read(seconds: float | None = None, **sections: object):
        grant.sections = sections
        return stored_credential(grant.config(), "default", grant.clock, tmp_path, seconds)

    yield manager, read
    await grant.close()
    await grant.store.close()


async def test_a_good_token_is_the_one_that_the_account_gives(stored):
    manager, read = stored

    assert read() is not None
    assert read().lines == (await manager.lasting()).lines
    assert read(60).lines == (await manager.lasting(60)).lines


async def test_one_that_lasts_too_short_or_has_ended_is_left_to_the_account(stored, grant):
    _, read = stored
    assert read(86400) is None
    grant.clock.jump(1600)  # of 1800: less than the margin of 300 s is left
    assert read() is None
    assert read(60) is not None
    grant.clock.jump(200)
    assert read(0) is None


async def test_after_a_logout_there_is_none(stored):
    manager, read = stored
    await manager.logout()

    assert read(0) is None


@pytest.mark.parametrize(
    "sections",
    [
        {"oauth": {"client_id": "another-app"}},
        {"upstream": {"url": "https://elsewhere.example"}},
        {"oauth": {"grant_type": "client_credentials"}},
        {"tokens": {"encryption_key": KEY}},
        {"smart_token": "an-api-key"},
    ],
)
async def test_another_app_s_grant_and_other_kinds_are_left_to_the_account(stored, sections):
    _, read = stored
    assert read(0) is not None

    assert read(0, **sections) is None


@pytest.mark.parametrize("content", [None, b"", b"{}", b"not JSON"])
async def test_a_record_that_is_missing_or_unreadable_is_explained_by_the_account(
    stored, tmp_path, content
):
    _, read = stored
    file = tmp_path / "grants/default.json"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)

    assert read(0) is None
