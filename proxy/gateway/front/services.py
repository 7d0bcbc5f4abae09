"""What all connections of a listener share: one frozen value, handed to each of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from proxy.config import ListenConfig
from proxy.errors import Problem
from proxy.gateway.forward import Forwarder
from proxy.gateway.front.asked import Control
from proxy.gateway.front.wrong_keys import WrongKeys
from proxy.gateway.guards import InForce
from proxy.system.clock import Clock
from proxy.system.origin import CallerOrigins
from proxy.telemetry.traffic import Traffic


class Dates:
    """The Date header, built once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line = b""
        self._second = -1

    def line(self) -> bytes:
        """Return the header line for now, without its end."""
        now = int(self._clock.now())
        if now != self._second:
            self._second = now
            self._line = b"Date: %b" % formatdate(now, usegmt=True).encode("ascii")
        return self._line


@dataclass(frozen=True, slots=True)
class Services:
    """Whom a connection calls, and what it needs of the configuration."""

    listen: ListenConfig
    in_force: InForce
    forwarder: Forwarder
    traffic: Traffic
    clock: Clock
    dates: Dates
    origins: CallerOrigins
    wrong_keys: WrongKeys
    control: Control
    problem_page: Callable[[Problem], Awaitable[bytes]] | None
    page_headers: Sequence[tuple[str, str]]  # of pages, and of every answer under /-/
    probes_only: bool
    tasks: set[asyncio.Task[None]]  # of the control routes, under way
