"""One world a test: server, clock, memory store."""

from collections.abc import AsyncIterator

import pytest

from tests.support.granting import World, world


@pytest.fixture
async def grant() -> AsyncIterator[World]:
    async with world() as made:
        yield made
