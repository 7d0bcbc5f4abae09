"""A store in memory, for tests: keeps the contract of `proxy.grant.stores.base` but the disk."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager

from proxy.errors import StoreError
from proxy.grant.stores.record import Codec, PlainCodec, Record, RecordError


class MemoryStore:
    """Records in a dictionary, as bytes, so that they are read back as from any other store."""

    may_forget = False

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec = codec or PlainCodec()
        self.data: dict[str, bytes] = {}
        self.aside: list[bytes] = []
        self.codes: dict[tuple[str, str], str] = {}
        # Set to fail every write, as a full disk does.
        self.failure: StoreError | None = None
        self._writes: defaultdict[str, int] = defaultdict(int)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> Sequence[str]:
        """Warn of nothing."""
        return ()

    async def warnings(self) -> Sequence[str]:
        """Warn of nothing."""
        return ()

    async def load(self, account: str) -> Record | None:
        """Read a record."""
        data = self.data.get(account)
        if data is None:
            return None
        try:
            return self._codec.unseal(account, data)
        except RecordError as error:
            raise StoreError(self.where(account), error.what, error.remedy) from None

    async def stamp(self, account: str) -> Hashable:
        """Return the number of writes."""
        return self._writes[account], account in self.data

    @asynccontextmanager
    async def lease(self, account: str, patience: float) -> AsyncIterator["MemoryLease"]:
        """Wait for the account's lock."""
        lock = self._locks[account]
        try:
            async with asyncio.timeout(patience):
                await lock.acquire()
        except TimeoutError:
            raise StoreError(self.where(account), "is in use", "try again") from None
        try:
            yield MemoryLease(self, account)
        finally:
            lock.release()

    async def take_code(self, account: str, name: str) -> str | None:
        """Take a code, or return what was noted of it."""
        if self.failure is not None:
            raise self.failure
        found = self.codes.get((account, name))
        self.codes.setdefault((account, name), "")
        return found

    async def note_code(self, account: str, name: str, outcome: str) -> None:
        """Note how the login of a code came out."""
        self.codes[account, name] = outcome

    def where(self, account: str) -> str:
        """Name the place."""
        return f"memory:{account}"

    async def close(self) -> None:
        """Do nothing."""

    def write(self, account: str, record: Record) -> None:
        """Replace a record, for the lease."""
        if self.failure is not None:
            raise self.failure
        self.data[account] = self._codec.seal(record)
        self._writes[account] += 1

    def keep(self, record: Record) -> str:
        """Keep a copy, for the lease."""
        if self.failure is not None:
            raise self.failure
        self.aside.append(self._codec.seal(record))
        return f"memory:aside-{len(self.aside)}"


class MemoryLease:
    """The lock on one account."""

    def __init__(self, store: MemoryStore, account: str) -> None:
        self._store = store
        self._account = account

    async def load(self) -> Record | None:
        """Read the record."""
        return await self._store.load(self._account)

    async def save(self, record: Record) -> None:
        """Replace the record."""
        await self._store.load(self._account)
        self._store.write(self._account, record)

    async def prepare(self) -> None:
        """Do nothing: there is nothing to make ready."""

    async def regain(self) -> Record | None:
        """Read again; the lock cannot have been lost."""
        return await self.load()

    async def set_aside(self, record: Record) -> str:
        """Keep a copy."""
        return self._store.keep(record)

    def ensure_held(self) -> None:
        """Do nothing: a lock in memory does not end."""
