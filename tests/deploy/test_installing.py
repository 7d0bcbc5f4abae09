"""What takes minutes each: the image, and the recipe for systemd. With --container, as root."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.programs import program

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ("verify_image.sh", ["mmdebstrap", "buildah", "podman", "runc"]),
        ("verify_systemd.sh", ["mmdebstrap", "curl"]),
    ],
)
def test_it_is_installed_as_the_documents_say_and_works(
    request: pytest.FixtureRequest, script: str, programs: list[str]
) -> None:
    if not request.config.getoption("--container"):
        pytest.skip("needs --container")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for name in programs:
        program(name)
    # podman takes no run folder of more than 50 characters, which a fixture's is.
    work = tempfile.mkdtemp(prefix="image-", dir="/var/tmp")
    try:
        result = subprocess.run(["bash", str(FOLDER / script), work], timeout=900)
    finally:
        shutil.rmtree(work, ignore_errors=True)

    assert result.returncode == 0
