"""The pytest plugin: a running SmartRecruiters, or recorded answers, for other people's tests.

pytest loads it in every project that has this distribution installed, so it imports what it needs
only when a fixture is used.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from proxy.testing import RunningReplay, RunningSandbox


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


@pytest.fixture
def smartrecruiters_replay() -> Iterator["Callable[[str | PathLike[str]], RunningReplay]"]:
    """A function that serves a HAR file's answers until the test ends; see proxy.testing."""
    from proxy.testing import running_replay

    with ExitStack() as stack:
        yield lambda path: stack.enter_context(running_replay(path))
