"""Programs that a test needs and a machine may lack: skipped with a reason (in CI: failed)."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def program(name: str) -> str:
    """Find `name` beside this interpreter or on PATH; skip the test otherwise."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
