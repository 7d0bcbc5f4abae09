"""Whom a connection of the pool calls: the exchange it carries, and the pool.

Base classes rather than protocols: they are called for every request, and mypyc compiles a call of
a base class's method into a jump.
"""

from typing import TYPE_CHECKING

from proxy.errors import Problem
from proxy.gateway.http1 import Headers, ResponseHead

if TYPE_CHECKING:
    from proxy.gateway.upstream.connection import UpstreamConnection


class AnswerSink:
    """Receives an answer as it arrives, and how the sending of the request goes.

    `end`, `failed` or `whole_answer` is the last call. `whole_answer` replaces the calls `answer`,
    `data` and `end`; it is not used for a 401.
    """

    __slots__ = ()

    def interim(self, head: ResponseHead) -> None:
        raise NotImplementedError

    def answer(self, head: ResponseHead) -> None:
        raise NotImplementedError

    def whole_answer(self, head: ResponseHead, body: bytes) -> None:
        raise NotImplementedError

    def data(self, data: bytes) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def end(self, trailers: Headers) -> None:
        raise NotImplementedError

    def failed(self, problem: Problem, connection: "UpstreamConnection") -> None:
        raise NotImplementedError

    def upstream_full(self) -> None:
        raise NotImplementedError

    def upstream_ready(self) -> None:
        raise NotImplementedError


class Home:
    """The pool, as a connection knows it."""

    __slots__ = ()

    def released(self, connection: "UpstreamConnection") -> None:
        raise NotImplementedError

    def lost(self, connection: "UpstreamConnection") -> None:
        raise NotImplementedError
