"""The end of a sandbox: nothing of it stays open."""

import asyncio
import gc
import socket
import warnings

from proxy.sandbox import Sandbox, SandboxSettings
from proxy.testing import loop_in_a_thread


def test_a_connection_that_was_just_accepted_is_closed_too() -> None:
    """Else a test that happens to run at that moment fails for the warning."""
    with warnings.catch_warnings(record=True, action="always") as told:
        for _ in range(10):
            sandbox = Sandbox(SandboxSettings())
            with loop_in_a_thread() as loop:
                started = asyncio.run_coroutine_threadsafe(sandbox.start("127.0.0.1"), loop)
                port = started.result(10)
                with socket.create_connection(("127.0.0.1", port), 10):
                    asyncio.run_coroutine_threadsafe(sandbox.close(), loop).result(10)
        del sandbox
        gc.collect()

    assert [str(one.message) for one in told] == []
