"""The control routes, opened a moment after callers are served: they are not what a call waits for.

Importing aiohttp and what is built on it takes a third of the time to the first answer. So that
is done beside serving, in a thread, soon after the start or as soon as a control request comes;
until then such a request waits, and its bytes with it. Imports nothing of aiohttp itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

Factory = Callable[[], asyncio.Protocol]
# Long enough for a first call that came with the start, short enough for the first probe.
GRACE = 0.5


class LateControl:
    """Makes the control routes' protocols; before those are open, ones that wait for them."""

    def __init__(
        self, build: Callable[[], Awaitable[Factory]], afterwards: Callable[[], object]
    ) -> None:
        """`afterwards` is called in a thread, once those who wait were let in."""
        self._build = build
        self._afterwards = afterwards
        self._factory: Factory | None = None
        self._has_failed = False
        self._waiting: list[LateProtocol] = []
        self._wanted = asyncio.Event()

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of one control connection."""
        if self._factory is not None:
            return self._factory()
        protocol = LateProtocol()
        if self._has_failed:
            protocol.give_up()
            return protocol
        self._waiting.append(protocol)
        self._wanted.set()
        return protocol

    async def open(self) -> None:
        """Build the routes in good time, and let those who wait for them in.

        Raises what the building raised; those who wait are then cut off, and those to come too.
        """
        try:
            async with asyncio.timeout(GRACE):
                await self._wanted.wait()
        except TimeoutError:
            pass  # nobody asked yet
        try:
            self._factory = await self._build()
        except BaseException:
            self._has_failed = True
            for protocol in self._waiting:
                protocol.give_up()
            raise
        waiting, self._waiting = self._waiting, []
        for protocol in waiting:
            protocol.become(self._factory)
        await asyncio.to_thread(self._afterwards)


class LateProtocol(asyncio.Protocol):
    """Keeps what comes until it becomes the protocol that it stands for."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._factory: Factory | None = None
        self._inner: asyncio.Protocol | None = None
        self._kept = b""
        self._given_up = False

    def give_up(self) -> None:
        """Cut the caller off: there is nobody to become."""
        self._given_up = True
        if self._transport is not None:
            self._transport.abort()

    def become(self, factory: Factory) -> None:
        """Hand the connection over, unless the caller has left."""
        self._factory = factory
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        inner = self._inner = factory()
        inner.connection_made(transport)
        kept, self._kept = self._kept, b""
        if kept:
            inner.data_received(kept)
        if not transport.is_closing():
            transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._given_up:
            self._transport.abort()
            return
        self._transport.pause_reading()
        if self._factory is not None:
            self.become(self._factory)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
        else:
            self._kept += data

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
