"""Which scopes operations need, as far as that is known, and what a refusal says about it.

Known for 56 of the operations (scopes.tsv, with the source of each). Any one of the scopes of a row
suffices. Besides scopes, a *System role* decides what a call returns or refuses; it cannot be seen
from outside.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache

from proxy.smartrecruiters.nearest import nearest
from proxy.smartrecruiters.operations import Operation
from proxy.smartrecruiters.tables import read_table

CHALLENGE = re.compile(r'\bBearer\b(?:\s*,?\s*[\w-]+=(?:"[^"]*"|[^\s,"]+))*', re.IGNORECASE)
SCOPE = re.compile(r'\bscope="([^"]*)"', re.IGNORECASE)
SCOPES_TAKEN = 20
ROLE = (
    "The System role of the user who logged in (or of the app) can be the cause too: "
    "it decides what calls may do, whatever the scopes."
)


@dataclass(frozen=True, slots=True)
class KnownScopes:
    """The scopes of which an operation needs one, and where that is from."""

    any_of: tuple[str, ...]
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What can be said of a 403: scopes of which one is needed, those granted, a text."""

    needs: tuple[str, ...]
    granted: tuple[str, ...]
    text: str


@cache
def _known() -> dict[str, KnownScopes]:
    return {
        f"{method} {path}": KnownScopes(tuple(scopes.split()), source, *note)
        for method, path, scopes, source, *note in read_table("scopes.tsv")
    }


def scopes_of(operation: Operation | None) -> KnownScopes | None:
    """Return the scopes that an operation is known to need; None where nothing is known."""
    return _known().get(operation.name) if operation is not None else None


@lru_cache(maxsize=256)  # a server's answer names the scopes
def operations_of(scope: str) -> tuple[str, ...]:
    """Return the names of the operations that are known to need a scope."""
    return tuple(name for name, known in _known().items() if scope in known.any_of)


def named_scopes(www_authenticate: str) -> tuple[str, ...]:
    """Return the scopes that a refusal names: `Bearer scope="a b", error="insufficient_scope"`."""
    challenge = CHALLENGE.search(www_authenticate)
    scope = SCOPE.search(challenge[0]) if challenge else None
    return tuple(scope[1].split()[:SCOPES_TAKEN]) if scope else ()


def explain_403(
    operation: Operation | None, www_authenticate: str | None, granted: Collection[str]
) -> Refusal:
    """Say what a 403 of SmartRecruiters' is probably for.

    `granted` are the scopes of the grant, empty where they are not known.
    """
    named = named_scopes(www_authenticate) if www_authenticate else ()
    known = scopes_of(operation)
    needs = named or (known.any_of if known else ())
    held = tuple(granted)
    if not needs:
        text = "Which scope it needs is not known. " + ROLE
    else:
        whose = "SmartRecruiters names" if named else "It is known to need"
        one_of = " or ".join(needs)
        if _has_any(needs, held):
            text = f"{whose} the scope {one_of}, which the grant has. {ROLE}"
        elif held:
            text = (
                f"{whose} the scope {one_of}, which the grant does not have: "
                f"add it to the app and to oauth.scopes, and log in again. {ROLE}"
            )
        else:
            text = f"{whose} the scope {one_of}; what was granted is not known. {ROLE}"
    return Refusal(needs, held, text)


def explain_404(method: str, path: str) -> str | None:
    """Say which operations an unknown path was probably meant for; None where none is near."""
    suggestions = nearest(method, path)
    if not suggestions:
        return None
    reasons = {suggestion.reason for suggestion in suggestions}
    names = " or ".join(suggestion.operation.name for suggestion in suggestions)
    return f"{'; '.join(sorted(reasons))}. Did you mean {names}?"


def _has_any(needs: Collection[str], granted: Collection[str]) -> bool:
    # The vendor spells one scope both ways: candidates_status_read, candidate_status_read.
    return not {_plain(scope) for scope in needs}.isdisjoint(_plain(scope) for scope in granted)


def _plain(scope: str) -> str:
    return re.sub(r"^candidates_", "candidate_", scope)
