"""Redis as operators run it: TLS, ACL users, Sentinel. The store and the limits open it here alone.

async with open_redis(config.tokens.redis.url, config.tokens.redis.ca_file) as redis:
    revision = await redis.run(lambda client: client.hget("key", "revision"))
"""

from pathlib import Path
from typing import TYPE_CHECKING

from proxy.system.redis.failures import RedisError
from proxy.system.secret import Secret

if TYPE_CHECKING:
    from proxy.system.redis.client import RedisClient

__all__ = ["RedisError", "open_redis"]


def open_redis(url: Secret, ca_file: Path | None = None) -> "RedisClient":
    """Make a client; nothing is connected yet. RedisError: the extra is not installed."""
    try:
        from proxy.system.redis.client import RedisClient
    except ImportError:
        raise RedisError(
            "redis needs its client", "pip install 'smartrecruiters-proxy[redis]'"
        ) from None
    return RedisClient(url, ca_file)
