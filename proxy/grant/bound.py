"""A grant belongs to the app and the servers it was given for (rule 9 of the grant).

`BoundStore` stands between a TokenManager and its store. A record that is bound to another app is
shown as one without a grant, with the reason `other_app`, so that nothing of it can be sent,
refreshed, exported or named. Writing over it, as a login does, sets it aside first.
"""

from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from proxy.config import Config, OAuthConfig
from proxy.grant.stores.base import Lease, TokenStore
from proxy.grant.stores.record import Binding, Ended, Record
from proxy.system.origin import DEFAULT_PORTS, build_origin

OTHER_APP = "other_app"


def binding_of(config: Config, oauth: OAuthConfig | None = None) -> Binding:
    """Return what a grant of an app is bound to; equivalent URLs give equal bindings."""
    oauth = oauth or config.oauth
    endpoint = urlsplit(oauth.token_endpoint)
    path = f"{endpoint.path}?{endpoint.query}" if endpoint.query else endpoint.path
    return Binding(
        oauth.client_id,
        _origin(oauth.token_endpoint) + (path or "/"),
        _origin(config.upstream.url),
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = None if parts.port == DEFAULT_PORTS[parts.scheme] else parts.port
    return build_origin(host, port, tls=parts.scheme == "https")


class BoundStore:
    """A store that hides the grants of other apps."""

    def __init__(self, store: TokenStore, binding: Binding) -> None:
        self._store = store
        self.binding = binding
        self.may_forget = store.may_forget

    def seen(self, record: Record | None, where: str | None = None) -> Record | None:
        """Return a record, another app's with its grant hidden; `where` is its place for people."""
        if record is None or record.tokens is None or not self.is_foreign(record):
            return record
        where = where or self._store.where(record.account)
        ended = Ended(OTHER_APP, record.tokens.issued_at, self._explain(record, where))
        return Record(record.account, record.generation, None, ended=ended)

    def is_foreign(self, record: Record) -> bool:
        """Tell whether a record is bound to something else; one of version 1 is not yet bound."""
        return record.bound is not None and record.bound != self.binding

    def _explain(self, record: Record, where: str) -> str:
        theirs, ours = record.bound, self.binding
        assert theirs is not None  # noqa: S101 - it is foreign
        pairs = (
            ("the app", theirs.client_id, ours.client_id),
            ("the token endpoint", theirs.token_endpoint, ours.token_endpoint),
            ("the upstream", theirs.upstream, ours.upstream),
        )
        differing = [(what, was, here) for what, was, here in pairs if was != here]
        was = " and ".join(f"{what} {was}" for what, was, _ in differing)
        here = " and ".join(here for _, _, here in differing)
        return (
            f"The grant in {where} was given for {was}, and this "
            f"configuration names {here}. Nothing of it was sent or changed. Log in, which sets it "
            "aside; or give this configuration a tokens.path (for Redis, a prefix) of its own; or "
            "go back to the other configuration, with which it works again."
        )

    async def start(self) -> Sequence[str]:
        """Prove that the place can be written."""
        return await self._store.start()

    async def warnings(self) -> Sequence[str]:
        """Return what `start` warns of."""
        return await self._store.warnings()

    async def load(self, account: str) -> Record | None:
        """Read a record, with another app's grant hidden."""
        return self.seen(await self._store.load(account))

    async def stamp(self, account: str) -> Hashable:
        """Return what changes with every write."""
        return await self._store.stamp(account)

    @asynccontextmanager
    async def lease(self, account: str, patience: float) -> AsyncIterator["BoundLease"]:
        """Wait for the lease."""
        async with self._store.lease(account, patience) as lease:
            yield BoundLease(self, lease)

    async def take_code(self, account: str, name: str) -> str | None:
        """Take a login's code, once."""
        return await self._store.take_code(account, name)

    async def note_code(self, account: str, name: str, outcome: str) -> None:
        """Note how the login of a code came out."""
        await self._store.note_code(account, name, outcome)

    def where(self, account: str) -> str:
        """Name the record's place for people."""
        return self._store.where(account)


class BoundLease:
    """A lease that hides another app's grant, sets it aside before a write, and binds new ones."""

    def __init__(self, store: BoundStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._foreign: Record | None = None
        self._generation = 0

    async def load(self) -> Record | None:
        """Read the record, with another app's grant hidden."""
        return self._see(await self._lease.load())

    def _see(self, record: Record | None) -> Record | None:
        is_foreign = record is not None and record.tokens and self._store.is_foreign(record)
        self._foreign = record if is_foreign else None
        self._generation = record.generation if record else 0
        return self._store.seen(record)

    async def save(self, record: Record) -> None:
        """Replace the record; a new generation is bound to this configuration."""
        if self._foreign is not None:
            await self._lease.set_aside(self._foreign)
            self._foreign = None
        if record.tokens is not None and record.generation > self._generation:
            record = replace(record, bound=self._store.binding)
        await self._lease.save(record)
        self._generation = record.generation

    async def prepare(self) -> None:
        """Make ready for the save of a new generation."""
        await self._lease.prepare()

    async def regain(self) -> Record | None:
        """Have the lease again after a failed save, and read the record again."""
        return self._see(await self._lease.regain())

    async def set_aside(self, record: Record) -> str:
        """Keep a copy under another name, which is returned."""
        return await self._lease.set_aside(record)

    def ensure_held(self) -> None:
        """Raise StoreError unless the lease lasts long enough."""
        self._lease.ensure_held()
