"""Wheel and sdist, installed without a clone, carry all that the program needs.

The wheel is compiled, and made from the sdist, as `python -m build` does it.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.processes import ROOT, Process, free_port, wait_until_answers

PATIENCE = 600
COMPILER = (sysconfig.get_config_var("CC") or "cc").split()[0]


def environment(**extra: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SRPROXY_PURE")} | extra


def run(*command: str | Path, cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ or environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not request.config.getoption("--packages"):
        pytest.skip("needs --packages")
    built: Path | None = request.config.getoption("--built")
    if built is not None:
        return built
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    run(*command, cwd=folder, environ=environment(SRPROXY_PURE="0"))
    return folder


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    (found,) = packages.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(packages: Path) -> Path:
    (found,) = packages.glob("*.tar.gz")
    return found


@pytest.mark.parametrize(("kind", "build"), [("wheel", "compiled"), ("sdist", "pure")])
def test_it_runs_from_an_empty_environment(
    request: pytest.FixtureRequest, kind: str, build: str, tmp_path: Path
) -> None:
    package: Path = request.getfixturevalue(kind)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv/bin"
    environ = environment(SRPROXY_PURE="1", HOME=str(tmp_path))
    run(binaries / "pip", "install", "-q", package, cwd=tmp_path, environ=environ)

    version = run(binaries / "srproxy", "--version", "-v", cwd=tmp_path)
    assert __version__ in version
    assert f"build: {build}," in version
    # Data files: the operations, and the templates of the page.
    assert "GET" in run(binaries / "srproxy", "operations", "candidates", cwd=tmp_path)
    code = "from proxy.control.rendering import render; from proxy.sandbox import operations"
    run(binaries / "python", "-c", code, cwd=tmp_path)

    url = f"http://localhost:{(port := free_port())}"
    options = ["--auto-approve", "--sandbox-port", "0", "--port", str(port)]
    server = Process(
        subprocess.Popen(
            [str(binaries / "srproxy"), "sandbox", *options],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    )
    try:
        wait_until_answers(f"{url}/-/ready")
        with urllib.request.urlopen(f"{url}/candidates", timeout=20) as answer:
            assert b'"content"' in answer.read()
    finally:
        ended = server.stop()
    assert ended == 0, server.stderr


def test_the_licence_is_in_both(wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, tarfile.open(sdist) as tar:
        assert any(name.endswith("/LICENSE") for name in archive.namelist())
        assert any(name.endswith("/LICENSE") for name in tar.getnames())


def test_a_compiled_wheel_is_for_one_interpreter_and_has_the_sources_beside(wheel: Path) -> None:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert f"-{tag}-{tag}-" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    compiled = {n.split(".")[0] for n in names if n.startswith("proxy/") and n.endswith(".so")}

    assert "proxy/gateway/front/connection" in compiled
    assert {f"{name}.py" for name in compiled} <= names
    assert not [name for name in names if re.search(r"\.[cho]$|^(build|deploy|tests)/", name)]


@pytest.mark.parametrize("compiler", [None, "exit 1"], ids=["none", "fails"])
def test_without_a_compiler_that_works_a_wheel_is_pure_and_says_so(
    sdist: Path, compiler: str | None, tmp_path: Path
) -> None:
    run("tar", "-xf", sdist, cwd=tmp_path)
    (source,) = tmp_path.iterdir()
    path = tmp_path / "bin"
    path.mkdir()
    if compiler is not None:
        (path / COMPILER).write_text(f"#!/bin/sh\n{compiler}\n")
        (path / COMPILER).chmod(0o755)
    environ = environment(PATH=str(path), TMPDIR=str(tmp_path))
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(source)]

    assert "not compiled, pure Python instead" in run(*command, cwd=tmp_path, environ=environ)

    assert [file.name for file in tmp_path.glob("*.whl")] == [
        f"smartrecruiters_proxy-{__version__}-py3-none-any.whl"
    ]
    assert not list(tmp_path.glob("srproxy-build-*"))
