"""A ticket of the limits, with a test that waits for its turn."""

import asyncio
from typing import Any

from proxy.errors import Problem
from proxy.gateway.limits import Ticket


class WaitingTicket:
    """A ticket, and whoever it tells that it may go; all else is the ticket's own."""

    def __init__(self, ticket: Ticket | None) -> None:
        assert ticket is not None
        self._ticket = ticket
        self._told: list[Problem | None] = []
        self._was_told = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ticket, name)

    def enter(self) -> bool:
        return self._ticket.enter(self)

    def again(self, wait: float) -> None:
        self._told.clear()
        self._was_told.clear()
        self._ticket.again(wait)

    def admitted(self) -> None:
        self._tell(None)

    def refused(self, problem: Problem) -> None:
        self._tell(problem)

    @property
    def has_its_turn(self) -> bool:
        return self._was_told.is_set()

    async def turn(self) -> None:
        """Wait for it; raises the Problem of a wait that was too long."""
        await self._was_told.wait()
        if self._told[0] is not None:
            raise self._told[0]

    def _tell(self, problem: Problem | None) -> None:
        assert not self._told, "told twice"
        self._told.append(problem)
        self._was_told.set()
