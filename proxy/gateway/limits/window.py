"""How many requests may be sent in a second, and how many may be under way: pure arithmetic.

The upstream counts a request when it arrives there, which we do not see: some time between our
sending it and its answer. So a place is given back one second after its answer, or after its
sending and SLACK, whichever is earlier. That keeps to the limit whether the upstream counts a
sliding second or one from full second to full second: in no second do more than the limit arrive,
as long as the ways of two requests differ by less than SLACK.

All instants are seconds on one monotonic clock, handed in.
"""

from collections import deque
from math import inf

SECOND = 1.0
# Beyond the second itself: what a clock that ticks coarsely may be off by.
TICK = 0.001
SLACK = 0.025
LARGEST = 100_000


class Place:
    """One request's place in a window: `until` is when it no longer counts."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = inf  # it may be long until it is sent

    def sent(self, now: float) -> None:
        """Count from now: the request has just been sent."""
        self.until = now + SECOND + SLACK

    def answered(self, now: float) -> None:
        """Count from the answer where it came soon: the request had arrived by then."""
        self.until = min(self.until, now + SECOND + TICK)


class Window:
    """At most `limit` requests in any second; `corrects` where answers may change the limit."""

    __slots__ = ("_places", "corrects", "held_until", "limit", "name")

    def __init__(self, name: str, limit: int, *, corrects: bool) -> None:
        self.name = name
        self.limit = limit
        self.corrects = corrects
        self.held_until = 0.0
        self._places: deque[Place] = deque()

    def opens_at(self, now: float) -> float:
        """Return from when a request may be sent: `now` or earlier where it may be at once."""
        places = self._places
        while places and places[0].until <= now:
            places.popleft()
        if len(places) < self.limit:
            return self.held_until
        # Those in front of the last `limit` have to go first; they go in about this order.
        return max(self.held_until, places[len(places) - self.limit].until)

    def used(self, now: float) -> int:
        """Count the places in use."""
        return sum(place.until > now for place in self._places)

    def take(self) -> Place:
        """Add a place, for a request that is about to be sent."""
        place = Place()
        self._places.append(place)
        return place

    def give_back(self, place: Place) -> None:
        """Remove a place: nothing was sent."""
        if place in self._places:
            self._places.remove(place)

    def correct(self, limit: int) -> None:
        """Adopt the limit that an answer states."""
        if self.corrects and 0 < limit <= LARGEST:
            self.limit = limit

    def hold(self, until: float) -> None:
        """Let nothing pass until then."""
        self.held_until = max(self.held_until, until)


class AtOnce:
    """At most `limit` requests under way."""

    __slots__ = ("busy", "corrects", "limit", "name")

    def __init__(self, name: str, limit: int, *, corrects: bool) -> None:
        self.name = name
        self.limit = limit
        self.corrects = corrects
        self.busy = 0

    @property
    def has_room(self) -> bool:
        """Return whether one more may be under way."""
        return self.busy < self.limit

    def correct(self, limit: int) -> None:
        """Adopt the limit that an answer states."""
        if self.corrects and 0 < limit <= LARGEST:
            self.limit = limit
