"""Where callers reach us: the sockets, their TLS, and the servers that accept on them."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from proxy.config import ListenConfig
from proxy.errors import ConfigurationError
from proxy.system.listeners import Listeners, open_listeners
from proxy.system.loopback import is_loopback
from proxy.system.origin import build_origin, reachable_origin
from proxy.system.server_tls import ServerTls
from proxy.system.systemd import HandedOver

logger = logging.getLogger(__name__)

BACKLOG = 1024
# How often the certificate's files are read again; a pair that was renewed serves soon after.
CERTIFICATE_INTERVAL = 20.0
# How long a process that is being replaced serves on what the kernel had already given it.
HANDOVER_TIME = 1.0
WARN_DAYS = (14, 3)
Factory = Callable[[], asyncio.Protocol]


class Ports:
    """The listening sockets of callers, and of probes where those have their own."""

    def __init__(self, listen: ListenConfig, handed_over: HandedOver | None = None) -> None:
        self._listen = listen
        self._handed_over = handed_over or HandedOver()
        self._callers = Listeners()
        self._probes = Listeners()
        self._servers: list[asyncio.Server] = []
        self._watching: asyncio.Task[None] | None = None
        self.tls: ServerTls | None = None

    # Looking

    @property
    def port(self) -> int | None:
        """Return the port of callers; None where they come over a Unix socket alone."""
        return self._callers.port

    @property
    def addresses(self) -> list[str]:
        """Return every address, for people."""
        urls = [self._url(listener, tls=self.tls is not None) for listener in self._callers.tcp]
        if self._callers.unix is not None:
            urls.append(f"unix:{self._callers.unix.getsockname()}")
        urls += [f"{self._url(listener, tls=False)} (probes)" for listener in self._probes.tcp]
        return urls

    @property
    def base_url(self) -> str | None:
        """Return the base URL for a tool on this machine; None over a Unix socket alone."""
        if self.port is None:
            return None
        host = self._listen.host or "localhost"
        if self._handed_over.callers:
            host = str(self._callers.tcp[0].getsockname()[0])
        if self._handed_over.callers and is_loopback(host):
            host = "localhost"
        return reachable_origin(host, self.port, tls=self.tls is not None)

    # Opening and closing

    def open(self) -> None:
        """Bind everything or nothing; StartError or ConfigurationError otherwise."""
        listen, tls = self._listen, self._listen.tls
        if tls.cert_file is not None:
            self.tls = ServerTls(tls.cert_file, tls.key_file, tls.client_ca_file)
        if self._handed_over.callers:
            self._callers = Listeners.adopt(self._handed_over.callers)
        else:
            self._callers = open_listeners(
                listen.host,
                listen.port,
                listen.unix_socket,
                listen.unix_socket_bits,
                reuse_port=listen.reuse_port,
            )
        if self._handed_over.probes:
            self._probes = Listeners.adopt(self._handed_over.probes)
        elif listen.probes.host is not None:
            self._probes = open_listeners(
                listen.probes.host, listen.probes.port, reuse_port=listen.reuse_port
            )
        for note in (*self._callers.notes, *self._probes.notes):
            logger.warning("listen_family_absent %s", note)

    async def accept(self, callers: Factory, probes: Factory) -> None:
        """Begin to accept; the Unix socket and probes are never spoken to by TLS."""
        loop = asyncio.get_running_loop()
        context = None if self.tls is None else self.tls.context
        for listener in self._callers.tcp:
            self._servers.append(
                await loop.create_server(callers, sock=listener, backlog=BACKLOG, ssl=context)
            )
        if self._callers.unix is not None:
            self._servers.append(
                await loop.create_unix_server(callers, sock=self._callers.unix, backlog=BACKLOG)
            )
        for listener in self._probes.tcp:
            self._servers.append(await loop.create_server(probes, sock=listener, backlog=BACKLOG))
        if self.tls is not None:
            self._watching = loop.create_task(self._watch_certificate())

    @property
    def has_successor(self) -> bool:
        """Return whether another process may take our callers over: they must notice nothing."""
        return self._listen.reuse_port or bool(self._handed_over.callers)

    async def hand_over(self) -> None:
        """Let a newer process have the new connections, and accept those that are ours already."""
        if self._handed_over.callers:
            # The kernel keeps for the next process what we do not accept.
            self.stop_accepting()
        else:
            self._callers.yield_to_newer()
            self._probes.yield_to_newer()
        await asyncio.sleep(HANDOVER_TIME)

    def stop_accepting(self) -> None:
        """Accept no more; what systemd holds keeps waiting for the next process."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        """Let go of every socket."""
        self.stop_accepting()
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self._callers.close()
        self._probes.close()

    # The certificate

    def renew_certificate(self) -> None:
        """Take up the certificate's files; where they do not fit, the old ones stay."""
        if self.tls is None:
            return
        try:
            self.tls.reload()
        except ConfigurationError as error:
            logger.warning("certificate_not_renewed %s", "; ".join(error.problems))
        else:
            logger.info("certificate_renewed ends_at=%d", self.tls.expires_at)

    async def _watch_certificate(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_INTERVAL)
            # In a thread: the files may lie on a file system that hangs.
            if self.tls is not None and await asyncio.to_thread(self.tls.has_changed):
                self.renew_certificate()

    @staticmethod
    def _url(listener: socket.socket, *, tls: bool) -> str:
        name: Any = listener.getsockname()
        return build_origin(str(name[0]), int(name[1]), tls=tls)
