"""Grants in Redis, for replicas: one hash an account, written by the holder of the claim in it.

A lock with a time limit does not protect a rotating token: a holder that was paused for longer
would send a token that another has spent. So the claim stands in the record itself; a script
compares claim and revision with every write; the claim is renewed while it is held, and never taken
anew by renewal; and a holder that finds it nearly over, on either clock, does not send
(`ensure_held`).

A Redis that does not append to a file loses the grant when it stops: said at the start.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from proxy.errors import StoreError
from proxy.grant.stores.record import MAX_RECORD, Codec, PlainCodec, Record, RecordError
from proxy.system.clock import Clock
from proxy.system.secret import Secret

logger = logging.getLogger(__name__)

CLAIM = 15.0  # seconds that a claim lasts without renewal: so long a killed holder blocks others
RENEWAL = 4.0
SPARE = 5.0  # a claim with less than this left is not relied upon
TIMEOUT = 5.0
CLAIM_INTERVAL = 0.05

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000); "
_HELD = "local until_ = tonumber(redis.call('HGET', KEYS[1], 'until') or '0'); "
# Takes the claim; answers 0 while another has it.
_CLAIM = (
    _NOW
    + _HELD
    + "local owner = redis.call('HGET', KEYS[1], 'claim'); "
    + "if owner and owner ~= ARGV[1] and until_ > now then return 0 end; "
    + "redis.call('HSET', KEYS[1], 'claim', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))"
    + "; return 1"
)
# Renews the claim, unless another has had it since: then what was read may be spent.
_RENEW = (
    _NOW
    + "if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[1] then return 0 end; "
    + "redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2])); return 1"
)
# Writes if nobody else has the claim, and nobody wrote since the record was read.
_SAVE = (
    _NOW
    + _HELD
    + "local owner = redis.call('HGET', KEYS[1], 'claim'); "
    + "if owner and owner ~= ARGV[1] and until_ > now then return -1 end; "
    + "local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0'); "
    + "if revision ~= tonumber(ARGV[2]) then return -2 end; "
    + "redis.call('HSET', KEYS[1], 'data', ARGV[3], 'revision', revision + 1); "
    + "return revision + 1"
)
_RELEASE = (
    "if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then "
    "redis.call('HDEL', KEYS[1], 'claim', 'until') end; return 1"
)


class RedisStore:
    """Records in one Redis, or one that speaks its protocol."""

    def __init__(
        self,
        url: Secret,
        prefix: str,
        clock: Clock,
        codec: Codec | None = None,
    ) -> None:
        try:
            import redis.asyncio
            import redis.exceptions
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise StoreError(
                "tokens.store",
                "redis needs its client",
                "pip install 'smartrecruiters-proxy[redis]'",
            ) from None
        self._forbidden = redis.exceptions.NoPermissionError
        self._errors = (redis.exceptions.RedisError, OSError, TimeoutError)
        self._client = redis.asyncio.Redis.from_url(
            url.reveal(),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            # A write that was done and is repeated would find the record changed.
            retry=Retry(NoBackoff(), 0),
        )
        parts = urlsplit(url.reveal())
        self._place = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
        self._prefix = prefix
        self._clock = clock
        self._codec = codec or PlainCodec()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> Sequence[str]:
        """Ask whether the server keeps what it is given."""
        return await self.warnings()

    async def warnings(self) -> Sequence[str]:
        """Ask whether the server keeps what it is given."""
        try:
            info = await self._client.info("persistence")
        except self._forbidden:
            warning = (
                f"The Redis at {self._place} does not let its INFO be read: whether it has an "
                "append-only file, without which the grant is lost when it stops, is not known."
            )
            return (warning,)
        except self._errors as error:
            raise self._failed("persistence", error) from None
        if not info.get("aof_enabled"):
            warning = (
                f"The Redis at {self._place} has no append-only file: when it stops, the grant is "
                "lost. Set appendonly yes there."
            )
            return (warning,)
        return ()

    async def load(self, account: str) -> Record | None:
        """Read a record."""
        record, _ = await self.read(account)
        return record

    async def read(self, account: str) -> tuple[Record | None, int]:
        """Read a record and its revision."""
        fields = cast(
            list[bytes | None],
            await self.call(account, self._client.hmget(self.key(account), ["data", "revision"])),
        )
        data, revision = fields
        if data is None:
            return None, 0
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
        revision: Hashable = await self.call(
            account, self._client.hget(self.key(account), "revision")
        )
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
                with suppress(StoreError):  # it ends by itself
                    await asyncio.shield(lease.release())
        finally:
            self._turns[account].release()

    def _held(self, account: str) -> StoreError:
        return StoreError(
            self.where(account), "is claimed by another process for very long", "try again"
        )

    def where(self, account: str) -> str:
        """Return server and key, without a password."""
        return f"{self._place} {self.key(account)}"

    def key(self, account: str) -> str:
        """Return the account's key."""
        return f"{self._prefix}{account}"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def script(self, account: str, script: str, *arguments: str | bytes | float) -> int:
        """Run one of the scripts on the account's record."""
        run = self._client.eval(script, 1, self.key(account), *arguments)
        return int(await self.call(account, run))

    async def seal(self, record: Record) -> bytes:
        """Return a record's bytes."""
        return await asyncio.to_thread(self._codec.seal, record)

    async def save(self, account: str, owner: str, revision: int, data: bytes) -> int:
        """Write a record, and wait for the server's disk where it can say so (Redis 7.2)."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.eval(_SAVE, 1, self.key(account), owner, str(revision), data)
        # Of the same connection's writes; an error where it is unknown or nothing is appended.
        pipeline.execute_command("WAITAOF", 1, 0, 2000)
        answers = await self.call(account, pipeline.execute(raise_on_error=False))
        if isinstance(answers[0], Exception):
            raise self._failed(account, answers[0])
        return int(answers[0])

    async def keep(self, record: Record) -> None:
        """Store a copy under a key of its own."""
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        key = f"{self.key(record.account)}:aside-{at}-{secrets.token_hex(2)}"
        await self.call(record.account, self._client.set(key, await self.seal(record)))

    async def call(self, account: str, command: Awaitable[Any]) -> Any:
        """Await a command; what fails is a StoreError without the server's own words.

        A server may repeat a command's arguments in an error, and those hold tokens.
        """
        try:
            return await command
        except self._errors as error:
            raise self._failed(account, error) from None

    def _failed(self, account: str, error: Exception) -> StoreError:
        return StoreError(
            self.where(account),
            f"Redis does not answer as it should ({type(error).__name__})",
            "see whether it runs, is writable and has memory left; tokens.redis.url says where",
        )


class RedisLease:
    """A claim on one account's record."""

    def __init__(self, store: RedisStore, account: str, clock: Clock) -> None:
        self._store = store
        self._account = account
        self._clock = clock
        self._owner = secrets.token_hex(16)
        self._revision: int | None = None
        # Until when the claim surely lasts: a suspend stops one clock, a correction moves the
        # other.
        self._until = self._wall_until = 0.0

    async def claim(self) -> bool:
        """Take the claim; False while another has it."""
        return await self._set_claim(_CLAIM)

    async def _set_claim(self, script: str) -> bool:
        monotonic, wall = self._clock.monotonic(), self._clock.now()
        if not await self._store.script(self._account, script, self._owner, int(CLAIM * 1000)):
            return False
        self._until, self._wall_until = monotonic + CLAIM, wall + CLAIM
        return True

    async def keep(self) -> None:
        """Renew the claim again and again, until cancelled."""
        while True:
            await asyncio.sleep(RENEWAL)
            try:
                if not await self._set_claim(_RENEW):
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
                "nothing is to be done: it is read again",
            )
        self._revision = revision

    async def prepare(self) -> None:
        """Do nothing: there is nothing to make ready."""

    async def regain(self) -> Record | None:
        """Claim again, if nobody else has, and read again."""
        if not await self.claim():
            raise StoreError(
                self._store.where(self._account),
                "is claimed by another process",
                "it is waited for",
            )
        return await self.load()

    async def set_aside(self, record: Record) -> None:
        """Keep a copy under another key."""
        await self._store.keep(record)

    def ensure_held(self) -> None:
        """Refuse where the claim is nearly over: another might spend the same token."""
        if (
            self._clock.monotonic() > self._until - SPARE
            or self._clock.now() > self._wall_until - SPARE
        ):
            raise StoreError(
                self._store.where(self._account),
                "the claim ran out while this process was held up",
                "nothing is to be done: it is claimed again",
            )

    async def release(self) -> None:
        """Give the claim up."""
        await self._store.script(self._account, _RELEASE, self._owner)
