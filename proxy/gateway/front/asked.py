"""A request to the proxy itself: the control routes answer it, and this sends what they say.

Promises: the routes see a whole body or are not asked; whoever has begun to answer is not stopped
when the caller hangs up, for a login must not be cut between spending a code and storing what came
of it; a stream alone ends with its reader, is given no more than the reader takes, and one that
fails midway never looks complete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from proxy.errors import Problem, unforeseen
from proxy.gateway.front.here import Answering, Here
from proxy.gateway.guards import Peer, origin_form
from proxy.gateway.http1 import RequestHead
from proxy.messages import Answer, Request, Stream

logger = logging.getLogger(__name__)

LARGEST_BODY = 64 * 1024
# For the whole body, in seconds: none of these routes takes more than a few lines.
BODY_TIMEOUT = 10.0

# Answers a request; raises the Problem that it is answered with.
Control = Callable[[Request], Awaitable[Answer | Stream]]


class Asking(Answering):
    """The caller's side of it."""

    def begin(self, stream: Stream) -> bool:
        """Send the head of a stream; return whether its pieces are wanted: not for HEAD."""
        raise NotImplementedError


class Asked(Here):
    """Asks the control routes, in a task that `tasks` keeps."""

    def __init__(
        self,
        inbound: Asking,
        head: RequestHead,
        peer: Peer,
        caller: str | None,
        control: Control,
        tasks: set[asyncio.Task[None]],
        *,
        now: float,
    ) -> None:
        super().__init__(inbound, head, LARGEST_BODY, self._ask)
        self._asking = inbound
        self._head = head
        self._peer = peer
        self._caller = caller
        self._control = control
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._body_due = now + BODY_TIMEOUT
        self._is_gone = False  # the caller

    @property
    def awaits_caller(self) -> bool:
        """Return False: the body has a time of its own."""
        return False

    def start(self) -> None:
        """Ask, if the body is here already; do not invite one that is too large."""
        if (self._head.content_length or 0) > self._limit:
            self._refuse_size()
        else:
            super().start()

    def feed(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if len(self._body) + len(data) > self._limit:
            self._refuse_size()
        else:
            super().feed(data)

    def look(self, now: float) -> None:
        """Refuse a body that comes too slowly."""
        if not self._complete and now >= self._body_due:
            self._complete = True
            text = "The request body did not arrive in time; send it again."
            self._inbound.refuse(Problem("bad_request", text, status=408))

    def hang_up(self) -> None:
        """End a stream; what else is under way goes on to its end, unheard."""
        self._is_gone = True
        if self.head_sent and self._task is not None:
            self._task.cancel()

    def caller_full(self) -> None:
        """Write no more of a stream for now."""
        self._room.clear()

    def caller_ready(self) -> None:
        """Write on."""
        self._room.set()

    # ── within ──

    def _refuse_size(self) -> None:
        self._complete = True
        text = "The request body is larger than 64 KiB."
        self._inbound.refuse(Problem("bad_request", text, status=413))

    def _ask(self, body: bytes) -> None:
        head, peer = self._head, self._peer
        target = head.target if head.target.startswith(b"/") else origin_form(head.target)
        request = Request(
            head.method.decode(),
            target.decode("utf-8", "replace"),
            head.fields,
            body,
            is_tls=peer.tls,
            address=peer.address,
            caller=self._caller,
        )
        self._task = asyncio.get_running_loop().create_task(self._tell(request))
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    async def _tell(self, request: Request) -> None:
        try:
            answer = await self._control(request)
            if isinstance(answer, Stream):
                await self._send(answer)
            elif not self._is_gone:
                self._asking.reply(answer)
        except Problem as problem:
            self._fail(problem)
        except Exception:
            logger.exception("control_route_failed")
            self._fail(unforeseen())

    async def _send(self, stream: Stream) -> None:
        async with aclosing(stream.pieces) as pieces:
            if self._is_gone:
                return
            self.head_sent = True
            if self._asking.begin(stream):
                async for piece in pieces:
                    self._inbound.send(piece)
                    self._inbound.flush()
                    await self._room.wait()
            self._inbound.end([])

    def _fail(self, problem: Problem) -> None:
        if not self._is_gone:
            self._inbound.abort(problem)
