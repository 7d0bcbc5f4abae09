"""The claim on a record in Redis: the scripts that take, renew, use and release it.

A record is a hash: `data`, `revision` (of every write), `claim` (who may write) and `until` (when
the claim ends by the server's clock, and so another value at each renewal).
"""

from typing import Any

from proxy.system.clock import Clock

LASTS = 15.0  # seconds that a claim lasts without renewal, and a killed holder blocks others
# Beyond this, in milliseconds, a claim is over by the server's clock too, however it was set.
_LONG_OVER = 90_000

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000); "
_EXTEND = "redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2])); "
# owner, milliseconds, and the claim that has ended as far as the caller saw: its owner and `until`.
# Takes the claim and answers 1; else the owner and `until` of the one that stands.
CLAIM = (
    _NOW
    + "local owner = redis.call('HGET', KEYS[1], 'claim'); "
    + "local until_ = redis.call('HGET', KEYS[1], 'until') or '0'; "
    + "local ended = owner == ARGV[3] and until_ == ARGV[4]; "
    + f"local long_over = tonumber(until_) + {_LONG_OVER} < now; "
    + "if owner and owner ~= ARGV[1] and not ended and not long_over then "
    + "return {owner, until_} end; "
    + "redis.call('HSET', KEYS[1], 'claim', ARGV[1]); "
    + _EXTEND
    + "return 1"
)
# Renew only if the claim is still ours. If another process held it meanwhile, the token we read may
# be used up.
RENEW = (
    _NOW
    + "if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[1] then return 0 end; "
    + _EXTEND
    + "return 1"
)
# Writes if nobody else has the claim, and nobody wrote since the record was read.
SAVE = (
    "local owner = redis.call('HGET', KEYS[1], 'claim'); "
    "if owner and owner ~= ARGV[1] then return -1 end; "
    "local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0'); "
    "if revision ~= tonumber(ARGV[2]) then return -2 end; "
    "redis.call('HSET', KEYS[1], 'data', ARGV[3], 'revision', revision + 1); "
    "return revision + 1"
)
PROBE = "redis.call('SET', KEYS[1], '', 'PX', 1000); return 1"
RELEASE = (
    "if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then "
    "redis.call('HDEL', KEYS[1], 'claim', 'until') end; return 1"
)


def lasts() -> int:
    """Return how long a claim lasts, in milliseconds."""
    return int(LASTS * 1000)


class Claims:
    """What was seen of others' claims on one account, and for how long it has not changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[bytes, ...] = ()
        self._since = 0.0

    def ended(self) -> tuple[bytes, ...]:
        """Return the claim that was seen unrenewed for its whole time; blanks if there is none."""
        is_over = self._seen and self._clock.monotonic() - self._since > LASTS
        return self._seen if is_over else (b"", b"")

    def is_taken(self, answer: Any) -> bool:
        """Tell whether the script took the claim; else remember whose stands."""
        if not isinstance(answer, list):
            self._seen = ()
            return True
        if tuple(answer) != self._seen:
            self._seen, self._since = tuple(answer), self._clock.monotonic()
        return False
