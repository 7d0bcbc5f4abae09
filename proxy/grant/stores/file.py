"""Grants as files in a folder of our own: `<tokens.path>/grants/<account>.json`.

The lease is the operating system's lock on `<account>.lock`: it ends with its holder, however that
ends, and never before. All file work happens in one thread of the store's own, so that a write of
new tokens waits for nothing else. `<account>.next` is the temporary name of a new generation,
prepared before a token is spent: a killed writer may have left the only copy of it there, and the
next holder recovers it.
"""

import asyncio
import functools
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from proxy.errors import StoreError
from proxy.grant.stores import codes
from proxy.grant.stores import folder as files
from proxy.grant.stores.record import MAX_RECORD, Codec, PlainCodec, Record, RecordError
from proxy.system.clock import Clock

if TYPE_CHECKING:
    from filelock import FileLock

LOCK_INTERVAL = 0.02

P = ParamSpec("P")
T = TypeVar("T")


class FileStore:
    """Records as files below a folder; the folder itself may be anybody's (a mount point)."""

    may_forget = False  # a missing file means that a volume was unmounted

    def __init__(self, path: Path, clock: Clock, codec: Codec | None = None) -> None:
        self._folder = path.absolute() / files.SUBFOLDER
        self._clock = clock
        self._codec = codec or PlainCodec()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="srproxy-store")
        # Within the process; the lock file is between processes.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> Sequence[str]:
        """Make the folder and prove that it takes a file; finish what a killed writer began."""
        await self.run(self._look_over)
        return ()

    async def warnings(self) -> Sequence[str]:
        """Warn of nothing: what is wrong with a file is an error."""
        return ()

    async def load(self, account: str) -> Record | None:
        """Read a record."""
        return await self.run(self._load, account)

    async def stamp(self, account: str) -> Hashable:
        """Return what changes with every save."""
        return await self.run(self._stamp, account)

    @asynccontextmanager
    async def lease(self, account: str, patience: float) -> AsyncIterator["FileLease"]:
        """Wait for the account's turn in this process, then for its lock file."""
        lock = await self.run(self._prepare_lock, account)
        try:
            async with asyncio.timeout(patience):
                await self._turns[account].acquire()
        except TimeoutError:
            raise _held(lock) from None
        try:
            try:
                await self._acquire(lock, patience)
                lease = FileLease(self, account)
                try:
                    yield lease
                finally:
                    await lease.let_go()
            finally:
                await asyncio.shield(self.run(lock.release))
        finally:
            self._turns[account].release()

    async def _acquire(self, lock: "FileLock", patience: float) -> None:
        deadline = self._clock.monotonic() + patience
        while not await self.run(self._try_lock, lock):
            if self._clock.monotonic() > deadline:
                raise _held(lock)
            await asyncio.sleep(LOCK_INTERVAL)

    async def take_code(self, account: str, name: str) -> str | None:
        """Make the code's file, or read it."""
        return await self.run(codes.take, self._folder, account, name, self._clock.now())

    async def note_code(self, account: str, name: str, outcome: str) -> None:
        """Write the outcome into the code's file."""
        await self.run(codes.note, self._folder, account, name, outcome)

    def where(self, account: str) -> str:
        """Return the record's path."""
        return str(self._folder / f"{account}.json")

    async def close(self) -> None:
        """End the thread after what it has begun."""
        self._thread.shutdown(wait=False)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function of the store's in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, functools.partial(function, *args, **kwargs)
        )

    def _look_over(self) -> None:
        files.probe(self._folder)
        for left in sorted(self._folder.glob("*.next")):
            lock = self._prepare_lock(left.stem)
            if self._try_lock(lock):
                try:
                    self.recover(left.stem)
                finally:
                    lock.release()

    def _prepare_lock(self, account: str) -> "FileLock":
        name = f"{account}.lock"
        try:
            with files.opened(self._folder, create=True):
                files.check_name(self._folder, name)
        except OSError as error:
            raise files.store_error(self._folder, error, "cannot be written") from None
        # No fallback to an existence lock, which would outlive its holder.
        from filelock import FileLock  # 8 ms: a command that only reads takes no lease

        return FileLock(self._folder / name, mode=0o600, thread_local=False, fallback_to_soft=False)

    def _try_lock(self, lock: "FileLock") -> bool:
        from filelock import Timeout

        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise files.store_error(Path(lock.lock_file), error, "cannot be locked") from None
        return True

    def _load(self, account: str) -> Record | None:
        return self._read(account, f"{account}.json")

    def _read(self, account: str, name: str) -> Record | None:
        data = files.read(self._folder, name, MAX_RECORD)
        if data is None:
            return None
        try:
            return self._codec.unseal(account, data)
        except RecordError as error:
            raise StoreError(str(self._folder / name), error.what, error.remedy) from None

    def _stamp(self, account: str) -> Hashable:
        path = self._folder / f"{account}.json"
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise files.store_error(path, error, "cannot be looked at") from None
        return status.st_ino, status.st_mtime_ns, status.st_size, status.st_uid, status.st_mode

    def recover(self, account: str) -> Record | None:
        """Read the record under the lease, after recovering what a killed writer left.

        A leftover of the same generation is removed: nothing was spent before its write was
        finished. One of the next generation is the answer to a spent token, and the only copy.
        """
        record = self._load(account)
        name = f"{account}.next"
        files.check_name(self._folder, name)
        files.remove(self._folder, f"{account}.part")
        if not os.path.lexists(self._folder / name):
            return record
        try:
            left = self._read(account, name)
        except StoreError:
            left = None  # cut short: the write itself was interrupted
        try:
            with files.opened(self._folder) as directory:
                if left is None or left.generation <= (record.generation if record else 0):
                    os.unlink(name, dir_fd=directory)
                    return record
                # It may not have been synced yet.
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
                os.rename(name, f"{account}.json", src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
        except OSError as error:
            raise files.store_error(self._folder / name, error, "cannot be taken up") from None
        return left

    def seal(self, record: Record) -> bytes:
        """Return a record's bytes."""
        return self._codec.seal(record)

    def write(self, account: str, record: Record, ending: str) -> None:
        """Replace the record."""
        data = self._codec.seal(record)
        files.write(self._folder, f"{account}.json", f"{account}.{ending}", data)

    def prepare(self, account: str) -> files.Prepared:
        """Make the file of the next generation."""
        return files.Prepared(self._folder, f"{account}.next")

    def keep(self, account: str, record: Record) -> str:
        """Write a copy under a name of its own; return its path."""
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        data = self._codec.seal(record)
        number = 0
        while True:
            name = f"{account}.aside-{at}{f'-{number}' if number else ''}.json"
            if not os.path.lexists(self._folder / name):
                break
            number += 1
        files.write(self._folder, name, f"{name}.part", data)
        return str(self._folder / name)


def _held(lock: "FileLock") -> StoreError:
    return StoreError(
        str(lock.lock_file),
        "has been locked by another process for too long",
        "see whether that process hangs (fuser on the file names it), and end it",
    )


class FileLease:
    """The lock on one account's file."""

    def __init__(self, store: FileStore, account: str) -> None:
        self._store = store
        self._account = account
        self._prepared: files.Prepared | None = None
        # Of the record as it is stored; None until it was read.
        self._generation: int | None = None

    async def load(self) -> Record | None:
        """Read the record, after putting it in order."""
        await self.let_go()
        record = await self._store.run(self._store.recover, self._account)
        self._generation = record.generation if record else 0
        return record

    async def prepare(self) -> None:
        """Make the file of the next generation, so that storing it takes one write."""
        self._prepared = await self._store.run(self._store.prepare, self._account)

    async def save(self, record: Record) -> None:
        """Replace the record."""
        if self._generation is None:
            await self.load()
        prepared = self._prepared
        if prepared is None:
            await self._store.run(self._store.write, self._account, record, "next")
        elif record.generation == self._generation:
            await self._store.run(self._store.write, self._account, record, "part")
        else:
            data = self._store.seal(record)
            # Not in the thread: switching to it could cost milliseconds, and a kill before this
            # write loses the grant.
            prepared.put(data)
            await self._store.run(prepared.finish, f"{self._account}.json", len(data))
            await self.let_go()
        self._generation = record.generation

    async def regain(self) -> Record | None:
        """Read again; the lock cannot have been lost."""
        return await self.load()

    async def set_aside(self, record: Record) -> str:
        """Keep a copy as a file beside."""
        return await self._store.run(self._store.keep, self._account, record)

    def ensure_held(self) -> None:
        """Do nothing: the lock is the operating system's, and ends with the process."""

    async def let_go(self) -> None:
        """Close what was prepared; what was written there stays, for `recover`."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await self._store.run(prepared.close)
