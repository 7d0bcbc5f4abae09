"""Checks a whole configuration: every fault at once, none hidden, none reported twice."""

from collections.abc import Mapping
from typing import Any, Self

from proxy.config.faults import Fault, dotted
from proxy.config.model import AccountConfig, UncheckedConfig
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.config.reading import made, read
from proxy.config.rules import faults_between
from proxy.config.section import keys
from proxy.errors import ConfigurationError


class Config(UncheckedConfig):
    """The whole configuration. A built one is valid, and so are its accounts."""

    @classmethod
    def build(cls, mapping: Mapping[str, Any]) -> Self:
        """Build from plain values; ConfigurationError has every fault, a line each."""
        config, faults = cls.check(mapping)
        if config is None:
            raise ConfigurationError([str(fault) for fault in faults])
        return config

    @classmethod
    def check(cls, mapping: Mapping[str, Any]) -> tuple[Self | None, list[Fault]]:
        """Return the Config, or None and every fault that `mapping` has.

        A rule that would look at a faulty value is skipped.
        """
        given, faults = read(UncheckedConfig, mapping)
        named = given.pop("accounts", {})
        _settle_encryption(given.get("tokens", {}))
        config = made(cls, {**given, "accounts": _accounts(given, named)})
        faults += faults_between(config, [dotted(fault.path) for fault in faults])
        return (None, faults) if faults else (config, [])


def _accounts(
    given: Mapping[str, Any], named: Mapping[str, Mapping[str, Any]]
) -> dict[str, AccountConfig]:
    """Return all accounts; what one was not given comes from the top level.

    One that names an app of its own does not inherit the top level's API key.
    """
    top = {name: given[name] for name in keys(AccountConfig) if name in given}
    found = {DEFAULT_ACCOUNT: made(AccountConfig, top)}
    for name, own in named.items():
        oauth = own.get("oauth", {})
        merged = {**top, **own, "oauth": {**top.get("oauth", {}), **oauth}, "name": name}
        if oauth and "smart_token" not in own:
            merged.pop("smart_token", None)
        found[name] = made(AccountConfig, merged)
    return found


def _settle_encryption(tokens: dict[str, Any]) -> None:
    """Make `encryption_keys` complete, and `encryption_key` the first of them."""
    if tokens.get("encryption_key") is not None:
        tokens.setdefault("encryption_keys", (tokens["encryption_key"],))
    elif tokens.get("encryption_keys"):
        tokens["encryption_key"] = tokens["encryption_keys"][0]
