"""What a long-lived process must keep flat, and its log file under rotation by copytruncate."""

import json
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment."""

    at: float
    memory: float  # MiB resident
    descriptors: int
    threads: int


def sample(pid: int, at: float) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return Sample(
        at=at,
        memory=int(fields["VmRSS"].split()[0]) / 1024,
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(fields["Threads"]),
    )


def early_and_late(values: list[float]) -> tuple[float, float]:
    """Return the medians of the second and of the last fifth: the first one warms up."""
    fifth = max(1, len(values) // 5)
    return statistics.median(values[fifth : 2 * fifth] or values), statistics.median(
        values[-fifth:]
    )


@dataclass(slots=True)
class RotatedLog:
    """A log that is copied and truncated under its writer, as by logrotate's copytruncate."""

    path: Path
    rotations: int = 0
    lines: int = 0
    broken: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    _rest: bytes = b""

    def rotate(self) -> None:
        """Take what is there; what is written between copy and truncate is lost, as ever."""
        with self.path.open("r+b") as file:
            data = file.read()
            file.truncate(0)
        self.rotations += 1
        self._take(data)

    def finish(self) -> None:
        self._take(self.path.read_bytes())
        if self._rest:
            self.broken.append(repr(self._rest[:200]))

    def _take(self, data: bytes) -> None:
        # A line may straddle the copy: its second half comes with the next one.
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.lines += 1
            try:
                entry = json.loads(line)
            except ValueError:
                self.broken.append(repr(line[:200]))
                continue
            self.events[str(entry["message"]).split(" ")[0]] += 1
            if entry["level"] == "error":
                self.errors.append(line.decode(errors="replace")[:500])
