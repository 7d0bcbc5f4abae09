"""What the numbers were measured on: processor, system, and the two cores that are used."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for the proxy under test, the other for the upstream and the load generator."""

    proxy: int
    others: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise SystemExit("bench: needs two processor cores; this process may use only one")
        return cls(proxy=allowed[0], others=allowed[1])


def describe() -> str:
    """One line: processor model, cores, memory, kernel, system."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = "Linux"
    release = Path("/etc/os-release")
    if release.exists():
        for line in release.read_text().splitlines():
            if line.startswith("PRETTY_NAME="):
                system = line.partition("=")[2].strip('"')
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, "
        f"{system}, Linux {platform.release()}"
    )


def first_line(*command: str) -> str:
    """The first line a version command prints, on whichever stream it chose."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    text = (done.stdout + done.stderr).strip()
    return text.splitlines()[0] if text else ""
