"""What every benchmark stands on: nginx as the upstream, a token endpoint, a folder, the cores."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.certificates import Certificates, make_certificates
from bench.machine import Cores
from bench.peers import Place
from bench.processes import Processes
from bench.token_endpoint import token_endpoint
from bench.upstream import Upstream, memory_folder, start_upstream

WORK = Path(__file__).parent / ".work"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the peers of a run are started."""

    run: Path
    certificates: Certificates
    core: int
    processes: Processes

    def of(self, name: str) -> Place:
        """The place of one peer, by its folder's name."""
        folder = self.run / name
        folder.mkdir(parents=True, exist_ok=True)
        return Place(folder, self.core, self.certificates, self.processes)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs while the peers are measured in turns."""

    cores: Cores
    endpoint: str  # URL of the token endpoint
    upstream: Upstream
    places: Places


@contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Set it up in a fresh folder `name`; whatever was started is ended with it."""
    cores = Cores.of_this_machine()
    run = WORK / name
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    memory = memory_folder(run)
    try:
        with token_endpoint() as endpoint, Processes(run) as processes:
            certificates = make_certificates(run)
            upstream = start_upstream(processes, certificates, memory, cores.others)
            yield Stage(
                cores, endpoint, upstream, Places(run, certificates, cores.proxy, processes)
            )
    finally:
        shutil.rmtree(memory, ignore_errors=True)
