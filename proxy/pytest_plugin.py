"""The pytest plugin: a running SmartRecruiters for other people's tests.

pytest loads it in every project that has this distribution installed, so it imports what it needs
only when a fixture is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from proxy.testing import RunningSandbox


@pytest.fixture(scope="session")
def _smartrecruiters_session() -> Iterator["RunningSandbox"]:
    from proxy.testing import running_sandbox

    with running_sandbox() as running:
        yield running


@pytest.fixture
def smartrecruiters_sandbox(_smartrecruiters_session: "RunningSandbox") -> "RunningSandbox":
    """A sandbox and a proxy in front of it, without candidates and jobs; see proxy.testing."""
    _smartrecruiters_session.empty()
    return _smartrecruiters_session
