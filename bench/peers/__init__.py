"""The proxies under test, each adding a static bearer, with its access log on, to a file.

A peer is installed, then started as often as the rounds ask. One that cannot be had says why.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.certificates import Certificates
from bench.processes import Process, Processes
from bench.upstream import Origin


class Unavailable(Exception):
    """This peer cannot be had here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer may put its files, and the core it runs on."""

    folder: Path
    core: int
    certificates: Certificates  # for those that speak https with their callers
    processes: Processes = field(repr=False)


class Peer(Protocol):
    """One row of the table."""

    name: str
    https: bool  # towards callers

    def install(self, work: Path) -> str:
        """Make it runnable and return its version; raises Unavailable."""

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        """Start it on the port, in front of the origin."""
