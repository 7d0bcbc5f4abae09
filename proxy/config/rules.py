"""The rules about several values together: what each looks at, and what it finds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from proxy.config.faults import Fault
from proxy.config.model import UncheckedConfig
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.system.loopback import is_loopback


class Rule(NamedTuple):
    """A rule about several values: what it looks at, and what it finds."""

    needs: tuple[str, ...]
    find: Callable[[UncheckedConfig], Iterable[Fault]]


def _required(config: UncheckedConfig) -> Iterator[Fault]:
    accepted = "accepted: the client id of your SmartRecruiters app (or smart_token, an API key)"
    yield from _lacking(config, "client_id", accepted)


def _required_secret(config: UncheckedConfig) -> Iterator[Fault]:
    accepted = "accepted: the app's client secret, here or in the file named by client_secret_file"
    yield from _lacking(config, "client_secret", accepted)


def _lacking(config: UncheckedConfig, name: str, accepted: str) -> Iterator[Fault]:
    """Report accounts whose app lacks a value; where the top level lacks it, that alone."""
    lacking = [
        account.name
        for account in config.accounts.values()
        if account.kind != "smart_token" and not getattr(account.oauth, name)
    ]
    if DEFAULT_ACCOUNT in lacking:
        yield Fault(("oauth", name), "is missing", accepted)
        return
    for account in lacking:
        yield Fault(("accounts", account, "oauth", name), "is missing", accepted)


def _account_references(config: UncheckedConfig) -> Iterator[Fault]:
    for index, key in enumerate(config.access.api_keys):
        if key.account is not None and key.account not in config.accounts:
            yield Fault(
                ("access", "api_keys", index, "account"),
                f'"{key.account}" is no account of this configuration',
                f"accepted: {', '.join(config.accounts)}",
            )


def _tls(config: UncheckedConfig) -> Iterator[Fault]:
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


def _callers(config: UncheckedConfig) -> Iterator[Fault]:
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


def _encryption_keys(config: UncheckedConfig) -> Iterator[Fault]:
    key, keys = config.tokens.encryption_key, config.tokens.encryption_keys
    if key is not None and keys and keys[0] != key:
        yield Fault(
            ("tokens", "encryption_keys"),
            "is given beside encryption_key",
            "accepted: one of the two",
        )


def _listener(config: UncheckedConfig) -> Iterator[Fault]:
    if config.listen.host is None and config.listen.unix_socket is None:
        yield Fault(
            ("listen", "host"),
            "is null, and there is no listen.unix_socket either",
            "accepted: a host, a unix_socket, or both",
        )


def _beyond_loopback(config: UncheckedConfig) -> Iterator[Fault]:
    host = config.listen.host
    if host is None or is_loopback(host):
        return
    if not config.access.api_keys and not config.access.allow_unauthenticated:
        yield Fault(
            ("listen", "host"),
            f'"{host}" lets other machines call with your grant, and access.api_keys is empty',
            "accepted: localhost, or access.api_keys, or access.allow_unauthenticated: true",
        )


def _probes(config: UncheckedConfig) -> Iterator[Fault]:
    probes, listen = config.listen.probes, config.listen
    if probes.host is not None and listen.host is not None and probes.port == listen.port != 0:
        yield Fault(
            ("listen", "probes", "port"),
            f"{probes.port} is listen.port too",
            "accepted: another port",
        )


def _redis(config: UncheckedConfig) -> Iterator[Fault]:
    if config.tokens.store == "redis" and config.tokens.redis.url is None:
        yield Fault(
            ("tokens", "redis", "url"),
            "is missing, with tokens.store: redis",
            "accepted: redis://host:port/number, rediss://…",
        )


def _unique_keys(config: UncheckedConfig) -> Iterator[Fault]:
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
    Rule(("oauth.client_id", "smart_token"), _required),
    Rule(("oauth.client_secret", "smart_token"), _required_secret),
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


def faults_between(config: UncheckedConfig, broken: Sequence[str] = ()) -> list[Fault]:
    """Return what is wrong between values; rules that need one of the `broken` keys are skipped."""
    faults: list[Fault] = []
    for rule in RULES:
        if not any(_touches(path, need) for path in broken for need in rule.needs):
            faults.extend(rule.find(config))
    return faults


def _touches(path: str, need: str) -> bool:
    return path == need or path.startswith((f"{need}.", f"{need}[")) or need.startswith(f"{path}.")
