"""The grant without the server: the same store, the same lease, opened for one command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proxy.cli.exits import CommandError, Exit
from proxy.cli.session import ACCOUNT, Session
from proxy.network import build_ssl_context, outbound_proxy

if TYPE_CHECKING:
    from proxy.tokens import TokenManager


@asynccontextmanager
async def open_account(
    session: Session, name: str, *, load: bool = True
) -> AsyncIterator["TokenManager"]:
    """Open an account's grant; what is under way is stored before it is closed.

    StoreError where the record cannot be read; without `load` it is not read here.
    """
    # Only for commands that need them: they are most of the program.
    from proxy.app import open_store
    from proxy.token_endpoint import TokenEndpoint
    from proxy.tokens import TokenManager

    if name != ACCOUNT:
        raise CommandError(f"there is no account {name!r}", Exit.USAGE)
    config, clock = session.config, session.clock
    store = open_store(config, session.state_folder, clock)
    endpoint = TokenEndpoint(
        config.oauth,
        clock,
        ssl_context=build_ssl_context(config.upstream.ca_file),
        proxy=outbound_proxy(config.oauth.token_endpoint, config.upstream.proxy, session.environ),
        connect_timeout=config.upstream.connect_timeout,
    )
    manager = TokenManager(name, store, endpoint, config, clock)
    try:
        if load:
            await manager.load()
        yield manager
    finally:
        await manager.close()
        await endpoint.close()
        await store.close()


def store_name(session: Session) -> str:
    """Say where the grant is kept; the URL of a Redis may hold a password and is not shown."""
    tokens = session.config.tokens
    if tokens.store == "redis":
        return f"Redis, keys {tokens.redis.prefix}*"
    return str(tokens.path or session.state_folder)
