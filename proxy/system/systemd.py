"""systemd's two interfaces: readiness (sd_notify, for `Type=notify`) and sockets handed over.

Without a socket named by the service manager nothing happens; a socket that cannot be reached is no
reason to stop serving. Never reads the environment itself: it is passed in.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.errors import StartError

READY = "READY=1"
STOPPING = "STOPPING=1"
FIRST_SOCKET = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START
PROBES = "probes"  # FileDescriptorName= of a socket for the second listener


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The listening sockets of a socket unit: for callers, and those named `probes`."""

    callers: tuple[socket.socket, ...] = ()
    probes: tuple[socket.socket, ...] = ()


def handed_over(environ: Mapping[str, str], pid: int) -> HandedOver:
    """Take the sockets that the service manager opened for this process (LISTEN_FDS); or none.

    StartError where what was handed over is no listening stream socket.
    """
    if environ.get("LISTEN_PID") != str(pid) or not environ.get("LISTEN_FDS", "").isdecimal():
        return HandedOver()
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    callers: list[socket.socket] = []
    probes: list[socket.socket] = []
    for index in range(int(environ["LISTEN_FDS"])):
        try:
            listener = socket.socket(fileno=FIRST_SOCKET + index)
            listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            listens = 0
        if not listens or listener.type != socket.SOCK_STREAM:
            raise StartError(
                "a socket handed over by systemd is no listening stream socket; use "
                "ListenStream= in the socket unit, without Accept=yes"
            )
        listener.setblocking(False)
        listener.set_inheritable(False)
        is_probe = index < len(names) and names[index] == PROBES
        (probes if is_probe else callers).append(listener)
    return HandedOver(tuple(callers), tuple(probes))


def notify(notify_socket: str | None, state: str, status: str = "") -> bool:
    """Send `state`, and a line for `systemctl status`; true if the manager took it."""
    if not notify_socket or notify_socket[0] not in "/@":
        return False
    message = f"{state}\nSTATUS={status}" if status else state
    # A name that begins with @ stands for Linux's abstract namespace, whose first byte is NUL.
    address = "\0" + notify_socket[1:] if notify_socket[0] == "@" else notify_socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect(address)
            manager.sendall(message.encode())
    except OSError:
        return False
    return True
