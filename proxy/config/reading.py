"""Reads plain values into sections, each checked by itself, and collects every fault.

A value that is wrong is left out, so that its default stands in for it; a list of sections with a
fault in it is left out as a whole. What is read stays a mapping of what was given (`made` turns it
into the section), so that one section can inherit what another was given.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from proxy.config.faults import Fault, Path, Wrong, found
from proxy.config.keys import nearest
from proxy.config.section import Key, Section, Shape, keys
from proxy.config.values import absent

S = TypeVar("S", bound=Section)


def read(kind: type[Section], mapping: object) -> tuple[dict[str, Any], list[Fault]]:
    """Read a section of the given kind: the valid values that were given, and every fault."""
    reader = _Reader(kind)
    return reader.section(kind, mapping, ()), reader.faults


def made(kind: type[S], given: Mapping[str, Any]) -> S:
    """Make a section, and those within it, of what `read` returned."""
    arguments: dict[str, Any] = {}
    for name, value in given.items():
        key = keys(kind).get(name)
        match key and (key.shape, key.section):
            case (Shape.SECTION, inner) if inner:
                arguments[name] = made(inner, value)
            case (Shape.SECTIONS, inner) if inner:
                arguments[name] = tuple(made(inner, item) for item in value)
            case _:
                arguments[name] = value
    return kind(**arguments)


class _Reader:
    def __init__(self, root: type[Section]) -> None:
        self._root = root
        self.faults: list[Fault] = []

    def section(self, kind: type[Section], mapping: object, path: Path) -> dict[str, Any]:
        if not isinstance(mapping, Mapping):
            accepted = f"accepted: a mapping with the keys {', '.join(keys(kind))}"
            self.faults.append(Fault(path, "is not a mapping", accepted))
            return {}
        given: dict[str, Any] = {}
        for name, key in keys(kind).items():
            here = (*path, name)
            if key.required and mapping.get(name) is None:
                if mapping.get(key.unless) is None:
                    self.faults.append(Fault(here, "is missing", f"accepted: {key.required}"))
                continue
            if name not in mapping:
                continue
            # In YAML, a section with every key commented out is null.
            if mapping[name] is not None or key.section is None:
                self._take(given, key, mapping[name], here)
        for name in mapping:
            if name not in keys(kind):
                here = (*path, str(name))
                self.faults.append(Fault(here, "is not a key", nearest(self._root, here)))
        return given

    def _take(self, given: dict[str, Any], key: Key, value: object, path: Path) -> None:
        before = len(self.faults)
        result: Any = None
        match key.shape, key.section:
            case Shape.SECTION, kind if kind:
                given[str(path[-1])] = self.section(kind, value, path)
                return
            case Shape.NAMED, kind if kind:
                result = self._named(kind, key, value, path)
            case Shape.SECTIONS, kind if kind:
                result = self._list(lambda item, at: self.section(kind, item, at), key, value, path)
            case Shape.LIST, _:
                result = self._list(lambda item, at: self._value(key, item, at), key, value, path)
            case _:
                result = self._value(key, value, path)
        if len(self.faults) == before:
            given[str(path[-1])] = result

    def _value(self, key: Key, value: object, path: Path) -> object:
        try:
            return key.parse(value) if key.parse else value
        except Wrong as error:
            self.faults.append(Fault(path, error.what, error.accepted))
            return None

    def _list(
        self, read_item: Callable[[object, Path], object], key: Key, value: object, path: Path
    ) -> tuple[object, ...]:
        if absent(value):
            return ()
        if not isinstance(value, (list, tuple)):
            what = f"{found(value)} is not a list"
            self.faults.append(Fault(path, what, f"accepted: a list, such as {key.example}"))
            return ()
        return tuple(read_item(item, (*path, index)) for index, item in enumerate(value))

    def _named(self, kind: type[Section], key: Key, value: object, path: Path) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            what = f"{found(value)} is not a mapping"
            accepted = f"accepted: a mapping of names to what differs, such as {key.example}"
            self.faults.append(Fault(path, what, accepted))
            return {}
        read = {}
        for name, item in value.items():
            here = (*path, str(name))
            self._value(key, name, here)
            read[str(name)] = self.section(kind, {} if item is None else item, here)
        return read
