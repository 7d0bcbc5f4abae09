"""The process's settings, tried in processes of their own: they cannot be undone."""

import subprocess
import sys

import pytest

from proxy.system.process import environment_warnings

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="prctl and mallopt are Linux's")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


@LINUX
def test_a_hardened_process_leaves_no_core_dump() -> None:
    seen = run(
        "import ctypes, resource\n"
        "from proxy.system.process import harden\n"
        "harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )

    assert seen == "(0, 0) 0"


DESCRIPTORS = (
    "import resource\n"
    "from proxy.system.process import allow_descriptors\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))\n"
    "print(allow_descriptors(300), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
)


def test_the_limit_on_descriptors_is_raised_for_the_connections() -> None:
    assert run(DESCRIPTORS.format(hard=1000)) == "None 500"


def test_a_limit_that_cannot_be_raised_far_enough_is_told() -> None:
    seen = run(DESCRIPTORS.format(hard=400))

    assert seen.startswith("may open 400 descriptors, too few for listen.max_connections")
    assert seen.endswith(" 400")


def test_files_of_a_hardened_process_are_private(tmp_path) -> None:
    seen = run(
        "import pathlib, sys\n"
        "from proxy.system.process import harden\n"
        "harden()\n"
        f"made = pathlib.Path({str(tmp_path / 'made')!r})\n"
        "made.write_text('x')\n"
        "print(oct(made.stat().st_mode & 0o777))"
    )

    assert seen == "0o600"


@LINUX
def test_tuning_is_accepted_and_collects_now_and_then() -> None:
    seen = run(
        "import gc\nfrom proxy.system.process import tune\ntune()\n"
        "print(gc.get_freeze_count() > 0, gc.get_threshold()[0])"
    )

    assert seen == "True 10000"


def test_a_key_log_is_warned_of() -> None:
    assert environment_warnings({}) == []
    assert "SSLKEYLOGFILE" in environment_warnings({"SSLKEYLOGFILE": "/tmp/keys"})[0]


def test_the_collector_is_as_it_was_after_a_pause() -> None:
    seen = run(
        "import gc\n"
        "from proxy.system.process import collector_paused\n"
        "with collector_paused():\n"
        "    print(gc.isenabled())\n"
        "print(gc.isenabled())\n"
        "gc.disable()\n"
        "with collector_paused():\n"
        "    pass\n"
        "print(gc.isenabled())"
    )

    assert seen.split() == ["False", "True", "False"]
