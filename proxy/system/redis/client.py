"""A client of Redis that follows a fail-over, never waits long, and raises RedisError alone.

Imported only where Redis is used: the extra `redis` brings redis-py.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import redis.exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from proxy.errors import ConfigurationError
from proxy.system.network import build_ssl_context
from proxy.system.redis.address import RedisAddress, parse_redis_url
from proxy.system.redis.failures import RedisError, explain
from proxy.system.secret import Secret

T = TypeVar("T")

TIMEOUT = 5.0  # seconds for a command, connecting included
SENTINEL_TIMEOUT = 1.5  # seconds for one Sentinel: the next may know
_ERRORS = (redis.exceptions.RedisError, OSError, TimeoutError)


class _Tls:
    """The TLS settings of a connection, made anew when a file of them was renewed."""

    def __init__(self, address: RedisAddress, ca_file: Path | None) -> None:
        self._ca_file = ca_file or address.ca_file
        self._cert_file, self._key_file = address.cert_file, address.key_file
        self._stamps: list[int] = []
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the settings; RedisError names a file that cannot be used."""
        files = [file for file in (self._ca_file, self._cert_file, self._key_file) if file]
        try:
            stamps = [file.stat().st_mtime_ns for file in files]
            if self._context is None or stamps != self._stamps:
                context = build_ssl_context(self._ca_file)
                context.set_alpn_protocols([])  # which are of HTTP
                if self._cert_file is not None:
                    context.load_cert_chain(self._cert_file, self._key_file)
                self._context, self._stamps = context, stamps
        except (OSError, ConfigurationError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            names = ", ".join(str(file) for file in files)
            raise RedisError(
                f"cannot be called by TLS: a file cannot be used ({reason})",
                f"see {names}: tokens.redis.ca_file, and ssl_certfile and ssl_keyfile of "
                "tokens.redis.url",
            ) from None
        return self._context


class _Verified:
    """Puts our own TLS settings in the place of redis-py's (network.build_ssl_context says why)."""

    host: str
    port: int

    def __init__(self, *, tls: _Tls, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self._tls.context()}


class _VerifiedConnection(_Verified, SSLConnection):
    pass


class _VerifiedPrimaryConnection(_Verified, SentinelManagedSSLConnection):
    pass


class RedisClient:
    """One Redis, or the primary that Sentinel names."""

    def __init__(self, url: Secret, ca_file: Path | None = None) -> None:
        address = parse_redis_url(url)
        self.place = address.place
        self._sentinels: list[Redis] = []
        self._client = self._open(address, ca_file)

    def _open(self, address: RedisAddress, ca_file: Path | None) -> Redis:
        tls: dict[str, Any] = {"tls": _Tls(address, ca_file)} if address.tls else {}
        common: dict[str, Any] = {
            "protocol": 2,
            # No retry: a write that was done would find its own record changed.
            "retry": Retry(NoBackoff(), 0),
        }
        options: dict[str, Any] = {
            **common,
            "db": address.number,
            "username": address.username,
            "password": address.password and address.password.reveal(),
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
        }
        kind = _VerifiedConnection if tls else Connection
        if address.socket is not None:
            pool = ConnectionPool(UnixDomainSocketConnection, path=address.socket, **options)
            return Redis.from_pool(pool)
        if address.service is None:
            ((host, port),) = address.hosts
            return Redis.from_pool(ConnectionPool(kind, host=host, port=port, **options, **tls))
        asking: dict[str, Any] = {
            **common,
            "username": address.sentinel_username,
            "password": address.sentinel_password and address.sentinel_password.reveal(),
            "socket_timeout": SENTINEL_TIMEOUT,
            "socket_connect_timeout": SENTINEL_TIMEOUT,
        }
        self._sentinels = [
            Redis.from_pool(ConnectionPool(kind, host=host, port=port, **asking, **tls))
            for host, port in address.hosts
        ]
        sentinel = Sentinel([])  # type: ignore[no-untyped-call]
        # Sentinel's constructor takes no class of connection.
        sentinel.sentinels = list(self._sentinels)
        managed = _VerifiedPrimaryConnection if tls else SentinelManagedConnection
        primary: Redis = sentinel.master_for(
            address.service, connection_class=managed, **options, **tls
        )
        return primary

    async def run(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Await a command of redis-py's; whatever fails is a RedisError.

        A server that was demoted to a replica is left: the next connection asks DNS or Sentinel
        anew, and the command, which had no effect, is sent once more.
        """
        try:
            async with asyncio.timeout(TIMEOUT + 1):
                try:
                    return await command(self._client)
                except _ERRORS as error:
                    if not _is_demoted(error):
                        raise
                    await self._client.connection_pool.disconnect(inuse_connections=False)
                    return await command(self._client)
        except _ERRORS as error:
            raise explain(error) from None

    async def aclose(self) -> None:
        """Close all connections."""
        for client in (self._client, *self._sentinels):
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _is_demoted(error: BaseException) -> bool:
    # By way of Sentinel redis-py makes a ConnectionError of it.
    while not isinstance(error, redis.exceptions.ReadOnlyError):
        if error.__context__ is None:
            return False
        error = error.__context__
    return True
