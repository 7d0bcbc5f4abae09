"""Which build the tests run on."""

from pathlib import Path

from proxy.system.build import build_kind
from tests.support.processes import srproxy


def test_a_process_of_the_tests_is_of_the_build_that_they_import(tmp_path: Path) -> None:
    told = srproxy("--version", "-v", home=tmp_path).stdout

    assert f"build: {build_kind()}," in told
