"""When the proxy last looked whether something unasked had come: on record, for the upstream.

On loopback a write is in the other side's socket before it returns. So an unasked answer that was
written before the proxy's last look was there to be seen, and one written after it was not: the
clock that all processes share tells which, however long either was kept off the processor.

    python -m tests.e2e.soak.looks FILE serve -c config.yaml      # srproxy, recording its looks
"""

import mmap
import struct
import sys
import time
from pathlib import Path

# For each of our ports, how many looks there were, and the times of the last of them.
KEPT = 15
SLOT = struct.Struct(f"<{KEPT + 1}q")
TIME = struct.Struct("<q")
SIZE = 65536 * SLOT.size


class Looks:
    """The record, shared by both processes as a file in memory."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(SIZE)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)

    def add(self, port: int, moment: int) -> None:
        """Note when a look began that found nothing."""
        start = port * SLOT.size
        (count,) = TIME.unpack_from(self._map, start)
        TIME.pack_into(self._map, start + (1 + count % KEPT) * TIME.size, moment)
        TIME.pack_into(self._map, start, count + 1)

    def first_after(self, port: int, moment: int) -> int | None:
        """Return the first look at a connection after a moment, if one is on record."""
        _, *times = SLOT.unpack_from(self._map, port * SLOT.size)
        return min((at for at in times if at > moment), default=None)


def main() -> int:
    """Run the program with its looks recorded."""
    from proxy.cli import main as run
    from proxy.gateway.upstream import UpstreamConnection

    looks = Looks(Path(sys.argv.pop(1)))
    look = UpstreamConnection.has_input

    def recorded_look(connection: UpstreamConnection) -> bool:
        assert connection.transport is not None
        begun = time.monotonic_ns()
        found = look(connection)
        if not found:  # then the request is sent
            looks.add(connection.transport.get_extra_info("sockname")[1], begun)
        return found

    UpstreamConnection.has_input = recorded_look  # type: ignore[method-assign, assignment]
    return run()


if __name__ == "__main__":
    sys.exit(main())
