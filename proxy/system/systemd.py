"""Tells systemd that the server is ready or stopping (sd_notify, for a unit of `Type=notify`).

Without a socket named by the service manager nothing happens; a socket that cannot be reached is
no reason to stop serving. Never reads the environment itself: NOTIFY_SOCKET's value is handed in.
"""

import socket

READY = "READY=1"
STOPPING = "STOPPING=1"


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
