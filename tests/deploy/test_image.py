import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.programs import program

SCRIPT = Path(__file__).parent / "verify_image.sh"


def test_the_image_is_built_and_works(request: pytest.FixtureRequest):
    if not request.config.getoption("--container"):
        pytest.skip("needs --container")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for name in ("mmdebstrap", "buildah", "podman", "runc"):
        program(name)
    # podman takes no run folder of more than 50 characters, which a fixture's is.
    work = tempfile.mkdtemp(prefix="image-", dir="/var/tmp")
    try:
        result = subprocess.run(["bash", str(SCRIPT), work], timeout=540)
    finally:
        shutil.rmtree(work, ignore_errors=True)

    assert result.returncode == 0
