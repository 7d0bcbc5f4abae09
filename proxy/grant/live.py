"""The grant in one process's memory: the credential, and its deadlines on both clocks.

An access token is valid only while the wall clock and the monotonic one both say so: the first goes
on during a suspend, the second cannot be set back. The deadlines on both clocks are computed once,
when a token is taken up; a clock jump cannot extend them.
"""

from dataclasses import dataclass

from proxy.grant.stores.record import Record
from proxy.system.clock import Clock
from proxy.system.secret import Secret


@dataclass(frozen=True, slots=True)
class Credential:
    """The header lines that a forwarded request carries, ended by CRLF; never printed."""

    lines: bytes
    generation: int

    def __repr__(self) -> str:
        return f"Credential(generation={self.generation})"


def bearer(token: Secret, generation: int) -> Credential:
    """Make the credential of an access token."""
    return Credential(b"Authorization: Bearer %b\r\n" % token.reveal().encode(), generation)


class Live:
    """One record and its deadlines."""

    __slots__ = (
        "_ahead_mono", "_ahead_wall", "_clock", "_ends_mono", "_ends_wall", "_idle_mono",
        "_idle_refresh", "_margin", "_monotonic", "_now", "credential", "record",
    )  # fmt: skip

    def __init__(self, clock: Clock, margin: float, idle_refresh: float) -> None:
        self._clock = clock
        self._now, self._monotonic = clock.now, clock.monotonic  # looked up once: the hot path
        self._margin = margin
        self._idle_refresh = idle_refresh
        self.record: Record | None = None
        self.credential: Credential | None = None
        self._ends_wall = self._ahead_wall = 0.0
        self._ends_mono = self._ahead_mono = self._idle_mono = 0.0

    @property
    def generation(self) -> int:
        """Return the generation in memory; 0 without a record."""
        return self.record.generation if self.record else 0

    def adopt(self, record: Record | None) -> None:
        """Take a record into memory; a token that is known already keeps its deadlines."""
        before, self.record = self.record, record
        if record is None or record.tokens is None:
            self.credential = None
            return
        tokens = record.tokens
        known = before is not None and before.tokens is not None and (
            before.generation == record.generation
            and before.tokens.issued_at == tokens.issued_at
            and before.tokens.expires_at == tokens.expires_at
            and before.tokens.access_token == tokens.access_token
        )  # fmt: skip
        if known:
            return
        self.credential = bearer(tokens.access_token, record.generation)
        wall, mono = self._clock.now(), self._clock.monotonic()
        # A token issued "in the future" has at most its lifetime left.
        left = min(tokens.expires_at - wall, tokens.lifetime)
        # Expire up to 1 s early: a request sent at the end would arrive too late.
        spare = min(1.0, tokens.lifetime / 20)
        ahead = max(spare, min(self._margin, tokens.lifetime / 2))
        self._ends_wall, self._ends_mono = tokens.expires_at - spare, mono + left - spare
        self._ahead_wall, self._ahead_mono = tokens.expires_at - ahead, mono + left - ahead
        age = max(0.0, wall - tokens.issued_at)
        self._idle_mono = mono + self._idle_refresh - age

    def usable(self) -> bool:
        """Tell whether there is a valid access token."""
        return (
            self.credential is not None
            and self._clock.now() < self._ends_wall
            and self._clock.monotonic() < self._ends_mono
        )

    def current(self) -> tuple[Credential | None, bool]:
        """Return the credential if it is valid, and whether little of it is left."""
        credential = self.credential
        if credential is None:
            return None, False
        wall, mono = self._now(), self._monotonic()
        if wall >= self._ends_wall or mono >= self._ends_mono:
            return None, False
        return credential, wall >= self._ahead_wall or mono >= self._ahead_mono

    def left(self) -> float:
        """Return the seconds for which the access token is surely valid; 0 without one."""
        if self.credential is None:
            return 0.0
        left = min(self._ends_wall - self._clock.now(), self._ends_mono - self._clock.monotonic())
        return max(0.0, left)

    def usual_left(self) -> float:
        """Return the seconds below which the token in memory is refreshed ahead."""
        tokens = self.record.tokens if self.record else None
        return min(self._margin, tokens.lifetime / 2) if tokens else self._margin

    def ahead(self) -> bool:
        """Tell whether little of the access token is left, or none."""
        wall, mono = self._clock.now(), self._clock.monotonic()
        return wall >= self._ahead_wall or mono >= self._ahead_mono

    def idle(self) -> bool:
        """Tell whether the last refresh is longer ago than tokens.idle_refresh."""
        if self.record is None or self.record.tokens is None:
            return False
        age = self._clock.now() - self.record.tokens.issued_at
        return age > self._idle_refresh or self._clock.monotonic() > self._idle_mono
