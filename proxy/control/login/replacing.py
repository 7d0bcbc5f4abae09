"""A login by another user than the one whose grant is here: held until a person says which stays.

The code was exchanged, since it lives 30 seconds; what came of it is neither stored nor used before
the answer. It is held in the memory of this process alone: no answer in ten minutes, a restart, or
the question put to another replica, and the new tokens are gone, which costs another login. The
grant that is here serves all the while.
"""

import secrets
from dataclasses import dataclass

from cachetools import TTLCache

from proxy.control.login.pending import LIFETIME
from proxy.grant.oauth import TokenSet
from proxy.system.clock import Clock

# Nobody has more of these questions open; the oldest give way.
MOST_HELD = 16


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Tokens that wait for an answer, whose they are, and whose grant they would replace."""

    account: str
    fresh: TokenSet
    owner: str | None
    previous: str

    @property
    def new_owner(self) -> str:
        """Name the new owner for people, also where the upstream does not tell."""
        return self.owner or "a user whose name SmartRecruiters does not tell"


class Replacements:
    """The logins that wait for an answer, each under a name that only its page knows."""

    def __init__(self, clock: Clock) -> None:
        self._held: TTLCache[str, Held] = TTLCache(
            maxsize=MOST_HELD, ttl=LIFETIME, timer=clock.monotonic
        )

    def hold(self, held: Held) -> str:
        """Keep tokens back; return the name to ask for them by."""
        name = secrets.token_urlsafe(32)
        self._held[name] = held
        return name

    def take(self, name: str) -> Held | None:
        """Give tokens out, once."""
        held: Held | None = self._held.pop(name, None)
        return held
