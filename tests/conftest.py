"""Flags of the test suite, and CI's rule that nothing is skipped for want of a program."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smartrecruiters-proxy")
    group.addoption(
        "--container",
        action="store_true",
        help="build and try the image (root, mmdebstrap, buildah, podman, runc; a minute or two)",
    )
    group.addoption(
        "--soak",
        nargs="?",
        type=float,
        const=30.0,
        default=None,
        metavar="MINUTES",
        help="run the long soak (30 minutes unless said otherwise) in place of the short one",
    )
