"""One account's row: who may go now, and who comes next. No clock, no waiting: values and instants.

A *lane* is what requests of one kind have in common: a window and, for some, a number at once of
their own. Callers that wait take turns: of all that may go, the caller whose last turn is longest
ago, and of its requests the one that has waited longest. A request whose lane is closed stands in
nobody's way.
"""

from collections import OrderedDict
from heapq import heappop, heappush
from itertools import count
from math import inf

from proxy.gateway.limits.window import AtOnce, Place, Window

# What is left of an expired call in the heap of deadlines is cleaned up beyond this many.
STALE = 1024


class Lane:
    """The requests that share a window; those that wait, by caller."""

    __slots__ = ("at_once", "name", "refused", "rows", "window")

    def __init__(self, name: str, window: Window, at_once: AtOnce | None) -> None:
        self.name = name
        self.window = window
        self.at_once = at_once
        self.refused = 0  # how many have waited for too long
        self.rows: dict[str | None, OrderedDict[int, Call]] = {}

    def opens_at(self, now: float) -> float:
        """Return from when one may go; infinity where another has to end or be sent first."""
        if self.at_once is not None and not self.at_once.has_room:
            return inf
        return self.window.opens_at(now)

    @property
    def waiting(self) -> int:
        """Count those that wait."""
        return sum(map(len, self.rows.values()))


class Call:
    """One request in a row: waiting, or admitted and under way."""

    __slots__ = ("asked_at", "caller", "deadline", "lane", "number", "place")

    def __init__(self, lane: Lane, caller: str | None, asked_at: float, deadline: float) -> None:
        self.lane = lane
        self.caller = caller
        self.asked_at = asked_at
        self.deadline = deadline
        self.number = 0  # its place in the order of coming
        self.place: Place | None = None  # while it is admitted


class Row:
    """The calls of one account, under way and waiting."""

    def __init__(self, together: AtOnce) -> None:
        self.together = together
        self.waiting = 0
        self._lanes: dict[Lane, None] = {}  # those in which somebody waits
        self._turns: dict[str | None, int] = {}
        self._numbers = count(1)
        self._turn = count(1)
        # Entries of calls that no longer wait stay until their time, or until there are too many.
        self._deadlines: list[tuple[float, int, Call]] = []
        self._entries = count()

    def enter(self, call: Call, now: float) -> bool:
        """Let a call go at once where nothing is against it; else it waits, and False comes back.

        One that comes again, after a refusal of the upstream's, keeps its place in the order.
        """
        lane = call.lane
        if lane not in self._lanes and self.together.has_room and lane.opens_at(now) <= now:
            self._admit(call)
            return True
        again = call.number
        call.number = again or next(self._numbers)
        row = lane.rows.setdefault(call.caller, OrderedDict())
        row[call.number] = call
        if again:
            row.move_to_end(call.number, last=False)
        self._lanes[lane] = None
        self.waiting += 1
        heappush(self._deadlines, (call.deadline, next(self._entries), call))
        return False

    def due(self, now: float) -> list[Call]:
        """Admit those that may go now, and return them in the order in which they go."""
        admitted: list[Call] = []
        while self.together.has_room:
            call = self._next(now)
            if call is None:
                break
            self._take_out(call)
            self._admit(call)
            admitted.append(call)
        return admitted

    def expired(self, now: float) -> list[Call]:
        """Remove those from the row that have waited for too long."""
        expired: list[Call] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            call = heappop(self._deadlines)[2]
            if self._is_waiting(call):
                self._take_out(call)
                expired.append(call)
        return expired

    def leave(self, call: Call, *, sent: bool = True) -> None:
        """Remove a call: it is over, or its caller is gone."""
        if call.place is None:
            if self._is_waiting(call):
                self._take_out(call)
                self._forget_stale()
            return
        if not sent:
            call.lane.window.give_back(call.place)
        call.place = None
        self.together.busy -= 1
        if call.lane.at_once is not None:
            call.lane.at_once.busy -= 1

    def wakes_at(self, now: float) -> float:
        """Return when to call `due` and `expired` again at the latest; infinity for never."""
        if not self._lanes:
            return inf
        wakes = self._deadlines[0][0] if self._deadlines else inf
        if self.together.has_room:
            for lane in self._lanes:
                wakes = min(wakes, lane.opens_at(now))
        return wakes

    def waiting_by_lane(self) -> dict[Lane, int]:
        """Count those that wait by their lane."""
        return {lane: lane.waiting for lane in self._lanes}

    def _admit(self, call: Call) -> None:
        call.place = call.lane.window.take()
        self.together.busy += 1
        if call.lane.at_once is not None:
            call.lane.at_once.busy += 1
        self._turns[call.caller] = next(self._turn)

    def _next(self, now: float) -> Call | None:
        turns, best, best_turn = self._turns, None, 0
        for lane in self._lanes:
            if lane.opens_at(now) > now:
                continue
            for caller, row in lane.rows.items():
                call, turn = next(iter(row.values())), turns.get(caller, 0)
                if best is None or (turn, call.number) < (best_turn, best.number):
                    best, best_turn = call, turn
        return best

    def _is_waiting(self, call: Call) -> bool:
        return call.number in call.lane.rows.get(call.caller, ())

    def _take_out(self, call: Call) -> None:
        lane = call.lane
        row = lane.rows[call.caller]
        del row[call.number]
        if not row:
            del lane.rows[call.caller]
            if not lane.rows:
                del self._lanes[lane]
        self.waiting -= 1

    def _forget_stale(self) -> None:
        if len(self._deadlines) > STALE + 2 * self.waiting:
            self._deadlines = [entry for entry in self._deadlines if self._is_waiting(entry[2])]
            self._deadlines.sort()
