"""aiohttp's client over connections that a Dialer opens, for the few calls of our own.

Import it where it is used: the start of `serve` does not wait for aiohttp.
"""

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from proxy.system.dialing import Dialer


class DialedConnector(aiohttp.BaseConnector):
    """Connects to the dialer's peer alone, and uses no connection twice.

    A late answer must not meet the next request.
    """

    def __init__(self, dialer: Dialer) -> None:
        super().__init__(force_close=True)
        self._dialer = dialer

    # What aiohttp's own connectors implement: for TCP, for Unix sockets, for named pipes.
    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],  # noqa: ARG002
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002
    ) -> ResponseHandler:
        if (req.url.raw_host, req.url.port) != (self._dialer.host, self._dialer.port):
            raise ValueError("a request for another host than the dialer's")
        return await self._dialer.dial(self._factory)


def open_session(dialer: Dialer, timeout: float) -> aiohttp.ClientSession:
    """Open a session without cookies and environment; `timeout` is for each call altogether."""
    return aiohttp.ClientSession(
        connector=DialedConnector(dialer),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout),
        trust_env=False,
    )
