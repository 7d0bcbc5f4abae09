"""What changed between two configurations, and which of it a running server can apply."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from proxy.config.checking import Config
from proxy.config.faults import Path, dotted
from proxy.config.model import AccountConfig
from proxy.config.rules import faults_between
from proxy.config.section import Section, Shape, keys, same

S = TypeVar("S", bound=Section)

# Keys that are read at each use, so that replacing the configuration is enough; those of an account
# too.
TAKEN_UP = (
    ("access",),
    ("limits",),
    ("log",),
    ("inspect",),
    ("oauth", "client_secret"),
    ("oauth", "scopes"),
    ("smart_token",),
    ("listen", "tls"),
)


@dataclass(frozen=True, slots=True)
class Changes:
    """The changed keys, dotted, in the order of the configuration."""

    taken_up: tuple[str, ...]
    # These stay as they are until the server is started anew.
    need_restart: tuple[str, ...]
    # The old configuration with the changes that are taken up: the server goes on with it.
    config: Config


def compare(old: Config, new: Config) -> Changes:
    """Compare two configurations.

    If applying only the changes that need no restart would give an invalid configuration, none is
    applied. Example: API keys that were removed, while it still listens beyond loopback.
    """
    comparison = _Comparison(old, new)
    config = comparison.merged(old, new, ())
    changed = tuple(comparison.changed)
    if faults_between(config):
        return Changes((), changed, old)
    return Changes(
        tuple(name for name, is_taken_up in comparison.changed.items() if is_taken_up),
        tuple(name for name, is_taken_up in comparison.changed.items() if not is_taken_up),
        config,
    )


class _Comparison:
    def __init__(self, old: Config, new: Config) -> None:
        self._old = old
        self._new = new
        # Whether it is taken up, by dotted key.
        self.changed: dict[str, bool] = {}

    def merged(self, old: S, new: S, path: Path) -> S:
        """Return the old section with the changes that are taken up, and note all of them."""
        values: dict[str, object] = {}
        for name, key in keys(type(old)).items():
            before, after = getattr(old, name), getattr(new, name)
            here = (*path, name)
            if key.shape is Shape.SECTION:
                values[name] = self.merged(before, after, here)
            elif key.shape is Shape.NAMED:
                values[name] = self._accounts(before, after)
            else:
                values[name] = self._value(before, after, here)
        if isinstance(old, AccountConfig):
            values["name"] = old.name
        return type(old)(**values)

    def _value(self, before: object, after: object, path: Path) -> object:
        if same(before, after):
            return before
        is_taken_up = _is_taken_up(before, after, path)
        if not self._is_inherited(before, after, path):
            self.changed[dotted(path)] = is_taken_up
        return after if is_taken_up else before

    def _accounts(
        self, before: Mapping[str, AccountConfig], after: Mapping[str, AccountConfig]
    ) -> dict[str, AccountConfig]:
        for name in dict.fromkeys((*before, *after)):
            if name not in before or name not in after:
                self.changed[dotted(("accounts", name))] = False
        return {
            name: self.merged(account, after[name], ("accounts", name))
            if name in after
            else account
            for name, account in before.items()
        }

    def _is_inherited(self, before: object, after: object, path: Path) -> bool:
        """Tell whether an account only inherits the change, which is noted at the top level."""
        if path[0] != "accounts" or path[2] not in keys(Config):
            return False
        above_before: object = self._old
        above_after: object = self._new
        for name in path[2:]:
            above_before = getattr(above_before, str(name))
            above_after = getattr(above_after, str(name))
        return same(before, above_before) and same(after, above_after)


def _is_taken_up(before: object, after: object, path: Path) -> bool:
    own = path[2:] if path[0] == "accounts" else path
    if not any(own[: len(known)] == known for known in TAKEN_UP):
        return False
    # Another kind of credential, and TLS switched on or off, change what was built at the start.
    switches = ("smart_token", "cert_file")
    return own[-1] not in switches or (before is not None and after is not None)
