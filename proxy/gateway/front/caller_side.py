"""What a request needs of the connection that it came on."""

from proxy.gateway.forward import Prepared
from proxy.gateway.front.outgoing import Outgoing
from proxy.gateway.front.registry import Registered
from proxy.gateway.guards import Admission, Peer


class CallerSide(Registered):
    """The connection that a request came on."""

    out: Outgoing
    peer: Peer
    pipelined: bytes  # what came behind the request
    admission: Admission | None  # holds for the same method and headers again
    prepared: Prepared  # of the request before
    write_paused: bool

    @property
    def is_draining(self) -> bool:
        raise NotImplementedError

    @property
    def is_retiring(self) -> bool:
        raise NotImplementedError

    def pause_reading(self) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError

    def answered(self) -> None:
        """Note that the answer is complete; `left` is called once it has been written."""
        raise NotImplementedError

    def broken_off(self) -> None:
        """Note that the answer was broken off and the connection closed."""
        raise NotImplementedError
