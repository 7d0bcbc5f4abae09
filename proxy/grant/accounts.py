"""The accounts of a configuration: store, token endpoint and managers put together.

Used by `proxy.app` and by commands that run without a server: both have the same store and lease.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.config import Config, OAuthConfig
from proxy.config.names import login_path
from proxy.grant.client_credentials import ClientCredentials
from proxy.grant.manager import TokenManager
from proxy.grant.smart_token import SmartToken
from proxy.grant.source import Account
from proxy.grant.stores.base import TokenStore
from proxy.grant.stores.file import FileStore
from proxy.grant.stores.record import Codec, PlainCodec
from proxy.grant.token_endpoint import TokenEndpoint
from proxy.system.clock import Clock
from proxy.system.dialing import Dialer
from proxy.system.network import build_ssl_context, outbound_proxy


def open_store(config: Config, clock: Clock, state_folder: Path) -> TokenStore:
    """Make the store that the configuration names; no I/O yet."""
    tokens = config.tokens
    codec: Codec = PlainCodec()
    if tokens.encryption_keys:
        from proxy.grant.stores.encryption import (
            EncryptingCodec,  # 8 MiB: only for those who need it
        )

        codec = EncryptingCodec(*tokens.encryption_keys)
    if tokens.store == "redis" and tokens.redis.url is not None:
        from proxy.grant.stores.redis import RedisStore  # needs the extra

        return RedisStore(
            tokens.redis.url, tokens.redis.prefix, clock, codec, ca_file=tokens.redis.ca_file
        )
    return FileStore(tokens.path or state_folder, clock, codec)


def open_endpoint(
    config: Config,
    clock: Clock,
    environ: Mapping[str, str],
    ssl_context: ssl.SSLContext | None = None,
    oauth: OAuthConfig | None = None,
) -> TokenEndpoint:
    """Build the client of an app's token endpoint; no connection is made yet."""
    oauth = oauth or config.oauth
    upstream, url = config.upstream, oauth.token_endpoint
    if ssl_context is None and upstream.ca_file is not None:
        ssl_context = build_ssl_context(upstream.ca_file)  # a bad file is an error at once
    dialer = Dialer(
        url,
        ssl_context or build_ssl_context,
        min(upstream.connect_timeout, oauth.timeout),
        outbound=outbound_proxy(url, upstream.proxy, environ),
        name="token endpoint",
        key="oauth.token_endpoint",
    )
    return TokenEndpoint(oauth, clock, dialer)


class Accounts(dict[str, Account]):
    """The accounts by name, and the store that they share."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        state_folder: Path,
        environ: Mapping[str, str],
        store: TokenStore | None = None,
        login_origin: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__()
        self._store = store or open_store(config, clock, state_folder)
        for name, account in config.accounts.items():
            if account.kind == "smart_token":
                self[name] = SmartToken(account)
                continue
            endpoint = open_endpoint(config, clock, environ, ssl_context, account.oauth)
            if account.kind == "client_credentials":
                self[name] = ClientCredentials(name, endpoint, config, clock)
                continue
            url = f"{login_origin}{login_path(name)}" if login_origin is not None else None
            self[name] = TokenManager(
                name, self._store, endpoint, config, clock, oauth=account.oauth, login_url=url
            )

    def configure(self, config: Config) -> None:
        """Apply what may change while running to the accounts that exist."""
        for name, account in config.accounts.items():
            if name in self and self[name].status().kind == account.kind:
                self[name].configure(account)

    async def start(self) -> None:
        """Read the grants and begin to refresh them."""
        for manager in self.values():
            await manager.start()

    async def close(self) -> None:
        """Wait until a refresh under way is stored, then close the store."""
        for manager in self.values():
            await manager.close()
        await self._store.close()


@asynccontextmanager
async def open_accounts(
    config: Config, clock: Clock, *, state_folder: Path, environ: Mapping[str, str]
) -> AsyncIterator[Mapping[str, Account]]:
    """Open the accounts for one command; nothing is read or refreshed until it asks."""
    accounts = Accounts(config, clock, state_folder=state_folder, environ=environ)
    try:
        yield accounts
    finally:
        await accounts.close()
