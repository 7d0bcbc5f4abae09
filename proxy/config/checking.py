"""Every fault of a configuration at once: of single values, and of what they say together.

A value that is wrong by itself is left out (its default stands in for it) while the rules about
several values are tried, and a rule that would need it is skipped: no fault hides another, and no
fault is reported twice.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.config import values
from proxy.config.faults import CUSTOM, Fault, Path, dotted
from proxy.config.model import AccountConfig, ApiKeyConfig, Config
from proxy.errors import ConfigurationError
from proxy.system.loopback import is_loopback
from proxy.system.secret import Secret

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about several values: what it looks at, and what it finds."""

    needs: tuple[str, ...]
    find: Callable[[Config], Iterable[Fault]]


def _required(config: Config) -> Iterator[Fault]:
    for path, account in _apps(config):
        if not account.oauth.client_id:
            yield Fault(
                (*path, "client_id"),
                "is missing",
                "accepted: the client id of your SmartRecruiters app (or smart_token, an API key)",
            )


def _required_secret(config: Config) -> Iterator[Fault]:
    for path, account in _apps(config):
        if not account.oauth.client_secret:
            yield Fault(
                (*path, "client_secret"),
                "is missing",
                "accepted: the app's client secret, here or in the file named by "
                "client_secret_file",
            )


def _apps(config: Config) -> Iterator[tuple[Path, AccountConfig]]:
    """Return the accounts that need an app, and where it is named: a fault is said once."""
    every = accounts(config)
    for name, account in every.items():
        if account.kind == "smart_token":
            continue
        if name == "default":
            yield ("oauth",), account
        elif every["default"].kind == "smart_token" or "client_id" in (
            config.accounts[name].oauth.model_fields_set
        ):
            yield ("accounts", name, "oauth"), account


def _account_names(config: Config) -> Iterator[Fault]:
    for name, account in config.accounts.items():
        if name == "default":
            yield Fault(
                ("accounts", name),
                "is the account that the top level describes",
                "accepted: oauth and smart_token at the top level, for it",
            )
        elif fault := values.refusal(values.account_name, name):
            yield Fault(("accounts", name), *fault)
        if "name" in account.model_fields_set:
            yield Fault(("accounts", name, "name"), "is not a key", "accepted: oauth, smart_token")


def _account_references(config: Config) -> Iterator[Fault]:
    known = ("default", *config.accounts)
    for index, key in enumerate(config.access.api_keys):
        if key.account is not None and key.account not in known:
            yield Fault(
                ("access", "api_keys", index, "account"),
                f'"{key.account}" is no account of this configuration',
                f"accepted: {', '.join(dict.fromkeys(known))}",
            )


def _tls(config: Config) -> Iterator[Fault]:
    tls = config.listen.tls
    if tls.cert_file is not None:
        return
    for name in ("key_file", "client_ca_file"):
        if getattr(tls, name) is not None:
            yield Fault(
                ("listen", "tls", name),
                "is given without listen.tls.cert_file",
                "accepted: the certificate's file beside it",
            )


def _callers(config: Config) -> Iterator[Fault]:
    for index, key in enumerate(config.access.api_keys):
        path = ("access", "api_keys", index)
        if key.key is not None and key.subject is not None:
            yield Fault(
                (*path, "subject"),
                "is given beside key",
                "accepted: a key or a certificate's subject, each in an entry of its own",
            )
        elif key.subject is not None and config.listen.tls.client_ca_file is None:
            yield Fault(
                (*path, "subject"),
                "needs callers that show a certificate",
                "accepted: with listen.tls.client_ca_file",
            )


def _encryption_keys(config: Config) -> Iterator[Fault]:
    if config.tokens.encryption_key is not None and config.tokens.encryption_keys:
        yield Fault(
            ("tokens", "encryption_keys"),
            "is given beside encryption_key",
            "accepted: one of the two",
        )


def _listener(config: Config) -> Iterator[Fault]:
    if config.listen.host is None and config.listen.unix_socket is None:
        yield Fault(
            ("listen", "host"),
            "is null, and there is no listen.unix_socket either",
            "accepted: a host, a unix_socket, or both",
        )


def _beyond_loopback(config: Config) -> Iterator[Fault]:
    host = config.listen.host
    if host is None or is_loopback(host):
        return
    if not config.access.api_keys and not config.access.allow_unauthenticated:
        yield Fault(
            ("listen", "host"),
            f'"{host}" lets other machines call with your grant, and access.api_keys is empty',
            "accepted: localhost, or access.api_keys, or access.allow_unauthenticated: true",
        )


def _probes(config: Config) -> Iterator[Fault]:
    probes, listen = config.listen.probes, config.listen
    if probes.host is not None and listen.host is not None and probes.port == listen.port != 0:
        yield Fault(
            ("listen", "probes", "port"),
            f"{probes.port} is listen.port too",
            "accepted: another port",
        )


def _redis(config: Config) -> Iterator[Fault]:
    if config.tokens.store == "redis" and config.tokens.redis.url is None:
        yield Fault(
            ("tokens", "redis", "url"),
            "is missing, with tokens.store: redis",
            "accepted: redis://host:port/number, rediss://…",
        )


def _unique_keys(config: Config) -> Iterator[Fault]:
    keys = config.access.api_keys
    for index, key in enumerate(keys):
        earlier = keys[:index]
        if any(key.name == other.name for other in earlier):
            yield Fault(
                ("access", "api_keys", index, "name"),
                f'"{key.name}" is the name of another key too',
                "accepted: a name of its own for each key",
            )
        for other in earlier:
            if key.subject is not None and key.subject == other.subject:
                yield Fault(
                    ("access", "api_keys", index, "subject"),
                    f'is the same subject as that of "{other.name}"',
                    "accepted: a subject of its own for each caller",
                )
            if key.key is not None and other.key is not None and key.key == other.key:
                yield Fault(
                    ("access", "api_keys", index, "key"),
                    f'is the same key as that of "{other.name}"',
                    "accepted: a key of its own for each caller",
                )
                break


RULES = (
    Rule(("oauth.client_id", "smart_token", "accounts"), _required),
    Rule(("oauth.client_secret", "smart_token", "accounts"), _required_secret),
    Rule(("accounts",), _account_names),
    Rule(("accounts", "access.api_keys"), _account_references),
    Rule(("listen.tls",), _tls),
    Rule(("listen.tls", "access.api_keys"), _callers),
    Rule(("tokens.encryption_key", "tokens.encryption_keys"), _encryption_keys),
    Rule(("listen.host", "listen.unix_socket"), _listener),
    Rule(("listen.host", "access.api_keys", "access.allow_unauthenticated"), _beyond_loopback),
    Rule(("listen.host", "listen.port", "listen.probes"), _probes),
    Rule(("tokens.store", "tokens.redis"), _redis),
    Rule(("access.api_keys",), _unique_keys),
)


def build(model: type[C], mapping: Mapping[str, Any]) -> C:
    """Build a Config or raise ConfigurationError with every fault, a line each."""
    config, faults = check(model, mapping)
    if config is None:
        raise ConfigurationError([str(fault) for fault in faults])
    return config


def check(model: type[C], mapping: Mapping[str, Any]) -> tuple[C | None, list[Fault]]:
    """Return the Config, or None and every fault that `mapping` has."""
    values = _filled_sections(model, mapping)
    faults: list[Fault] = []
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        faults = [_translate(model, details) for details in error.errors(include_url=False)]
        config = model.model_validate(_without(values, [fault.path for fault in faults]))
    broken = [dotted(fault.path) for fault in faults]
    for rule in RULES:
        if not any(_touches(path, need) for path in broken for need in rule.needs):
            faults.extend(rule.find(config))
    if faults:
        return None, faults
    return config.model_copy(update=_settled(config)), []


def _settled(config: Config) -> dict[str, Any]:
    """Return what several values say together: the complete accounts, and the store's keys."""
    tokens = config.tokens
    keys = tokens.encryption_keys
    if tokens.encryption_key is not None:
        keys = (tokens.encryption_key,)
    return {
        "accounts": accounts(config),
        "tokens": tokens.model_copy(
            update={"encryption_keys": keys, "encryption_key": keys[0] if keys else None}
        ),
    }


def accounts(config: Config) -> dict[str, AccountConfig]:
    """Return all accounts with what each takes from the top level filled in.

    One that names an app of its own does not take the top level's API key.
    """
    found = {"default": AccountConfig(oauth=config.oauth, smart_token=config.smart_token)}
    for name, own in config.accounts.items():
        if name == "default":
            continue
        differs = {key: getattr(own.oauth, key) for key in own.oauth.model_fields_set}
        smart_token = own.smart_token
        if "smart_token" not in own.model_fields_set and not differs:
            smart_token = config.smart_token
        oauth = config.oauth.model_copy(update=differs)
        found[name] = AccountConfig.model_construct(name=name, oauth=oauth, smart_token=smart_token)
    return found


def _filled_sections(
    model: type[BaseModel], mapping: Mapping[str, Any], path: Path = ()
) -> dict[str, Any]:
    """Leave out the sections that are null: in YAML, one with every key commented out is."""
    filled = {}
    for name, value in mapping.items():
        here = (*path, name)
        section = section_at(model, here)
        if section is not None and section is not ApiKeyConfig:
            if value is None and section is not AccountConfig:
                continue
            if value is None or isinstance(value, Mapping):
                value = _filled_sections(model, value or {}, here)
        elif here == ("accounts",) and isinstance(value, Mapping):
            value = _filled_sections(model, value, here)
        filled[name] = value
    return filled


def _touches(path: str, need: str) -> bool:
    return path == need or path.startswith((f"{need}.", f"{need}[")) or need.startswith(f"{path}.")


def _without(values: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """Copy without the faulty values; a list with a fault in it goes as a whole."""
    kept = {name: _copy(value) for name, value in values.items()}
    for path in paths:
        node: Any = kept
        keys = list(path)
        for position, key in enumerate(keys):
            leaf = position + 1 == len(keys) or isinstance(keys[position + 1], int)
            if not isinstance(node, dict) or key not in node:
                break
            if leaf or not isinstance(node[key], dict):
                del node[key]
                break
            node = node[key]
    return kept


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(item) for name, item in value.items()}
    return value if isinstance(value, Secret) else deepcopy(value)


def _translate(model: type[BaseModel], details: ErrorDetails) -> Fault:
    """Put pydantic's error into our words: never its own text, which prints input values."""
    path: Path = details["loc"]
    match details["type"]:
        case kind if kind == CUSTOM:
            context = details.get("ctx", {})
            if section_at(model, path) is ApiKeyConfig and isinstance(path[-1], int):
                path = (*path, "key")
            return Fault(path, str(context["what"]), str(context["accepted"]))
        case "extra_forbidden":
            return Fault(path, "is not a key", nearest(model, path))
        case "missing":
            return Fault(path, "is missing", "accepted: a name for each entry")
        case "model_type" | "dict_type" | "model_attributes_type":
            section = section_at(model, path)
            keys = ", ".join(section.model_fields) if section else "names and values"
            return Fault(path, "is not a mapping", f"accepted: a mapping with the keys {keys}")
        case _:  # pragma: no cover - our own validators come first
            return Fault(path, "is of the wrong kind", "accepted: see config.example.yaml")


def section_at(model: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel] | None:
    """Return the model of the section that a path leads to, through lists as well."""
    section: type[BaseModel] | None = model
    named: type[BaseModel] | None = None  # of a mapping: its own keys are names
    for key in path:
        if isinstance(key, int):
            continue
        if named is not None:
            section, named = named, None
            continue
        field = section.model_fields.get(key) if section else None
        section = _model_in(field.annotation) if field else None
        if field and get_origin(field.annotation) is Mapping:
            section, named = None, section
    return section


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
    return None


def is_secret(model: type[BaseModel], path: Iterable[str | int]) -> bool:
    """Tell whether the value at a path is a secret, and so may come by `…_file` as well."""
    *parents, name = path
    section = section_at(model, parents)
    field = section.model_fields.get(str(name)) if section else None
    return field is not None and Secret in (field.annotation, *get_args(field.annotation))


def known_keys(model: type[BaseModel]) -> list[str]:
    """Return the names that a section may hold, those of secrets by file included."""
    return [
        key
        for name in model.model_fields
        for key in ((name, f"{name}_file") if is_secret(model, (name,)) else (name,))
    ]


def every_key(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Return the dotted path of every key, lists' entries excepted."""
    for name in known_keys(model):
        yield f"{prefix}{name}"
        field = model.model_fields.get(name)
        if field and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from every_key(field.annotation, f"{prefix}{name}.")


def nearest(model: type[BaseModel], path: Path) -> str:
    """Say which known key an unknown one is nearest to: a sibling, else one elsewhere."""
    name = str(path[-1])
    section = section_at(model, path[:-1]) or model
    siblings = known_keys(section)
    if close := difflib.get_close_matches(name.lower(), siblings, n=1):
        return f"did you mean {dotted((*path[:-1], close[0]))}?"
    elsewhere = {key.rpartition(".")[2]: key for key in reversed(list(every_key(model)))}
    if close := difflib.get_close_matches(name.lower(), list(elsewhere), n=1, cutoff=0.8):
        return f"did you mean {elsewhere[close[0]]}?"
    return f"accepted: {', '.join(siblings)}"
