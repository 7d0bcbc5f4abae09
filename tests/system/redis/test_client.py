"""The client of a real redis-server: TLS, ACL users, Sentinel, fail-over, and error texts."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.system.redis import RedisError, open_redis
from proxy.system.redis.client import RedisClient
from proxy.system.secret import Secret
from tests.support.certificates import Authority, make_authority
from tests.support.processes import free_port
from tests.support.redis_server import (
    RedisServer,
    Watched,
    redis_server,
    replicate,
    sentinel,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


async def write(client: RedisClient, value: str = "x") -> None:
    await client.run(lambda redis: redis.set("key", value))


async def refusal(url: str, ca_file: Path | None = None) -> RedisError:
    async with open_redis(Secret(url), ca_file) as client:
        with pytest.raises(RedisError) as caught:
            await write(client)
    return caught.value


async def test_tls_with_an_authority_and_a_client_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    pair = authority.pair("replica")
    with redis_server(tmp_path, tls=authority) as server:
        url = f"{server.url}?ssl_certfile={pair}&ssl_keyfile={pair}"
        async with open_redis(Secret(url), authority.path) as client:
            await write(client)

        without = await refusal(server.url, authority.path)
        strange = await refusal(url)
        wrong_name = await refusal(url.replace("localhost", "127.0.0.1"), authority.path)
        missing = await refusal(url, tmp_path / "missing.pem")

    assert "ssl_certfile" in without.remedy
    assert "tokens.redis.ca_file" in strange.remedy
    assert "certificate" in wrong_name.what
    assert "missing.pem" in missing.remedy


async def test_an_acl_user_and_its_password(server: RedisServer) -> None:
    server.client().acl_setuser(
        "narrow", enabled=True, passwords=["+p@ss/w"], keys=["key"], commands=["+set"]
    )
    host = f"127.0.0.1:{server.port}"
    async with open_redis(Secret(f"redis://narrow:p%40ss%2Fw@{host}")) as client:
        await write(client)
        with pytest.raises(RedisError, match="ACL") as caught:
            await client.run(lambda redis: redis.get("key"))

    assert caught.value.is_forbidden
    assert "password" in (await refusal(f"redis://narrow:wrong@{host}")).what


async def test_faults_of_the_network_are_told_apart(server: RedisServer) -> None:
    assert "refuses" in (await refusal(f"redis://127.0.0.1:{free_port()}")).what
    assert "not found" in (await refusal("redis://no-such-host.invalid")).what
    assert "TLS" in (await refusal(f"rediss://127.0.0.1:{server.port}")).remedy
    sentinels = await refusal(f"redis+sentinel://127.0.0.1:{free_port()}/main")
    assert "Sentinel" in sentinels.what


async def test_a_server_that_hangs_is_given_up_soon(server: RedisServer) -> None:
    began = time.monotonic()
    server.hang()
    try:
        hung = await refusal(server.url)
    finally:
        server.go_on()

    assert "does not answer" in hung.what
    assert time.monotonic() - began < 8


async def test_a_cluster_is_refused_with_a_word(tmp_path: Path) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis_server(tmp_path, options=options) as server:
        assert "cluster" in (await refusal(server.url)).what


async def test_a_replica_is_named_as_one(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica") as replica:
        replicate(replica, server)

        assert "read-only replica" in (await refusal(replica.url)).what


async def test_a_demoted_server_is_left_for_its_successor(
    server: RedisServer, tmp_path: Path
) -> None:
    """One name that leads elsewhere after a fail-over, as managed services have it."""
    (tmp_path / "second").mkdir()
    with redis_server(tmp_path / "second") as second:
        replicate(second, server)
        primary = server

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to = await asyncio.open_connection("127.0.0.1", primary.port)
            await asyncio.gather(copy(reader, to[1]), copy(to[0], writer))

        name = await asyncio.start_server(pass_on, "127.0.0.1")
        port = name.sockets[0].getsockname()[1]
        async with open_redis(Secret(f"redis://127.0.0.1:{port}")) as client:
            await write(client, "before")
            primary = second
            second.client().replicaof("NO", "ONE")
            replicate(server, second)

            await write(client, "after")

        name.close()
        assert second.client().get("key") == b"after"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with sentinel(tmp_path_factory.mktemp("sentinel")) as made:
        yield made


async def test_the_primary_that_sentinel_names_is_followed(watched: Watched) -> None:
    async with open_redis(Secret(watched.url)) as client:
        await write(client, "before")
        await asyncio.to_thread(watched.fail_over)

        await write(client, "after")

    assert watched.replica.client().get("key") == b"after"
    assert "mymaster" in client.place
    assert "mymaster-2" not in client.place
    assert "primary" in (await refusal(watched.url.replace("mymaster", "other"))).what
