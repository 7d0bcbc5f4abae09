"""Programs that a test needs and a machine may lack: skipped with a reason, but never in CI."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def program(name: str) -> str:
    """Find `name` beside this interpreter or on PATH; skip the test, or in CI fail it."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        message = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{message}: .ci/run should have installed it")
        pytest.skip(message)
    return found
