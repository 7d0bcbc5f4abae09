"""Configuration from a YAML file, the environment and secret files, checked as a whole.

Precedence: flag over environment over file over default. Every problem is reported at once, one
line each, `FILE:LINE:COLUMN: key.path: what is wrong; what is accepted`. Promises never to show the
value of a secret, and never writes a file. The environment is handed in.
"""

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from proxy.config import Config
from proxy.config.checking import check, is_secret, section_at
from proxy.config.environment import CONFIG_VARIABLE, read_environment, variable
from proxy.config.faults import Fault, Path, dotted
from proxy.config.tree import Finding, Place, Tree, parse_yaml
from proxy.errors import ConfigurationError
from proxy.system.secret import Secret

FILE_NAME = "config.yaml"
LARGEST_FILE = 1024 * 1024
LARGEST_SECRET = 64 * 1024
# The keys whose relative paths count from the folder of the file that names them.
PATH_KEYS = (
    ("listen", "unix_socket"),
    ("listen", "tls", "cert_file"),
    ("listen", "tls", "key_file"),
    ("listen", "tls", "client_ca_file"),
    ("upstream", "ca_file"),
    ("tokens", "path"),
    ("tokens", "redis", "ca_file"),
    ("log", "audit_file"),
)
# Those of them that must be there to be read.
READ_FILES = {
    ("listen", "tls", "cert_file"): "a file with the certificate and its chain in PEM form",
    ("listen", "tls", "key_file"): "a file with the certificate's private key in PEM form",
    ("listen", "tls", "client_ca_file"): "a file with certificates in PEM form",
    ("upstream", "ca_file"): "a file with certificates in PEM form",
    ("tokens", "redis", "ca_file"): "a file with certificates in PEM form",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration and where it came from (None: from the environment alone)."""

    config: Config
    file: FilePath | None


def find_file(
    option: FilePath | None, environ: Mapping[str, str], user_folder: FilePath
) -> tuple[FilePath | None, str | None]:
    """Return the file to read, and who named it, if someone did (then it must exist)."""
    if option is not None:
        return option, str(option)
    if named := environ.get(CONFIG_VARIABLE):
        return FilePath(named), CONFIG_VARIABLE
    for candidate in (FilePath(FILE_NAME), user_folder / FILE_NAME):
        if candidate.is_file():
            return candidate, None
    return None, None


def load(
    option: FilePath | None,
    environ: Mapping[str, str],
    user_folder: FilePath,
    *,
    flags: Mapping[str, str] | None = None,
    search: bool = True,
) -> Loaded:
    """Load the configuration or raise ConfigurationError with every problem in it.

    `flags` maps dotted keys to what the command line said of them. Without `search` only a file
    that somebody named is read.
    """
    path, named_by = find_file(option, environ, user_folder)
    if named_by is None and not search:
        path = None
    findings: list[Finding] = []
    trees: list[_Source] = []
    if path is not None:
        tree = _read_file(path)
        if tree is None:
            raise ConfigurationError([_unreadable(path, named_by)])
        if tree.findings and not tree.values:
            # Nothing of it could be read: that every key is missing would be noise.
            raise ConfigurationError([str(finding) for finding in tree.findings])
        findings += tree.findings
        trees.append(_Source(tree, path.absolute().parent))
    tree = read_environment(environ)
    findings += tree.findings
    trees.append(_Source(tree, FilePath.cwd()))
    trees.append(_Source(_flags(flags or {}), FilePath.cwd()))

    overruled: set[Path] = set()
    for source in reversed(trees):
        source.overruled = frozenset(overruled)
        source.resolve_paths()
        source.read_secrets()
        findings += source.findings
        overruled |= set(source.tree.key_places)
    values: dict[str, Any] = {}
    for source in trees:
        _merge(values, source.tree.values)
    config, faults = check(Config, values)
    settled = {path for source in trees for path in source.settled}
    placed = _Placing(trees, path)
    findings += [placed.finding(fault) for fault in faults if fault.path not in settled]
    if config is not None:
        findings += _check_files(config, placed)
    if findings or config is None:
        raise ConfigurationError([str(finding) for finding in sorted(set(findings))])
    return Loaded(config, path)


def _read_file(path: FilePath) -> Tree | None:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError):
        return None
    name = str(path)
    if len(content) > LARGEST_FILE:
        return Tree(findings=[Finding(Place(name), "is larger than 1 MiB; accepted: less")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        place = Place(name, line, column)
        return Tree(findings=[Finding(place, "is not UTF-8; accepted: YAML in UTF-8")])
    values, tree = parse_yaml(text, name)
    if isinstance(values, dict):
        tree.values = values
    elif values is not None:
        tree.findings.append(
            Finding(
                Place(name, 1, 1),
                "is not a mapping; accepted: sections such as oauth: (see config.example.yaml)",
            )
        )
    return tree


def _unreadable(path: FilePath, named_by: str | None) -> str:
    try:
        path.open("rb").close()
        reason = "cannot be read"
    except ValueError:
        reason = "is not a path"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    told = f" (named by {named_by})" if named_by == CONFIG_VARIABLE else ""
    return f"{path}: {reason}{told}; accepted: a YAML file that this user may read"


def _flags(flags: Mapping[str, str]) -> Tree:
    tree = Tree()
    for key, value in flags.items():
        *sections, name = key.split(".")
        node = tree.values
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
        tree.key_places[tuple(key.split("."))] = Place("command line")
    return tree


@dataclass(slots=True)
class _Source:
    """One source's tree, and the folder that its relative paths count from."""

    tree: Tree
    folder: FilePath
    findings: list[Finding] = field(default_factory=list)
    # Values that came from a file, by the key that named it; and those already found faulty.
    from_file: dict[Path, Path] = field(default_factory=dict)
    settled: set[Path] = field(default_factory=set)
    # What a source of higher precedence sets: no file is read in vain.
    overruled: frozenset[Path] = frozenset()

    def resolve_paths(self) -> None:
        for *sections, key in PATH_KEYS:
            node: Any = self.tree.values
            for section in sections:
                node = node.get(section) if isinstance(node, dict) else None
            if isinstance(node, dict) and isinstance(node.get(key), str) and node[key]:
                node[key] = str(self._path(node[key]))

    def _path(self, text: str) -> FilePath:
        try:
            return self.folder / FilePath(text).expanduser()
        except RuntimeError:  # no home folder
            return self.folder / text

    def read_secrets(self, node: Any = None, path: Path = ()) -> None:
        """Put the content of each secret's file in the place of the key that names it."""
        node = self.tree.values if not path else node
        if isinstance(node, list):
            for index, item in enumerate(node):
                self.read_secrets(item, (*path, index))
        if not isinstance(node, dict):
            return
        if section_at(Config, path) is None and path != ("accounts",):
            return
        for name in [*node]:
            if isinstance(node[name], (dict, list)):
                self.read_secrets(node[name], (*path, name))
            elif name.endswith("_file") and is_secret(Config, (*path, name.removesuffix("_file"))):
                self._replace(node, path, name)

    def _replace(self, node: dict[str, Any], path: Path, name: str) -> None:
        key = name.removesuffix("_file")
        value = node.pop(name)
        target, origin = (*path, key), (*path, name)
        if value is None or value == "" or target in self.overruled:
            node.setdefault(key, None)
            return
        if node.get(key):
            self._report(origin, f"is given beside {key}", f"accepted: {key} or {name}, not both")
            self.settled.add(target)
            return
        self.from_file[target] = origin
        place = self.tree.place(origin, key=False)
        if place is not None:
            self.tree.key_places[target] = self.tree.value_places[target] = place
        try:
            node[key] = Secret(_read_secret(self._path(str(value))))
        except OSError as error:
            self._fail(target, f"the file cannot be read: {error.strerror or error}")
        except ValueError as error:
            self._fail(target, str(error))

    def _fail(self, target: Path, what: str) -> None:
        self._report(self.from_file[target], what, "accepted: a file with the secret on one line")
        self.settled.add(target)

    def _report(self, path: Path, what: str, accepted: str) -> None:
        place = self.tree.place(path, key=False) or Place(variable(path))
        self.findings.append(Finding(place, f"{dotted(path)}: {what}; {accepted}"))


def _read_secret(path: FilePath) -> str:
    # A pipe or a device could keep us waiting for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("what it names is not a file")
    with path.open("rb") as file:
        content = file.read(LARGEST_SECRET + 1)
    if len(content) > LARGEST_SECRET:
        raise ValueError("the file is larger than a secret can be")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    if text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
    if not text:
        raise ValueError("the file is empty")
    return text


def _merge(below: dict[str, Any], above: Mapping[str, Any], path: Path = ()) -> None:
    """Lay one source over another: sections key by key, anything else as a whole."""
    for name, value in above.items():
        here = (*path, name)
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            _merge(below[name], value, here)
        elif value is not None or section_at(Config, here) is None or _is_listed(here):
            below[name] = value
        else:
            below.setdefault(name, value)


def _is_listed(path: Path) -> bool:
    return path == ("access", "api_keys")


class _Placing:
    """Ties faults to places: the source with the last word on a key is the one that is named."""

    def __init__(self, sources: Iterable[_Source], file: FilePath | None) -> None:
        self._sources = list(reversed(list(sources)))
        self._file = file

    def finding(self, fault: Fault) -> Finding:
        shown = fault.path
        unknown = fault.what == "is not a key"
        place: Place | None = None
        for source in self._sources:
            exact = fault.path in source.tree.key_places or fault.path in source.tree.value_places
            if exact:
                place = source.tree.place(fault.path, key=unknown)
                shown = source.from_file.get(fault.path, fault.path)
                break
        place = place or self._around(fault.path)
        return Finding(place, f"{dotted(shown)}: {fault.what}; {fault.accepted}")

    def _around(self, path: Path) -> Place:
        """Return the place of something absent: its section, its file, or the variable for it."""
        for source in self._sources:
            if place := source.tree.place(path, key=True):
                return place
        return Place(str(self._file), 1, 1) if self._file else Place(variable(path))


def _check_files(config: Config, placed: _Placing) -> list[Finding]:
    """Find out now that a file is not there, rather than at the first connection."""
    findings = []
    for key, accepted in READ_FILES.items():
        path: Any = config
        for name in key:
            path = getattr(path, name)
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            what = f"the file cannot be read: {error.strerror or error}"
            findings.append(placed.finding(Fault(key, what, f"accepted: {accepted}")))
    return findings
