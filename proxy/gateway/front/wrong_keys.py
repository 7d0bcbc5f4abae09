"""Wrong API keys by address: who has sent too many is answered late."""

from collections import OrderedDict, deque

# Delay, do not block: guessing a key of 16 characters is hopeless, and a misconfigured tool must
# not be locked out. After FREE wrong keys WITHIN so many seconds each further one waits DELAY.
FREE = 10
WITHIN = 60.0
DELAY = 1.0
# Addresses are chosen by strangers; the one that failed longest ago is forgotten first.
REMEMBERED = 1024


class WrongKeys:
    """Counts each address's wrong keys of the last minute."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str | None, deque[float]] = OrderedDict()

    def delay(self, address: str | None, now: float) -> float:
        """Count one more wrong key; return after how many seconds it is to be answered."""
        failures = self._failures.setdefault(address, deque(maxlen=FREE))
        self._failures.move_to_end(address)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        is_late = len(failures) == FREE and now - failures[0] < WITHIN
        failures.append(now)
        return DELAY if is_late else 0.0
