"""The grant without the server: the same store, the same lease, opened for one command."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from proxy.cli.session import Session

if TYPE_CHECKING:
    from proxy.grant.live import Credential
    from proxy.grant.source import Account

T = TypeVar("T")


def on_account(
    session: Session, name: str, act: Callable[["Account"], Coroutine[Any, Any, T]]
) -> T:
    """Act on an account's grant, in an event loop of its own; StoreError as `open_account`."""
    from proxy.cli.loop import run_async

    async def run() -> T:
        async with open_account(session, name) as account:
            return await act(account)

    return run_async(run())


def lasting_credential(session: Session, name: str, seconds: float | None) -> "Credential":
    """Return a credential for so many seconds at least, refreshed first where it must be."""
    from proxy.grant.stored import stored_credential

    stored = stored_credential(session.config, name, session.clock, session.state_folder, seconds)
    return stored or on_account(session, name, lambda account: account.lasting(seconds))


@asynccontextmanager
async def open_account(session: Session, name: str) -> AsyncIterator["Account"]:
    """Open an account's grant; what is under way is stored before it is closed.

    StoreError where the record cannot be read.
    """
    async with open_every_account(session) as accounts:
        await accounts[name].load()
        yield accounts[name]


@asynccontextmanager
async def open_every_account(session: Session) -> AsyncIterator[Mapping[str, "Account"]]:
    """Open all accounts; none is read yet."""
    import logging

    from proxy.grant.accounts import (
        open_accounts,  # only for those who need it: most of the program
    )

    # The command says itself what went wrong; without a handler Python prints log lines as well.
    logging.getLogger("proxy.grant").addHandler(logging.NullHandler())
    async with open_accounts(
        session.config,
        session.clock,
        state_folder=session.state_folder,
        environ=session.environ,
    ) as accounts:
        yield accounts


def store_name(session: Session) -> str:
    """Say where the grant is kept; not with the password that the URL of a Redis may hold."""
    tokens = session.config.tokens
    if tokens.store == "redis" and tokens.redis.url is not None:
        from proxy.system.redis.address import parse_redis_url

        return f"{parse_redis_url(tokens.redis.url).place} {tokens.redis.prefix}*"
    return str(tokens.path or session.state_folder)
