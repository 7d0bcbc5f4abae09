"""The front of one listener: makes its connections, drains and closes them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from proxy.config import ListenConfig
from proxy.errors import Problem
from proxy.gateway.forward import Forwarder
from proxy.gateway.front.asked import Control
from proxy.gateway.front.connection import CallerConnection
from proxy.gateway.front.registry import Connections
from proxy.gateway.front.services import Dates, Services
from proxy.gateway.front.wrong_keys import WrongKeys
from proxy.gateway.guards import InForce
from proxy.system.clock import Clock
from proxy.system.origin import CallerOrigins
from proxy.telemetry.traffic import Traffic


class Front:
    """Makes a connection's protocol: pass it to `loop.create_server` as the factory."""

    def __init__(
        self,
        listen: ListenConfig,
        in_force: InForce,
        forwarder: Forwarder,
        traffic: Traffic,
        clock: Clock,
        origins: CallerOrigins,
        *,
        control: Control,
        problem_page: Callable[[Problem], Awaitable[bytes]] | None = None,
        page_headers: Sequence[tuple[str, str]] = (),
        probes_only: bool = False,
    ) -> None:
        shortest = min(listen.header_timeout, listen.idle_timeout, listen.stall_timeout)
        self._connections = Connections(listen.max_connections, clock, shortest)
        self._services = Services(
            listen,
            in_force,
            forwarder,
            traffic,
            clock,
            Dates(clock),
            origins,
            WrongKeys(),
            control,
            problem_page,
            page_headers,
            probes_only,
            set(),
        )

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        connection = CallerConnection(self._services, self._connections)
        return cast("asyncio.Protocol", connection)

    @property
    def connections(self) -> int:
        """Return how many callers are connected."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Return how many requests are under way, those of the control routes included."""
        return self._connections.in_flight

    def retire(self) -> None:
        """Serve on, but let each answer be its connection's last: another process takes over."""
        self._connections.retiring = True

    async def drain(self, timeout: float) -> bool:
        """Refuse new requests, let those under way finish; return whether all of them did."""
        return await self._connections.drain(timeout)

    def close(self) -> None:
        """Break off what is left; an answer under way is aborted, never made to look complete."""
        self._connections.close()
        for task in self._services.tasks:
            task.cancel()
