"""Judges an authorization server's log: each token of a grant must follow the one before.

What it looks for: a refresh token presented twice without an excuse, two refreshes in flight, a
rotation of anything but the newest token. An excuse is a kill of the process that presented it
first, before it was presented again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.authorization_server import Presentation


@dataclass(frozen=True)
class Kill:
    """A kill: the process was certainly alive before `began`, and certainly dead after `done`.

    `sender` names it where several run. Of one without a name the server must have read everything
    by `done`.
    """

    began: float
    done: float
    sender: str = ""


def excused(first: Presentation, second: Presentation, kills: Sequence[Kill]) -> bool:
    """Tell whether who presented a token first was killed before it was presented again.

    A busy server may read what a process sent only after its death.
    """
    return any(
        kill.sender == first.sender
        and kill.began <= second.at
        and (kill.sender != "" or kill.done >= first.at)
        for kill in kills
    )


def faults(log: Sequence[Presentation], kills: Sequence[Kill] = ()) -> list[str]:
    """Return what is wrong with a history, a line each."""
    found = []
    last: dict[str, Presentation] = {}
    for entry in log:
        if entry.grant_type != "refresh_token":
            continue
        before = last.get(entry.token)
        if before is not None and not excused(before, entry, kills):
            found.append(f"{entry.token[:12]} presented twice: {before} and {entry}")
        if entry.verdict == "refused" and before is None:
            found.append(f"a token nobody knows, or of a dead grant: {entry}")
        if entry.in_flight > 1 and not any(
            kill.done >= entry.at - 1 and kill.began <= entry.at for kill in kills
        ):
            found.append(f"two refreshes in flight: {entry}")
        last[entry.token] = entry
    generations: dict[int, int] = {}
    for entry in log:
        if entry.verdict != "rotated" or entry.grant is None or entry.generation is None:
            continue
        if entry.generation != generations.get(entry.grant, -1) + 1:
            found.append(f"not a line: {entry}")
        generations[entry.grant] = entry.generation
    return found


def losses(log: Sequence[Presentation]) -> list[tuple[Presentation, Presentation]]:
    """Return the rotations whose answer never reached the store: rotated, then presented again."""
    rotated: dict[str, Presentation] = {}
    found = []
    for entry in log:
        if entry.verdict == "rotated":
            rotated[entry.token] = entry
        elif entry.verdict == "reused":
            found.append((rotated[entry.token], entry))
    return found
