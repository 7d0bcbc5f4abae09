"""One source of configuration (a file, the environment, the flags) made ready to be merged.

Relative paths count from the source's folder, and the content of each secret's file replaces the
key that named it.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from proxy.config.checking import Config
from proxy.config.environment import variable
from proxy.config.faults import Path, dotted
from proxy.config.keys import key_at, secret_by_file, section_at
from proxy.config.secret_files import PrivateFile, read_secret, unknown_secret
from proxy.config.section import Key, Section, Shape, keys
from proxy.config.tree import Finding, Place, Tree
from proxy.system.secret import Secret


@dataclass(slots=True)
class Source:
    """One source's tree, and the folder that its relative paths count from."""

    tree: Tree
    # Asked for only when a relative path is there: the working directory may be gone.
    folder: Callable[[], FilePath]
    findings: list[Finding] = field(default_factory=list)
    # Values that came from a file, by the key that named it; and those already found faulty.
    from_file: dict[Path, Path] = field(default_factory=dict)
    settled: set[Path] = field(default_factory=set)
    private: list[PrivateFile] = field(default_factory=list)
    # Keys that a source of higher precedence sets: their files need not be read.
    overruled: frozenset[Path] = frozenset()
    # Whether a secret's file that cannot be read is a fault.
    secrets_needed: bool = True

    def prepare(self, overruled: frozenset[Path], *, secrets_needed: bool = True) -> None:
        """Resolve the paths and read the secrets, but for those that are set above."""
        self.overruled = overruled
        self.secrets_needed = secrets_needed
        self._resolve_paths(Config, self.tree.values)
        self._read_secrets(self.tree.values, ())

    def _resolve_paths(self, kind: type[Section], node: Any) -> None:
        if not isinstance(node, dict):
            return
        for name, key in keys(kind).items():
            if key.is_path and isinstance(node.get(name), str) and node[name]:
                node[name] = str(self._path(node[name]))
            elif key.shape is Shape.SECTION and key.section is not None:
                self._resolve_paths(key.section, node.get(name))

    def _path(self, text: str) -> FilePath:
        path = FilePath(text)
        with suppress(RuntimeError):  # no home folder
            path = path.expanduser()
        try:
            return path if path.is_absolute() else self.folder() / path
        except OSError:  # no working directory: opening the file will say so
            return path

    def _read_secrets(self, node: Any, path: Path) -> None:
        if isinstance(node, list):
            for index, item in enumerate(node):
                self._read_secrets(item, (*path, index))
        if not isinstance(node, dict):
            return
        key = key_at(Config, path) if path else None
        free_names = key is not None and key.shape is Shape.NAMED
        if section_at(Config, path) is None and not free_names:
            return
        for name in [*node]:
            here = (*path, name)
            if not free_names and (secret := secret_by_file(Config, here)):
                self._replace(node, (*path, secret), here)
            elif isinstance(node[name], (dict, list)):
                self._read_secrets(node[name], here)

    def _replace(self, node: dict[str, Any], target: Path, origin: Path) -> None:
        name, named_by = str(target[-1]), str(origin[-1])
        value = node.pop(named_by)
        if value is None or value == "" or target in self.overruled:
            node.setdefault(name, None)
            return
        if node.get(name):
            self._report(origin, f"is given beside {name}", f"accepted: {name} or {named_by}")
            self.settled.add(target)
            return
        self.from_file[target] = origin
        place = self.tree.place(origin, key=False)
        if place is not None:
            self.tree.key_places[target] = self.tree.value_places[target] = place
        key = key_at(Config, target)
        if key is not None and key.shape is Shape.LIST:
            files = value if isinstance(value, list) else [value]
            node[name] = [self._secret(file, target) for file in files]
        else:
            node[name] = self._secret(value, target)

    def _secret(self, value: object, target: Path) -> Secret | None:
        origin = self.from_file[target]
        try:
            path = self._path(str(value))
            secret = Secret(read_secret(path))
        except OSError as error:
            if not self.secrets_needed:
                return unknown_secret()
            what = f"the file cannot be read: {error.strerror or error}"
        except ValueError as error:
            what = str(error)
        else:
            self.private.append(PrivateFile(path, dotted(origin)))
            return secret
        self._report(origin, what, "accepted: a file with the secret on one line")
        self.settled.add(target)
        return None

    def _report(self, path: Path, what: str, accepted: str) -> None:
        place = self.tree.place(path, key=False) or Place(variable(path))
        self.findings.append(Finding(place, f"{dotted(path)}: {what}; {accepted}"))


def paths_in(config: Section) -> Iterator[tuple[Path, Key, FilePath]]:
    """Return every path that a section names, and those within it, with their keys."""
    for name, key in keys(type(config)).items():
        value = getattr(config, name)
        if key.is_path and value is not None:
            yield (name,), key, value
        elif key.shape is Shape.SECTION:
            for path, inner, found in paths_in(value):
                yield (name, *path), inner, found


def holds_secret(node: Any, path: Path = ()) -> bool:
    """Tell whether a secret stands in a source itself, rather than in a file that it names."""
    if isinstance(node, dict):
        return any(holds_secret(value, (*path, name)) for name, value in node.items())
    key = key_at(Config, path)
    if isinstance(node, list):
        if key is not None and key.secret:
            return bool(node)
        return any(holds_secret(item, (*path, index)) for index, item in enumerate(node))
    return bool(node) and key is not None and key.secret
