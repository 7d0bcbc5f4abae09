"""SmartRecruiters' operations, and which one a request matches.

The paths make a tree for each method: a step for each segment, literal segments (`cv`, `me`,
`v201804`) before variables (`{id}`). Read from operations.tsv when first asked, in about a
millisecond; an answer takes a few microseconds. `name_of` remembers the names that it has given.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import unquote

from proxy.smartrecruiters.tables import read_table

OTHER = "other"  # the name of what is no known operation, in logs and metrics
# In answers of these, absolute URLs of the API were seen: actions.*.url, ref.
LINKED_AREAS = frozenset({"Candidates", "Jobs", "Postings"})
# What is remembered is bounded: in number, for each method, and in size.
REMEMBERED: Final = 1024
LONGEST_PATH = 512


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, as the vendor's specifications list it."""

    method: str
    path: str  # a template: /candidates/{id}
    body: str  # json | multipart: of the request, where it has one
    area: str  # the part of the API, for people: Candidates
    name: str  # GET /candidates/{id}


@dataclass(slots=True)
class _Step:
    """A place in the tree: where the next segment leads, and what ends here."""

    literals: dict[str, "_Step"] = field(default_factory=dict)
    variable: "_Step | None" = None
    operation: Operation | None = None


@cache
def operations() -> tuple[Operation, ...]:
    """Return all operations, area by area."""
    return tuple(
        Operation(method, path, body, area, f"{method} {path}")
        for method, path, body, area in read_table("operations.tsv")
    )


@cache
def operations_by_name() -> dict[str, Operation]:
    """Return all operations by name."""
    return {operation.name: operation for operation in operations()}


def may_carry_links(name: str) -> bool:
    """Tell whether an operation's answers are known to carry absolute links, by its name."""
    operation = operations_by_name().get(name)
    return operation is not None and operation.method == "GET" and operation.area in LINKED_AREAS


@cache
def _trees() -> dict[str, _Step]:
    trees: dict[str, _Step] = {}
    for operation in operations():
        step = trees.setdefault(operation.method, _Step())
        for segment in operation.path.split("/")[1:]:
            if segment.startswith("{"):
                step.variable = step.variable or _Step()
                step = step.variable
            else:
                step = step.literals.setdefault(segment, _Step())
        step.operation = operation
    # RFC 9110 section 9.3.2: HEAD asks for what GET asks for, without the content.
    trees["HEAD"] = trees["GET"]
    return trees


def match(method: str, path: str) -> Operation | None:
    """Tell which operation a method and a path (without its query) are; None for none.

    Case counts. A percent-encoded segment is the segment that it stands for.
    """
    if len(path) > LONGEST_PATH:
        return None
    tree = _trees().get(method)
    segments = path.split("/")
    if tree is None or segments[0]:
        return None
    if "%" in path:
        segments = [unquote(segment) for segment in segments]
    return _walk(tree, segments, 1)


# By method and by path: the names of operations that requests were.
_names: Final[dict[str, dict[bytes, str]]] = {}


def name_of(method: str, path: bytes) -> str:
    """Return the name of the operation that a request's method and path are; OTHER for none."""
    names = _names.get(method)
    if names is None:
        if method not in _trees():
            return OTHER
        names = _names[method] = {}
    name = names.get(path)
    if name is None:
        operation = match(method, path.decode("latin-1"))
        name = OTHER if operation is None else operation.name
        if len(names) >= REMEMBERED:
            names.clear()
        if len(path) <= LONGEST_PATH:
            names[path] = name
    return name


def _walk(step: _Step, segments: list[str], index: int) -> Operation | None:
    if index == len(segments):
        return step.operation
    segment = segments[index]
    literal = step.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, index + 1)
        if found is not None:
            return found
    if step.variable is not None and segment:
        return _walk(step.variable, segments, index + 1)
    return None


def search(words: tuple[str, ...]) -> list[Operation]:
    """Return the operations whose name or area holds all the words, in any case."""
    wanted = [word.lower() for word in words]
    return [
        operation
        for operation in operations()
        if all(word in f"{operation.name} {operation.area}".lower() for word in wanted)
    ]
