"""Flags of the test suite, and CI's rule that nothing is skipped for want of a program."""

import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from proxy.system.build import build_kind


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smartrecruiters-proxy")
    group.addoption(
        "--bulk",
        action="store_true",
        help="move 2 GB each way in tests/e2e/test_bulk.py, in place of 64 MB",
    )
    group.addoption(
        "--container",
        action="store_true",
        help="build and try the image (root, mmdebstrap, buildah, podman, runc; some five minutes)",
    )
    group.addoption(
        "--compiled",
        action="store_true",
        help="refuse to run on anything but an installed wheel whose data path is compiled",
    )
    group.addoption(
        "--packages",
        action="store_true",
        help="build sdist and compiled wheel, and try them in empty environments (needs an index)",
    )
    group.addoption(
        "--built",
        type=Path,
        metavar="FOLDER",
        help="where --packages finds both built: SRPROXY_PURE=0 python -m build -o FOLDER",
    )
    group.addoption(
        "--kills",
        type=int,
        default=100,
        metavar="N",
        help="how often tests/e2e/test_kill.py kills (100 in CI, 1000 before a release)",
    )
    group.addoption("--kills-seed", type=int, default=None, help="repeat a run of kills")
    group.addoption(
        "--soak",
        nargs="?",
        type=float,
        const=30.0,
        default=None,
        metavar="MINUTES",
        help="run the long soak (30 minutes unless said otherwise) in place of the short one",
    )
    group.addoption(
        "--soak-rate",
        type=float,
        default=2000.0,
        metavar="N",
        help="requests a second in the long soak",
    )
    group.addoption(
        "--upgrades",
        type=int,
        default=3,
        metavar="N",
        help="how often tests/e2e/test_upgrade.py replaces the server under load",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker; and time no example of a property: the machine may be busy."""
    if config.getoption("--compiled") and build_kind() != "compiled":
        raise pytest.UsageError("the data path that would be tested is not compiled")
    config.addinivalue_line("markers", "interpreted: replaces a part of the data path")
    slow = [HealthCheck.too_slow]
    settings.register_profile("untimed", deadline=None, suppress_health_check=slow)
    settings.load_profile("untimed")


# Where processes, browsers and images are: first, or the last of them keeps one worker busy alone.
LONG = ("deploy", "e2e", "browser", "cli", "security")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    tests = Path(__file__).parent
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.relative_to(tests).parts[0], len(LONG)))
    if build_kind() == "compiled":
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(pytest.mark.skip("what it replaces is compiled here"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn a skip for want of a program into a failure: .ci/run installs them all."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr)
        if re.search("not installed|could not fetch", reason):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where .ci/run should have installed it: {reason}"
    return report
