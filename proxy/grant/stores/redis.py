"""Grants in Redis, for replicas: one hash per account, written by the holder of the claim in it.

A lock with a time limit does not protect a rotating token: a holder that was paused for longer
would send a token that another has spent. So the claim stands in the record itself; a script
compares claim and revision with every write; the claim is renewed while it is held, and never taken
anew by renewal; and a holder that finds it nearly over, on either clock, does not send
(`ensure_held`).

No clock of another machine is trusted: a claim is over once this process saw it unrenewed for its
whole time, by its own monotonic clock. The server's clock may jump by a minute when a replica of it
takes over, and the clocks of the proxies may differ.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.errors import StoreError
from proxy.grant.stores import codes
from proxy.grant.stores import redis_claims as claims
from proxy.grant.stores.record import MAX_RECORD, Codec, PlainCodec, Record, RecordError
from proxy.grant.stores.redis_server import look
from proxy.system.clock import Clock
from proxy.system.redis import RedisError, open_redis
from proxy.system.secret import Secret

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

RENEWAL = 4.0
SPARE = 5.0  # a claim with less than this left is not relied upon
CLAIM_INTERVAL = 0.05
# Milliseconds that a write may take to reach the server's disk, and one of its replicas.
DISK, REPLICA = 2000, 1000


class RedisStore:
    """Records in one Redis, or one that speaks its protocol."""

    may_forget = True  # evicted, flushed, or lost with a primary that had not replicated it

    def __init__(
        self,
        url: Secret,
        prefix: str,
        clock: Clock,
        codec: Codec | None = None,
        *,
        ca_file: Path | None = None,
    ) -> None:
        try:
            self._redis = open_redis(url, ca_file)
        except RedisError as error:
            raise StoreError("tokens.store", error.what, error.remedy) from None
        self._prefix = prefix
        self._clock = clock
        self._codec = codec or PlainCodec()
        self._has_replicas = False
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._claims: defaultdict[str, claims.Claims] = defaultdict(lambda: claims.Claims(clock))

    async def start(self) -> Sequence[str]:
        """Prove that the server takes a write, and ask whether it keeps what it is given."""
        warnings = await self.warnings()
        # An account's name has no colon in it.
        await self.durably(":probe", claims.PROBE)
        return warnings

    async def warnings(self) -> Sequence[str]:
        """Ask whether the server keeps what it is given; StoreError for a cluster."""
        try:
            server = await look(self._redis)
        except RedisError as error:
            raise StoreError(self._redis.place, f"Redis {error.what}", error.remedy) from None
        self._has_replicas = server.replicas > 0
        if server.is_cluster:
            raise StoreError(
                self._redis.place,
                "is a node of a cluster, which is not supported",
                "use a Redis of its own: one server, or a primary with replicas and Sentinel",
            )
        return server.warnings(self._redis.place)

    async def load(self, account: str) -> Record | None:
        """Read a record."""
        record, _ = await self.read(account)
        return record

    async def read(self, account: str) -> tuple[Record | None, int]:
        """Read a record and its revision."""
        key = self.key(account)
        data, revision = await self.call(
            account, lambda redis: redis.hmget(key, ["data", "revision"])
        )
        if data is None:
            return None, int(revision or 0)
        where = self.where(account)
        if len(data) > MAX_RECORD:
            raise StoreError(where, "is far too large for a record", "move it away and log in")
        try:
            # Decrypting stretches a key the first time: not in the loop.
            record = await asyncio.to_thread(self._codec.unseal, account, data)
        except RecordError as error:
            raise StoreError(where, error.what, error.remedy) from None
        return record, int(revision or 0)

    async def stamp(self, account: str) -> Hashable:
        """Return the revision."""
        key = self.key(account)
        revision: Hashable = await self.call(account, lambda redis: redis.hget(key, "revision"))
        return revision

    @asynccontextmanager
    async def lease(self, account: str, patience: float) -> AsyncIterator["RedisLease"]:
        """Wait for the account's turn in this process, then for the claim."""
        deadline = self._clock.monotonic() + patience
        try:
            async with asyncio.timeout(patience):
                await self._turns[account].acquire()
        except TimeoutError:
            raise self._held(account) from None
        try:
            lease = RedisLease(self, account, self._clock)
            while not await lease.claim():
                if self._clock.monotonic() > deadline:
                    raise self._held(account)
                await asyncio.sleep(CLAIM_INTERVAL)
            renewing = asyncio.ensure_future(lease.keep())
            try:
                yield lease
            finally:
                renewing.cancel()
                with suppress(StoreError):  # the claim ends by itself
                    await asyncio.shield(lease.release())
        finally:
            self._turns[account].release()

    def _held(self, account: str) -> StoreError:
        return StoreError(
            self.where(account), "has been claimed by another process for too long", "try again"
        )

    def where(self, account: str) -> str:
        """Return server and key, without a password."""
        return f"{self._redis.place} {self.key(account)}"

    def key(self, account: str) -> str:
        """Return the account's key."""
        return f"{self._prefix}{account}"

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def claim(self, account: str, owner: str) -> bool:
        """Take the claim, or one that has ended; False while another has it."""
        seen = self._claims[account]
        answer = await self.script(account, claims.CLAIM, owner, claims.lasts(), *seen.ended())
        return seen.is_taken(answer)

    async def script(self, account: str, script: str, *arguments: str | bytes | float) -> Any:
        """Run one of the scripts on the account's record."""
        key = self.key(account)
        return await self.call(account, lambda redis: redis.eval(script, 1, key, *arguments))

    async def seal(self, record: Record) -> bytes:
        """Return a record's bytes."""
        return await asyncio.to_thread(self._codec.seal, record)

    async def save(self, account: str, owner: str, revision: int, data: bytes) -> int:
        """Write a record; return its revision, or a negative number where it may not be written."""
        return int(await self.durably(account, claims.SAVE, owner, str(revision), data))

    async def durably(self, account: str, script: str, *arguments: str | bytes | float) -> Any:
        """Run a script, and wait until what it wrote is safe.

        On the disk, if the server has an append-only file and can confirm it (Redis 7.2):
        StoreError if that takes too long. On a replica, if there is one: logged if that takes too
        long, since a fail-over would lose the write.
        """
        key = self.key(account)

        async def write(redis: "Redis") -> list[Any]:
            # Both wait for the same connection's writes, so they go with the script.
            pipeline = redis.pipeline(transaction=False)
            pipeline.eval(script, 1, key, *arguments)
            pipeline.execute_command("WAITAOF", 1, 0, DISK)
            pipeline.info("replication")
            if self._has_replicas:
                pipeline.wait(1, REPLICA)
            answers = await pipeline.execute(raise_on_error=False)
            if isinstance(answers[0], Exception):
                raise answers[0]
            return answers

        answer, disk, replication, *acknowledged = await self.call(account, write)
        if isinstance(replication, dict):
            self._has_replicas = replication.get("connected_slaves", 0) > 0
        if acknowledged and acknowledged[0] == 0:
            logger.warning("write_not_replicated account=%s within_ms=%d", account, REPLICA)
        # Not a list where the server cannot confirm it, which `start` warns of.
        if isinstance(disk, list) and disk[0] < 1:
            raise StoreError(
                self.where(account),
                f"Redis did not confirm within {DISK} ms that a write is on its disk",
                "see whether its disk is slow or full",
            )
        return answer

    async def keep(self, record: Record) -> str:
        """Store a copy under a key of its own, which is returned."""
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        key = f"{self.key(record.account)}:aside-{at}-{secrets.token_hex(2)}"
        data = await self.seal(record)
        await self.call(record.account, lambda redis: redis.set(key, data))
        return key

    async def take_code(self, account: str, name: str) -> str | None:
        """Set the code's key, or read it."""
        found = await self.durably(account, codes.TAKE_SCRIPT, name, codes.LIFETIME)
        return None if found == 1 else bytes(found).decode(errors="replace")

    async def note_code(self, account: str, name: str, outcome: str) -> None:
        """Write the outcome to the code's key, if it is still there."""
        key, text = f"{self.key(account)}:code-{name}", outcome[: codes.LONGEST]
        await self.call(account, lambda redis: redis.set(key, text, xx=True, keepttl=True))

    async def call(self, account: str, command: Callable[["Redis"], Awaitable[Any]]) -> Any:
        """Await a command; what fails is a StoreError that names the account's key."""
        try:
            return await self._redis.run(command)
        except RedisError as error:
            raise StoreError(self.where(account), f"Redis {error.what}", error.remedy) from None


class RedisLease:
    """A claim on one account's record."""

    def __init__(self, store: RedisStore, account: str, clock: Clock) -> None:
        self._store = store
        self._account = account
        self._clock = clock
        self._owner = secrets.token_hex(16)
        self._revision: int | None = None
        # Until when the claim certainly lasts: a suspend stops one clock, a correction moves the
        # other.
        self._until = self._wall_until = 0.0

    async def claim(self) -> bool:
        """Take the claim; False while another has it."""
        return await self._holding(self._store.claim(self._account, self._owner))

    async def renew(self) -> bool:
        """Renew the claim; False where another has had it since."""
        renewed = self._store.script(self._account, claims.RENEW, self._owner, claims.lasts())
        return await self._holding(renewed)

    async def _holding(self, claiming: Awaitable[int]) -> bool:
        monotonic, wall = self._clock.monotonic(), self._clock.now()
        if not await claiming:
            return False
        self._until, self._wall_until = monotonic + claims.LASTS, wall + claims.LASTS
        return True

    async def keep(self) -> None:
        """Renew the claim at intervals, until cancelled."""
        while True:
            await asyncio.sleep(RENEWAL)
            try:
                if not await self.renew():
                    if self._until:
                        logger.warning("claim_lost account=%s", self._account)
                    self._until = 0.0
            except StoreError as error:
                logger.warning("claim_not_renewed account=%s error=%s", self._account, error)

    async def load(self) -> Record | None:
        """Read the record; the next write must find it unchanged."""
        record, self._revision = await self._store.read(self._account)
        return record

    async def save(self, record: Record) -> None:
        """Replace the record, if nobody else claimed or changed it."""
        if self._revision is None:
            await self.load()
        data = await self._store.seal(record)
        assert self._revision is not None  # noqa: S101 - it was loaded
        revision = await self._store.save(self._account, self._owner, self._revision, data)
        if revision < 0:
            raise StoreError(
                self._store.where(self._account),
                "was claimed by another process in the meantime"
                if revision == -1
                else "was changed by another process in the meantime",
                "nothing needs to be done: it is read again",
            )
        self._revision = revision

    async def prepare(self) -> None:
        """Do nothing: there is nothing to make ready."""

    async def regain(self) -> Record | None:
        """Claim again, if nobody else has, and read again what is surely on the disk."""
        if not await self.claim():
            raise StoreError(
                self._store.where(self._account),
                "is claimed by another process",
                "nothing needs to be done: the proxy waits for it",
            )
        await self._store.durably(self._account, claims.RENEW, self._owner, claims.lasts())
        return await self.load()

    async def set_aside(self, record: Record) -> str:
        """Keep a copy under another key."""
        return await self._store.keep(record)

    def ensure_held(self) -> None:
        """Refuse where the claim is nearly over: another might spend the same token."""
        if (
            self._clock.monotonic() > self._until - SPARE
            or self._clock.now() > self._wall_until - SPARE
        ):
            raise StoreError(
                self._store.where(self._account),
                "the claim ran out while this process was held up",
                "nothing needs to be done: it is claimed again",
            )

    async def release(self) -> None:
        """Give the claim up."""
        await self._store.script(self._account, claims.RELEASE, self._owner)
