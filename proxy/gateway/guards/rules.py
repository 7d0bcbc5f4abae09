"""Allow rules: `"METHODS PATH"` against a method and a path (rule 6 of callers).

Rules only ever allow, and they are read literally: case counts, GET does not imply HEAD, nothing is
decoded. A path that the upstream might read differently than we do matches no rule but the bare
`**`, so that a narrow rule cannot be widened by spelling. A last `**` stands for any rest, none
included: `/jobs/**` admits `/jobs` too.
"""

import re
from collections.abc import Iterable
from typing import Final

ANY_METHOD: Final = b"*"
BARE: Final = b"**"
# Encoded (once or twice) slash, backslash, dot or semicolon; `;`; an empty segment, a last one too.
AMBIGUOUS: Final = re.compile(rb"%(?:25)*(?:2f|5c|2e|3b)|[;\\]|//|./$", re.IGNORECASE | re.DOTALL)
PLACEHOLDER: Final = re.compile(rb"\*|\{[^/]*\}")


def _pattern(path: bytes) -> bytes:
    """Translate a rule's path into a regular expression over paths that are not ambiguous."""
    segments = path.removeprefix(b"/").split(b"/")
    any_rest = segments[-1] == BARE
    if any_rest:
        segments.pop()
    pattern = b"".join(
        b"/[^/]+" if PLACEHOLDER.fullmatch(segment) else b"/" + re.escape(segment)
        for segment in segments
    )
    if any_rest:
        return pattern + (rb"(?:/.*)?" if pattern else rb"/.*")
    return pattern


def _union(paths: Iterable[bytes]) -> re.Pattern[bytes] | None:
    patterns = [_pattern(path) for path in paths if path != BARE]
    return re.compile(b"|".join(b"(?:%s)" % p for p in patterns), re.DOTALL) if patterns else None


class RuleSet:
    """One list of rules; an empty one admits everything."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._paths: dict[bytes, list[bytes]] = {}
        for rule in rules:
            methods, _, path = rule.partition(" ")
            for method in methods.split(","):
                self._paths.setdefault(method.encode(), []).append(path.encode())
        self._bare = frozenset(method for method, paths in self._paths.items() if BARE in paths)
        everything = self._paths.get(ANY_METHOD, [])
        self._any = _union(everything)
        self._by_method = {
            method: _union([*paths, *everything]) for method, paths in self._paths.items()
        }

    def __bool__(self) -> bool:
        return bool(self._paths)

    def admits(self, method: bytes, path: bytes, *, plain: bool = False) -> bool:
        """Return whether a rule allows this method on this path (without its query).

        `plain` says that the path is known to be plain (RequestHead.is_plain), which leaves only
        the empty last segment to check for.
        """
        if not self._paths or method in self._bare or ANY_METHOD in self._bare:
            return True
        if (path.endswith(b"/") and path != b"/") if plain else AMBIGUOUS.search(path):
            return False
        pattern = self._by_method.get(method, self._any)
        return pattern is not None and pattern.fullmatch(path) is not None
