"""Python interpreters, how they were built, and virtual environments made from them."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROBE = """
import json, sys, sysconfig
used = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
print(json.dumps([list(sys.version_info[:3]), sys.base_prefix, used]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One CPython, with whether it was built with profile-guided optimisation."""

    path: Path
    version: tuple[int, ...]
    prefix: str
    optimised: bool

    @classmethod
    def of(cls, path: Path) -> Self:
        done = subprocess.run([path, "-c", PROBE], capture_output=True, check=True, timeout=30)
        version, prefix, optimised = json.loads(done.stdout)
        # Debian builds with PGO in its rules file, which leaves no trace in the variables.
        return cls(path, tuple(version), prefix, optimised or prefix == "/usr")

    @property
    def label(self) -> str:
        number = ".".join(map(str, self.version))
        return f"CPython {number}{' (PGO)' if self.optimised else ''}"

    @property
    def tag(self) -> str:
        return f"{'.'.join(map(str, self.version))}{'-pgo' if self.optimised else ''}"

    def has(self, *modules: str) -> bool:
        """Whether all of these can be imported."""
        statement = "import " + ", ".join(modules)
        done = subprocess.run(
            [self.path, "-c", statement], capture_output=True, timeout=60, check=False
        )
        return done.returncode == 0


def make_environment(python: Path, folder: Path, packages: Sequence[str]) -> None:
    """A virtual environment with packages from PyPI; raises CalledProcessError."""
    commands: tuple[list[str | Path], ...] = (
        [python, "-m", "venv", folder],
        [folder / "bin" / "python", "-m", "pip", "install", "-q", *packages],
    )
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
