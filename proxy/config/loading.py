"""Configuration from a YAML file, the environment and secret files, checked as a whole.

Precedence: flag over environment over file over default. Every problem is reported at once, one
line each, `FILE:LINE:COLUMN: key.path: what is wrong; what is accepted`. Never shows the value of a
secret, and never writes a file. The environment is handed in.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from proxy.config.checking import Config
from proxy.config.environment import CONFIG_VARIABLE, read_environment, variable
from proxy.config.faults import Fault, Path, dotted
from proxy.config.keys import key_at
from proxy.config.secret_files import PrivateFile, unknown_secret
from proxy.config.section import Shape
from proxy.config.sources import Source, holds_secret, paths_in
from proxy.config.tree import Finding, Place, Tree, parse_yaml
from proxy.errors import ConfigurationError
from proxy.system.loopback import is_loopback

FILE_NAME = "config.yaml"
LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration and where it came from (None: from the environment alone)."""

    config: Config
    file: FilePath | None
    # A file of the working directory that was ignored in favour of the user's own.
    passed_over: FilePath | None = None
    private_files: tuple[PrivateFile, ...] = ()

    def exposed(self) -> list[str]:
        """Return a warning for each secret that others may read, `what: remedy`."""
        warnings = [text for file in self.private_files if (text := file.warning())]
        listen = self.config.listen
        if listen.host is None or is_loopback(listen.host) or listen.tls.cert_file is not None:
            return warnings
        if any(caller.key is not None for caller in self.config.access.api_keys):
            warnings.append(
                f'listen.host "{listen.host}" is open to other machines without https, so API keys '
                "travel in clear: set listen.tls, or let something in front speak https"
            )
        return warnings


@dataclass(frozen=True, slots=True)
class FoundFile:
    """The file to read, if there is one, and what the search for it saw."""

    path: FilePath | None
    # Who named it, if someone did: then it must exist.
    named_by: str | None = None
    passed_over: FilePath | None = None


def find_file(
    option: FilePath | None,
    environ: Mapping[str, str],
    user_folder: Callable[[], FilePath | None],
) -> FoundFile:
    """Look for the file: the option's, the variable's, the user's own, the working directory's.

    The user's own outranks the working directory's: a folder that someone cloned must not
    redirect credentials. `user_folder` is asked only when nobody named a file.
    """
    if option is not None:
        return FoundFile(option, str(option))
    if named := environ.get(CONFIG_VARIABLE):
        return FoundFile(FilePath(named), CONFIG_VARIABLE)
    folder = user_folder()
    own = folder / FILE_NAME if folder else None
    here = FilePath(FILE_NAME)
    if own is None or not _is_file(own):
        return FoundFile(here if _is_file(here) else None)
    return FoundFile(own, passed_over=here if _is_another(here, own) else None)


def _is_file(path: FilePath) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_another(here: FilePath, own: FilePath) -> bool:
    try:
        return here.is_file() and not here.samefile(own)
    except OSError:
        return False


def load(
    option: FilePath | None,
    environ: Mapping[str, str],
    user_folder: Callable[[], FilePath | None],
    *,
    flags: Mapping[str, str] | None = None,
    search: bool = True,
    secrets_needed: bool = True,
) -> Loaded:
    """Load the configuration or raise ConfigurationError with every problem in it.

    `flags` maps dotted keys to what the command line said of them. Without `search` only a file
    that somebody named is read. Without `secrets_needed` a random value stands in for the app's
    secret, and for secrets whose files cannot be read: for commands that only look for the server.
    """
    found = find_file(option, environ, user_folder if search else lambda: None)
    path = found.path if search or found.named_by else None
    sources: list[Source] = []
    private: list[PrivateFile] = []
    if path is not None:
        tree = _read_file(path)
        if tree is None:
            raise ConfigurationError([_unreadable(path, found.named_by)])
        if tree.findings and not tree.values:
            # Nothing of it could be read: to report every key as missing would be noise.
            raise ConfigurationError([str(finding) for finding in tree.findings])
        if holds_secret(tree.values):
            private.append(PrivateFile(path, ""))
        sources.append(Source(tree, lambda: path.absolute().parent))
    sources.append(Source(read_environment(environ), FilePath.cwd))
    sources.append(Source(_flags(flags or {}), FilePath.cwd))

    overruled: set[Path] = set()
    for source in reversed(sources):
        source.prepare(frozenset(overruled), secrets_needed=secrets_needed)
        overruled |= set(source.tree.key_places)
    values: dict[str, Any] = {}
    for source in sources:
        _merge(values, source.tree.values)
    if not secrets_needed:
        _stand_in(values)
    config, faults = Config.check(values)
    settled = {path for source in sources for path in source.settled}
    placed = _Placing(sources, path)
    findings = {placed.finding(fault) for fault in faults if fault.path not in settled}
    for source in sources:
        findings.update(source.tree.findings, source.findings)
        private += source.private
    if config is not None:
        findings.update(map(placed.finding, _missing_files(config)))
        if key_file := config.listen.tls.key_file:
            private.append(PrivateFile(key_file, "listen.tls.key_file"))
    if findings or config is None:
        raise ConfigurationError([str(finding) for finding in sorted(findings)])
    return Loaded(config, path, found.passed_over, tuple(private))


def _stand_in(values: dict[str, Any]) -> None:
    app = values.setdefault("oauth", {})
    if isinstance(app, dict) and not app.get("client_secret"):
        app["client_secret"] = unknown_secret()


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


def _merge(below: dict[str, Any], above: Mapping[str, Any], path: Path = ()) -> None:
    """Merge a source into those below it: sections key by key, anything else as a whole."""
    for name, value in above.items():
        here = (*path, name)
        key = key_at(Config, here)
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            _merge(below[name], value, here)
        elif value is None and key is not None and key.section and key.shape is not Shape.SECTIONS:
            below.setdefault(name, value)  # an empty section
        else:
            below[name] = value


class _Placing:
    """Finds the place of a fault: in the source of highest precedence that has the key."""

    def __init__(self, sources: Iterable[Source], file: FilePath | None) -> None:
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


def _missing_files(config: Config) -> Iterable[Fault]:
    """Report files that cannot be read now, rather than at the first connection."""
    for path, key, file in paths_in(config):
        if not key.reads:
            continue
        try:
            file.open("rb").close()
        except OSError as error:
            what = f"the file cannot be read: {error.strerror or error}"
            yield Fault(path, what, f"accepted: {key.reads}")
