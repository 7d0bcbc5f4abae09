"""The contract that every store keeps; tests/grant/stores/ runs one suite against all of them.

Reading needs no lease; writing does, and one process at a time has it. A lease does not end while
its holder lives (a file's lock), or is known to have ended (`ensure_held`). A record is durable
once `save` returns: it survives a kill and a loss of power. A record that cannot be read is a
StoreError that names the place and the remedy, and no method ever overwrites it.
"""

from collections.abc import Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.grant.stores.record import Record


class Lease(Protocol):
    """The right to write one account's record, and to spend its refresh token."""

    async def load(self) -> Record | None:
        """Read the record as it is now, after recovering what a killed writer left."""
        ...

    async def save(self, record: Record) -> None:
        """Replace the record, durably. The record that is there must have been readable."""
        ...

    async def prepare(self) -> None:
        """Prepare the save of a new generation: take its space, so that its write is short."""
        ...

    async def regain(self) -> Record | None:
        """After a failed save: take the lease again, or StoreError, and read the record again."""
        ...

    async def set_aside(self, record: Record) -> str:
        """Keep a copy durably, for a person to look at, never used again; return its name."""
        ...

    def ensure_held(self) -> None:
        """Raise StoreError unless the lease lasts long enough to send a token now."""
        ...


class TokenStore(Protocol):
    """Where the records of all accounts are."""

    @property
    def may_forget(self) -> bool:
        """Tell whether the store may lose a record by itself: it is then written again."""
        ...

    async def start(self) -> Sequence[str]:
        """Prove that the place can be written; return what a person should be warned of."""
        ...

    async def warnings(self) -> Sequence[str]:
        """Return the warnings of `start`, but write nothing."""
        ...

    async def load(self, account: str) -> Record | None:
        """Read a record; None only where there surely is none."""
        ...

    async def stamp(self, account: str) -> Hashable:
        """Return a cheap value that differs when the record was written since."""
        ...

    def lease(self, account: str, patience: float) -> AbstractAsyncContextManager[Lease]:
        """Wait for the lease up to `patience` seconds, then StoreError."""
        ...

    async def take_code(self, account: str, name: str) -> str | None:
        """Take a login's code, durably, for ten minutes; None if nobody had taken it.

        Else how that login came out, as far as it is known. `name` is a digest of the code.
        """
        ...

    async def note_code(self, account: str, name: str, outcome: str) -> None:
        """Note how the login of a code came out, for when its callback is opened again."""
        ...

    def where(self, account: str) -> str:
        """Name the record's place for people: a path, or a key without the password."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...
