"""What all requests share: upstream, credentials, header rules, doors, the slow path's tasks."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from proxy.config import UpstreamConfig
from proxy.errors import Problem, unforeseen
from proxy.gateway.forward.explaining import Explainer
from proxy.gateway.forward.prepared import Prepared
from proxy.gateway.forward.seams import CredentialSource, Gate, Open, TapFor, TransformFor
from proxy.gateway.headers import InboundHeaders, Links, OutboundHeaders
from proxy.gateway.http1 import RequestHead
from proxy.gateway.upstream import Upstream
from proxy.system.clock import Clock

logger = logging.getLogger(__name__)


class Forwarder:
    """Knows the upstream's address and how headers are to be changed.

    `gate`, `transform_for` and `tap_for` are the doors for what holds requests back, changes
    answers' bodies, or looks at exchanges; left out, nothing is held back, changed or looked at.
    `granted` returns an account's scopes, as far as they are known; `limited` is called for each
    429, with operation and account.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        upstream: Upstream,
        credentials: Mapping[str, CredentialSource],
        clock: Clock,
        *,
        gate: Gate | None = None,
        transform_for: TransformFor | None = None,
        tap_for: TapFor | None = None,
        granted: Callable[[str], Sequence[str]] = lambda _: (),
        limited: Callable[[str, str], None] = lambda *_: None,
        instance: str | None = None,
    ) -> None:
        parts = urlsplit(config.url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.upstream = upstream
        self.credentials = credentials
        self.clock = clock
        self.gate: Gate = gate or Open()
        self.transform_for = transform_for
        self.explain = Explainer(granted).explain
        self.limited = limited
        self.tap_for = tap_for
        self.max_replay_body = config.max_replay_body
        # This instance's own, so that only a real loop counts as one.
        instance = instance or secrets.token_hex(8)
        # A transform reads bodies: an encoded one it would have to pass untouched.
        dropped = {b"accept-encoding"} if transform_for is not None else ()
        self.outbound = OutboundHeaders(
            parts.netloc.encode("ascii"), instance.encode(), dropped=dropped
        )
        self.inbound = InboundHeaders(Links(config.url))
        self._prefix = parts.path.rstrip("/").encode()
        self._tasks: set[asyncio.Task[None]] = set()

    def check_loop(self, head: RequestHead) -> None:
        """Refuse a request that this very instance has sent."""
        if self.outbound.has_passed(head):
            raise Problem(
                "loop_detected",
                "The request has already passed through this proxy: upstream.url leads back here.",
            )

    def prepared(self) -> Prepared:
        """Make what builds the heads of one connection's requests, and keeps what repeats."""
        return Prepared(self.outbound, self._prefix)

    def spawn(
        self, work: Coroutine[Any, Any, None], failed: Callable[[Problem], None]
    ) -> asyncio.Task[None]:
        """Run the part of a request that has to wait; `failed` is called with a Problem."""
        task = asyncio.get_running_loop().create_task(_told(work, failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End what is still waiting."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told(work: Coroutine[Any, Any, None], failed: Callable[[Problem], None]) -> None:
    try:
        await work
    except Problem as problem:
        failed(problem)
    except Exception:
        logger.exception("forwarding failed in a way that was not foreseen")
        failed(unforeseen())
