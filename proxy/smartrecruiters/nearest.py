"""Finds the operations that an unknown path was probably meant for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from proxy.smartrecruiters.operations import LONGEST_PATH, Operation, match, operations

SUGGESTED = 3
# Below this likeness, from 0 to 1, a suggestion would only confuse.
ALIKE = 0.75
VERSION = re.compile(r"v\d+")
PREFIX = re.compile(r"[a-z-]+-api|v\d+")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An operation that may have been meant, and what is different about the path."""

    operation: Operation
    reason: str


def nearest(method: str, path: str) -> tuple[Suggestion, ...]:
    """Return up to three suggestions for a method and path that `match` does not know."""
    if len(path) > LONGEST_PATH:
        return ()
    for mended, reason in _mendings(path):
        operation = match(method, mended)
        if operation is not None:
            return (Suggestion(operation, reason),)
    others = [
        operation
        for other in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if other != method and (operation := match(other, path)) is not None
    ]
    if others:
        taken = ", ".join(operation.method for operation in others)
        reason = f"{method} is not among the methods of this path ({taken})"
        return tuple(Suggestion(operation, reason) for operation in others[:SUGGESTED])
    return _without_prefix(method, path) or _alike(method, path)


def _mendings(path: str) -> Iterator[tuple[str, str]]:
    """Yield a path without common mistakes: without each of them, then without all."""
    single = re.sub("/{2,}", "/", path)
    if single != path:
        yield single, f"{path[:80]}: two slashes; the base URL ends in one of its own"
    if path.endswith("/"):
        yield path.rstrip("/"), "a slash at its end"
    yield path.lower(), "upper-case letters in it"
    yield single.rstrip("/").lower(), "slashes or upper-case letters too many"


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _bare(segments: list[str]) -> list[str]:
    """Leave out what is only the prefix of an area: `user-api`, `v201804`."""
    kept = list(segments)
    while len(kept) > 1 and PREFIX.fullmatch(kept[0]):
        del kept[0]
    return kept


def _fits(template: list[str], segments: list[str]) -> bool:
    return len(template) == len(segments) and all(
        expected.startswith("{") or expected == given
        for expected, given in zip(template, segments, strict=True)
    )


def _without_prefix(method: str, path: str) -> tuple[Suggestion, ...]:
    given = _segments(path)
    bare = _bare(given)
    found = []
    for operation in operations():
        template = _segments(operation.path)
        if operation.method == method and _fits(_bare(template), bare):
            literals = sum(not segment.startswith("{") for segment in _bare(template))
            found.append((literals, Suggestion(operation, _prefix_reason(given, template))))
    best = max((literals for literals, _ in found), default=0)
    return tuple(s for literals, s in found if literals == best and best)[:SUGGESTED]


def _prefix_reason(given: list[str], template: list[str]) -> str:
    prefix = "/".join(template[: len(template) - len(_bare(template))])
    if not prefix:
        return "this area has no version prefix"
    if not any(VERSION.fullmatch(segment) for segment in given):
        return f"version prefix missing: /{prefix}"
    return f"another version prefix is known: /{prefix}"


def _alike(method: str, path: str) -> tuple[Suggestion, ...]:
    given = _segments(path)
    ranked = []
    for operation in operations():
        template = _segments(operation.path)
        if operation.method == method and len(template) == len(given):
            score = _likeness(template, given)
            if score >= ALIKE:
                ranked.append((-score, operation.name, operation))
    ranked.sort(key=lambda row: row[:2])
    return tuple(Suggestion(row[2], "no such operation") for row in ranked[:SUGGESTED])


def _likeness(template: list[str], given: list[str]) -> float:
    """Return how alike the literal segments are, 0 to 1; the worst one counts."""
    scores = [
        SequenceMatcher(None, expected, actual.lower()).ratio()
        for expected, actual in zip(template, given, strict=True)
        if not expected.startswith("{")
    ]
    return min(scores, default=0.0)
