import os
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import program

SCRIPT = Path(__file__).parent / "verify_image.sh"


def test_the_image_is_built_and_works(request: pytest.FixtureRequest, tmp_path: Path):
    if not request.config.getoption("--container"):
        pytest.skip("needs --container")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for name in ("mmdebstrap", "buildah", "podman", "runc"):
        program(name)
    result = subprocess.run(["bash", str(SCRIPT), str(tmp_path)], timeout=540)

    assert result.returncode == 0
