"""Reads configuration text into plain values, with the place of each.

YAML is read by a walk over its nodes: scalars stay the text they were written as (null excepted),
so that `0600` and a secret of digits survive, and every key and value has its line and column.
A fault's text never contains a value: what stands there may be a secret.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from proxy.config.faults import Path, dotted

NULL = "tag:yaml.org,2002:null"
# The tags of plain scalars; any other tag was written out, and is refused.
PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "timestamp")}
MERGE = "tag:yaml.org,2002:merge"
# A configuration has a few hundred values; aliases can make a short text mean millions.
MOST_NODES = 10_000
# The parser's messages quote what it found: a single sign of YAML is shown, a longer piece may be a
# secret.
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: a file's name, or a variable's, with line and column if there are."""

    name: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}" if self.line else self.name


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault with its place: a finished line of the report."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Tree:
    """Plain values of one source, the places of keys and values, and what was wrong with it."""

    values: dict[str, Any] = field(default_factory=dict)
    key_places: dict[Path, Place] = field(default_factory=dict)
    value_places: dict[Path, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, path: Path, *, key: bool) -> Place | None:
        """Return where a path stands: itself, or the nearest thing around it that does."""
        places = [self.key_places] if key else [self.value_places, self.key_places]
        for found in places:
            if path in found:
                return found[path]
        for length in range(len(path) - 1, 0, -1):
            if path[:length] in self.key_places:
                return self.key_places[path[:length]]
        return None


def parse_yaml(
    text: str, name: str, *, one_place: bool = False, path: Path = ()
) -> tuple[Any, Tree]:
    """Read YAML (so JSON too) into plain values; with `one_place`, all of it stands at `name`."""
    reader = _Reader(name, one_place)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = reader.place(mark) if mark else Place(name)
        if mark and _has_tab(text, mark):
            reader.report(place, path, "not YAML: a tab", "accepted: spaces to indent with")
            return None, reader.tree
        problem = QUOTED.sub(_shown, error.problem or "it cannot be read")
        reader.report(place, path, f"not YAML: {problem}", "accepted: YAML")
        return None, reader.tree
    except yaml.YAMLError:
        reader.report(Place(name), path, "not YAML: it has unusual characters", "accepted: YAML")
        return None, reader.tree
    return (reader.read(node, path) if node is not None else None), reader.tree


def _has_tab(text: str, mark: yaml.Mark) -> bool:
    """Tell whether a fault stands at a tab, or in a line that begins with one."""
    line = text.replace("\r\n", "\n").split("\n")[mark.line : mark.line + 1]
    at = "".join(line)[mark.column : mark.column + 1]
    return at == "\t" or "".join(line).lstrip(" ").startswith("\t")


def _shown(quoted: re.Match[str]) -> str:
    content = quoted[1] or quoted[2] or ""
    return quoted[0] if len(content) == 1 or content.startswith("<") else "…"


class _Reader:
    def __init__(self, name: str, one_place: bool) -> None:
        self.tree = Tree()
        self._name = name
        self._one_place = one_place
        self._nodes = 0
        self._open: set[int] = set()

    def place(self, mark: yaml.Mark) -> Place:
        if self._one_place:
            return Place(self._name)
        return Place(self._name, mark.line + 1, mark.column + 1)

    def report(self, place: Place, path: Path, what: str, accepted: str) -> None:
        where = f"{dotted(path)}: " if path else ""
        self.tree.findings.append(Finding(place, f"{where}{what}; {accepted}"))

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or id(node) in self._open:
            if self._nodes <= MOST_NODES + 1:
                self.report(
                    self.place(node.start_mark),
                    path,
                    "has too many aliases",
                    "accepted: plain YAML",
                )
            return None
        self._open.add(id(node))
        try:
            return self._read(node, path)
        finally:
            self._open.discard(id(node))

    def _read(self, node: yaml.Node, path: Path) -> Any:
        place = self.place(node.start_mark)
        match node:
            case yaml.ScalarNode(tag=tag, value=value):
                if tag == NULL:
                    return None
                self.tree.value_places[path] = place
                if tag in PLAIN:
                    return value
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq", value=items):
                self.tree.value_places[path] = place
                for index, item in enumerate(items):
                    self.tree.key_places[*path, index] = self.place(item.start_mark)
                return [self.read(item, (*path, index)) for index, item in enumerate(items)]
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return dict(self._pairs(node, path))
        self.report(place, path, "has a tag that is not known", "accepted: plain values")
        return None

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in PLAIN:
                what = "<<" if key_node.tag == MERGE else "a key that is not text"
                self.report(place, path, f"{what} is not taken", "accepted: names of keys")
                continue
            key = str(key_node.value)
            if key in seen:
                first = "" if self._one_place else f" (first in line {seen[key]})"
                self.report(
                    place, (*path, key), f"is given twice{first}", "accepted: each key once"
                )
                continue
            seen[key] = key_node.start_mark.line + 1
            self.tree.key_places[*path, key] = place
            yield key, self.read(value_node, (*path, key))
