"""Wheel and sdist, installed without a clone, carry all that the program needs."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.processes import ROOT

PATIENCE = 300


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not request.config.getoption("--packages"):
        pytest.skip("needs --packages")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_it_runs_from_an_empty_environment(packages: Path, kind: str, tmp_path: Path) -> None:
    (package,) = packages.glob(kind)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv/bin"
    run(binaries / "pip", "install", "-q", package, cwd=tmp_path)

    assert __version__ in run(binaries / "srproxy", "--version", cwd=tmp_path)
    # Data files: the operations, and the templates of the page.
    assert "GET" in run(binaries / "srproxy", "operations", "candidates", cwd=tmp_path)
    code = "from proxy.control.rendering import render; from proxy.sandbox import operations"
    run(binaries / "python", "-c", code, cwd=tmp_path)


def test_the_licence_is_in_both(packages: Path) -> None:
    import tarfile
    import zipfile

    (wheel,) = packages.glob("*.whl")
    (source,) = packages.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(source) as tar:
        assert any(name.endswith("/LICENSE") for name in archive.namelist())
        assert any(name.endswith("/LICENSE") for name in tar.getnames())
