"""The server on sockets that are handed to it, as systemd's socket units do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.processes import Process, clean_environment

LAUNCH = (
    "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); "
    "os.execv(sys.executable, [sys.executable, '-m', 'proxy', *sys.argv[1:]])"
)


def activated(home: Path, file: Path, listening: list[socket.socket]) -> Process:
    """Start the server as a socket unit does: with the sockets from descriptor 3 on."""
    fds = [listener.fileno() for listener in listening]

    def hand_over() -> None:
        kept = [os.dup(fd) for fd in fds]
        for number, fd in enumerate(kept):
            os.dup2(fd, 3 + number)

    command = [sys.executable, "-c", LAUNCH, "serve", "-c", str(file)]
    return Process(
        subprocess.Popen(
            command,
            cwd=home,
            env=clean_environment(home, {"LISTEN_FDS": str(len(fds))}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=hand_over,
            pass_fds=range(3, 3 + len(fds)),
        )
    )
