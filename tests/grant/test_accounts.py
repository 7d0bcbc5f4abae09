"""Which store a configuration means, and grants opened for one command."""

from pathlib import Path

import aiohttp

from proxy.config import Config
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.grant.accounts import open_accounts, open_store
from proxy.grant.stores.file import FileStore
from proxy.grant.stores.redis import RedisStore
from tests.security.product import product
from tests.support.granting import token_of
from tests.support.proxying import LoopClock

OAUTH = {"client_id": "id", "client_secret": "a-secret-of-some-length"}


async def test_the_file_store_is_at_the_path_or_in_the_state_folder(tmp_path: Path) -> None:
    given = Config.build({"oauth": OAUTH, "tokens": {"path": str(tmp_path / "given")}})
    default = Config.build({"oauth": OAUTH})

    stores = [open_store(config, LoopClock(), tmp_path / "state") for config in (given, default)]

    assert all(isinstance(store, FileStore) for store in stores)
    assert [
        Path(store.where("default")).is_relative_to(tmp_path / folder)
        for store, folder in zip(stores, ("given", "state"), strict=True)
    ] == [True, True]
    for store in stores:
        await store.close()


async def test_redis_is_chosen_and_named_without_its_password(tmp_path: Path) -> None:
    url = "redis://user:hunter2hunter2@127.0.0.1:1/0"
    config = Config.build({"oauth": OAUTH, "tokens": {"store": "redis", "redis": {"url": url}}})

    store = open_store(config, LoopClock(), tmp_path)

    assert isinstance(store, RedisStore)
    assert "hunter2" not in store.where("default")
    await store.close()


async def test_opening_for_a_command_creates_no_grant(tmp_path: Path) -> None:
    config = Config.build({"oauth": OAUTH})

    async with open_accounts(config, LoopClock(), state_folder=tmp_path, environ={}) as accounts:
        status = accounts[DEFAULT_ACCOUNT].status()

    assert (status.state, status.reason) == ("login_required", "never_authorized")


async def test_an_encryption_key_keeps_tokens_out_of_the_file(tmp_path: Path) -> None:
    key = {"tokens": {"encryption_key": "sixteen or more characters"}}
    async with product(tmp_path, **key) as running, aiohttp.ClientSession() as session:
        await running.login(session)
        credential = await running.app.accounts[DEFAULT_ACCOUNT].credential()
        token = token_of(credential).encode()
        files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]

    assert files
    assert not [data for data in files if token in data]
