"""What a Redis says of itself: whether it keeps its data through a crash and a fail-over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.system.redis import RedisError

if TYPE_CHECKING:
    from proxy.system.redis.client import RedisClient


@dataclass(frozen=True, slots=True)
class Server:
    """What a server answered; None where it refuses to."""

    info: Mapping[str, Any] | None
    appendfsync: str | None

    @property
    def is_cluster(self) -> bool:
        """Tell whether it is a node of a cluster."""
        return bool(self.info and self.info.get("cluster_enabled"))

    @property
    def replicas(self) -> int:
        """Return the number of its replicas, as far as known."""
        return int((self.info or {}).get("connected_slaves", 0))

    def warnings(self, place: str) -> tuple[str, ...]:
        """Return what a person should be warned of, a sentence or two each."""
        info = self.info
        if info is None:
            warning = (
                f"The Redis at {place} does not let its INFO be read: whether it has an "
                "append-only file, without which the grant is lost when it stops, is not known."
            )
            return (warning,)
        found = []
        if info.get("role") == "slave":
            found.append(
                f"The Redis at {place} is a read-only replica: nothing can be stored. Name the "
                "primary in tokens.redis.url, or Sentinel (redis+sentinel://…)."
            )
        if not info.get("aof_enabled"):
            found.append(
                f"The Redis at {place} has no append-only file: when it stops, the grant is "
                "lost. Set appendonly yes there."
            )
        elif not self._confirms_writes():
            found.append(
                f"The Redis at {place} neither confirms that a write is on its disk (WAITAOF, from "
                f"7.2 on) nor waits for it (appendfsync {self.appendfsync or 'is not readable'}): "
                "a crash may lose the last second. Set appendfsync always there."
            )
        policy = str(info.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            found.append(
                f"The Redis at {place} may evict the grant when its memory is full "
                f"(maxmemory-policy {policy}). Set noeviction there."
            )
        return tuple(found)

    def _confirms_writes(self) -> bool:
        version = str((self.info or {}).get("redis_version", "")).split(".")[:2]
        numbers = tuple(int(part) for part in version if part.isdecimal())
        return numbers >= (7, 2) or self.appendfsync == "always"


async def look(client: "RedisClient") -> Server:
    """Ask a server; RedisError where it cannot be asked."""
    try:
        info = await client.run(lambda redis: redis.info())
    except RedisError as error:
        if error.is_forbidden:
            return Server(None, None)
        raise
    try:
        setting = await client.run(lambda redis: redis.config_get("appendfsync"))
    except RedisError:  # managed services have no CONFIG
        setting = {}
    return Server(info, setting.get("appendfsync"))
