"""The sockets the proxy listens on: both loopback families, a given host, a Unix socket.

Binding happens before anything else is started, so that a taken or privileged port is reported at
once. A name that means both families gets one port number on both: whoever held the other family's
port could otherwise take the callback's code (RFC 8252 section 8.3 asks for this).
"""

import ctypes
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from proxy.errors import StartError

LOOPBACK = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
# Picking one free number for two families may collide; each try is independent, so a few suffice.
FREE_PORT_ATTEMPTS = 20
# linux/filter.h, asm-generic/socket.h: Python's socket module does not have them.
BPF_RETURN = 0x06
SO_ATTACH_REUSEPORT_CBPF = 51
ABSENT_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


@dataclass(slots=True)
class Listeners:
    """Bound sockets, and notes on what is not available here (no IPv6)."""

    tcp: list[socket.socket] = field(default_factory=list)
    unix: socket.socket | None = None
    notes: list[str] = field(default_factory=list)
    port: int | None = None
    _cleanup: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Close every socket and remove the Unix socket's file; safe to call twice."""
        for listener in self.tcp:
            listener.close()
        if self.unix is not None:
            self.unix.close()
        while self._cleanup:
            self._cleanup.pop()()

    @classmethod
    def adopt(cls, sockets: Sequence[socket.socket]) -> "Listeners":
        """Use sockets that systemd has opened, from a socket unit."""
        listeners = cls()
        for listener in sockets:
            if listener.family == socket.AF_UNIX:
                listeners.unix = listener
            else:
                listeners.tcp.append(listener)
                listeners.port = listener.getsockname()[1]
        return listeners

    def yield_to_newer(self) -> None:
        """Send new connections to the process that has joined these ports since (reuse_port).

        The kernel gives each of a port's sockets a share of the new connections, and resets those
        that wait at a socket when it is closed. A one-instruction filter sends all new ones to the
        second oldest socket of the port, which is the newer process's; where there is none, it
        points at nothing and the kernel chooses as before (socket(7), SO_ATTACH_REUSEPORT_CBPF).
        """
        instruction = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 1))
        program = struct.pack("HP", 1, ctypes.addressof(instruction))
        for listener in self.tcp:
            with suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program)


def open_listeners(
    host: str | None,
    port: int,
    unix_socket: Path | None = None,
    unix_socket_mode: int = 0o600,
    *,
    reuse_port: bool = False,
) -> Listeners:
    """Bind everything or nothing; StartError says which address failed and what to do.

    With `reuse_port` another process that asks for it as well may have the same port.
    """
    listeners = Listeners()
    try:
        if host is not None:
            _bind_tcp(listeners, host, port, reuse_port)
        if unix_socket is not None:
            _bind_unix(listeners, unix_socket, unix_socket_mode)
    except BaseException:
        listeners.close()
        raise
    return listeners


def free_port() -> int:
    """Find a port that is free on both loopback families, for who must know it beforehand."""
    listeners = open_listeners("localhost", 0)
    listeners.close()
    assert listeners.port is not None  # noqa: S101 - there is one for TCP
    return listeners.port


def _bind_tcp(listeners: Listeners, host: str, port: int, reuse_port: bool) -> None:
    addresses = _addresses(host, port)
    attempts = FREE_PORT_ATTEMPTS if port == 0 and len(addresses) > 1 else 1
    for attempt in range(attempts):
        number = port
        bound: list[socket.socket] = []
        notes: list[str] = []
        try:
            for address, family in addresses:
                try:
                    listener = _bind_one(address, family, number, reuse_port)
                except OSError as error:
                    if error.errno in ABSENT_FAMILY and len(addresses) > 1:
                        notes.append(f"{address} is not available here: {error.strerror}")
                        continue
                    raise _start_error(error, address, number or port) from error
                number = listener.getsockname()[1]
                bound.append(listener)
        except StartError:
            for listener in bound:
                listener.close()
            if attempt + 1 == attempts:
                raise
            continue
        if not bound:
            raise StartError(
                f"no address of {host} can be listened on ({'; '.join(notes)}); "
                "set listen.host to an address of this machine"
            )
        listeners.tcp, listeners.notes, listeners.port = bound, notes, number
        return


def _addresses(host: str, port: int) -> list[tuple[str, socket.AddressFamily]]:
    if host.lower() == "localhost":
        return list(LOOPBACK)
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartError(
            f"listen.host {host!r} is not an address of this machine ({error.strerror}); "
            "use localhost, an IP address, or a name that resolves here"
        ) from error
    addresses = dict.fromkeys((str(entry[4][0]), entry[0]) for entry in found)
    return list(addresses)


def _bind_one(
    address: str, family: socket.AddressFamily, port: int, reuse_port: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # `::` alone means every address of both families; otherwise each family has its own.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        listener.bind((address, port))
        # Listening at once: two programs may bind one port with SO_REUSEADDR, one may listen.
        listener.listen(1024)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _start_error(error: OSError, address: str, port: int) -> StartError:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"{where} is taken by another program; stop it, or set listen.port to another number "
            "(the redirect URI's port must follow)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartError(
            f"{where} may not be listened on ({error.strerror}); ports below 1024 need a "
            "privilege: set listen.port to 1024 or more"
        )
    return StartError(f"{where} cannot be listened on: {error.strerror}; check listen.host")


def _bind_unix(listeners: Listeners, path: Path, mode: int) -> None:
    # The lock tells a live instance from a stale file without a race: the kernel drops it with
    # its holder. asyncio alone would remove another instance's socket and take its callers.
    lock = FileLock(f"{path}.lock", mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StartError(
            f"{path} is in use by another instance; stop it, or set listen.unix_socket to "
            "another path"
        ) from error
    except OSError as error:
        raise StartError(
            f"{path} cannot be made: {error.strerror}; check that its folder exists and is yours"
        ) from error
    listeners._cleanup.append(lock.release)  # noqa: SLF001 - the value built in this module
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listeners.unix = listener
    # Made with its mode: between the bind and a chmod others could connect.
    previous = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise StartError(
            f"{path} cannot be made: {error.strerror or error}; check listen.unix_socket"
        ) from error
    finally:
        os.umask(previous)
    listener.listen(1024)
    listener.setblocking(False)
    made = path.stat()

    def remove() -> None:
        try:
            now = path.stat()
        except FileNotFoundError:
            return
        if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
            path.unlink(missing_ok=True)

    listeners._cleanup.append(remove)  # noqa: SLF001 - the value built in this module


def _remove_stale(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise StartError(
            f"{path} exists and is not a socket; it was left alone: move it away, or set "
            "listen.unix_socket to another path"
        )
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1)
        probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StartError(
            f"{path} is a socket of another program ({error.strerror}); set listen.unix_socket "
            "to another path"
        ) from error
    else:
        raise StartError(
            f"{path} is in use by another program; stop it, or set listen.unix_socket to another "
            "path"
        )
    finally:
        probe.close()
