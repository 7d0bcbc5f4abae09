"""Faults of a configuration: where the value is, what is wrong with it and what is accepted.

No text holds the value of a secret: the parsers write the texts, and know which values are.
"""

from collections.abc import Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]
SHOWN = 60


class Wrong(ValueError):
    """What a parser raises: what is wrong with a value, and what is accepted."""

    def __init__(self, what: str, accepted: str) -> None:
        super().__init__(what)
        self.what = what
        self.accepted = accepted


class Fault(NamedTuple):
    """One fault of a configuration, not yet tied to a file and line."""

    path: Path
    what: str
    accepted: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.what}; {self.accepted}"


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as a person would: `access.api_keys[0].name`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # An unknown key may hold any characters, and is printed on a terminal.
            name = part if part.isprintable() else part.encode("unicode_escape").decode()
            name = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
            text += f".{name}" if text else name
    return text


def found(value: object) -> str:
    """Show a value that is no secret, shortened."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
            return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'
        case int() | float():
            return str(value)
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return "a value of another kind"
