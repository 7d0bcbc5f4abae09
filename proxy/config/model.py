"""The sections of the configuration as frozen values, named as in the YAML file.

A Config that exists is right: every value was checked, and so was what they say together. It holds
secrets only as `Secret`. It never reads a file, the environment or the clock.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, model_validator

from proxy.config import addresses, values
from proxy.config.allow_rules import allow_rule
from proxy.config.faults import wrong
from proxy.config.limit_rules import LimitRule, limit_rule
from proxy.system.secret import Secret

DAY = 86400
MEBIBYTE = 1024 * 1024


def _seconds(high: float = DAY, *, zero: bool = False) -> BeforeValidator:
    return BeforeValidator(values.seconds(high, zero=zero))


def _whole(low: int, high: int) -> BeforeValidator:
    return BeforeValidator(values.whole(low, high))


def _listed(example: str) -> BeforeValidator:
    return BeforeValidator(values.listed(example))


Seconds = Annotated[float, _seconds()]
SecondsOrZero = Annotated[float, _seconds(zero=True)]
Port = Annotated[int, _whole(0, 65535)]
Flag = Annotated[bool, BeforeValidator(values.flag)]
Text = Annotated[str, BeforeValidator(values.text)]
Host = Annotated[str | None, BeforeValidator(values.optional(addresses.host))]
FilePath = Annotated[Path | None, BeforeValidator(values.optional(values.path))]
Endpoint = Annotated[str, BeforeValidator(addresses.endpoint)]
OptionalSecret = Annotated[Secret | None, PlainValidator(values.optional(values.secret()))]
AllowRules = Annotated[
    tuple[Annotated[str, BeforeValidator(allow_rule)], ...],
    _listed('["GET,HEAD **", "POST /candidates"]'),
]


class Section(BaseModel):
    """What all sections share: frozen, no unknown key, secrets as a type of our own."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class ProbesConfig(Section):
    """A second listener for live, ready and metrics alone."""

    host: Host = None
    port: Port = 9090


class TlsConfig(Section):
    """The certificate that callers are shown, and the CA of theirs."""

    cert_file: FilePath = None
    key_file: FilePath = None
    client_ca_file: FilePath = None


class ListenConfig(Section):
    """Where callers reach the proxy, and what they may cost it."""

    host: Host = "localhost"
    port: Port = 8080
    unix_socket: FilePath = None
    unix_socket_mode: Annotated[str, BeforeValidator(values.socket_mode)] = "0600"
    reuse_port: Flag = False
    tls: TlsConfig = TlsConfig()
    probes: ProbesConfig = ProbesConfig()
    header_timeout: Seconds = 15.0
    idle_timeout: Seconds = 75.0
    max_head_size: Annotated[int, _whole(1024, 16 * MEBIBYTE)] = 65536
    stall_timeout: Seconds = 60.0
    max_connections: Annotated[int, _whole(1, 1_000_000)] = 512

    @property
    def unix_socket_bits(self) -> int:
        """Return the socket's mode as a number."""
        return int(self.unix_socket_mode, 8)


class OAuthConfig(Section):
    """The app registered with SmartRecruiters, and how its endpoints are spoken to."""

    grant_type: Annotated[
        Literal["authorization_code", "client_credentials"],
        BeforeValidator(values.choice("authorization_code", "client_credentials")),
    ] = "authorization_code"
    client_id: Annotated[str, BeforeValidator(values.client_id)] = ""
    client_secret: Annotated[Secret, PlainValidator(values.client_secret)] = Secret("")
    redirect_uri: Annotated[str, BeforeValidator(addresses.redirect_uri)] = (
        "http://localhost:8080/-/callback"
    )
    scopes: Annotated[
        tuple[Annotated[str, BeforeValidator(values.scope)], ...],
        _listed("[candidates_read, jobs_read]"),
    ] = ()
    authorization_endpoint: Endpoint = "https://www.smartrecruiters.com/identity/oauth/allow"
    token_endpoint: Endpoint = "https://api.smartrecruiters.com/identity/oauth/token"  # noqa: S105
    authorization_params: Annotated[Mapping[str, str], BeforeValidator(values.parameters)] = {
        "response_type": "code"
    }
    # S105 takes the word "token" in a name for a password.
    token_request_format: Annotated[
        Literal["form", "json"], BeforeValidator(values.choice("form", "json"))
    ] = "form"  # noqa: S105
    client_authentication: Annotated[
        Literal["client_secret_post", "client_secret_basic"],
        BeforeValidator(values.choice("client_secret_post", "client_secret_basic")),
    ] = "client_secret_post"
    pkce: Flag = False
    timeout: Seconds = 30.0


class AccountConfig(Section):
    """One grant: its name, and the app or the API key that it belongs to."""

    oauth: OAuthConfig = OAuthConfig()
    smart_token: OptionalSecret = None
    name: str = "default"

    @property
    def kind(self) -> Literal["authorization_code", "client_credentials", "smart_token"]:
        """Return which kind of credential its calls carry."""
        return "smart_token" if self.smart_token is not None else self.oauth.grant_type


class UpstreamConfig(Section):
    """The API behind the proxy, and how it is reached."""

    url: Annotated[str, BeforeValidator(addresses.upstream)] = "https://api.smartrecruiters.com"
    ca_file: FilePath = None
    proxy: Annotated[Secret | None, PlainValidator(values.optional(addresses.outbound_proxy))] = (
        None
    )
    connect_timeout: Seconds = 10.0
    response_timeout: Seconds = 130.0
    max_connections: Annotated[int, _whole(1, 100_000)] = 100
    queue_timeout: SecondsOrZero = 30.0
    rewrite_links: Flag = False
    max_replay_body: Annotated[int, _whole(0, 64 * MEBIBYTE)] = 65536


class LimitsConfig(Section):
    """SmartRecruiters' limits, and what is done about them."""

    mode: Annotated[Literal["pace", "pass"], BeforeValidator(values.choice("pace", "pass"))] = (
        "pace"
    )
    max_wait: SecondsOrZero = 60.0
    rules: Annotated[
        tuple[Annotated[LimitRule, PlainValidator(limit_rule)], ...],
        _listed('["5/s GET /reporting-api/**", "1 at once POST /x/{id}"]'),
    ] = ()


class RedisConfig(Section):
    """The Redis that several replicas share."""

    url: Annotated[Secret | None, PlainValidator(values.optional(addresses.redis_url))] = None
    prefix: Text = "srproxy:"
    ca_file: FilePath = None


class TokensConfig(Section):
    """Where the grant is kept, and when it is renewed."""

    store: Annotated[Literal["file", "redis"], BeforeValidator(values.choice("file", "redis"))] = (
        "file"
    )
    path: FilePath = None
    encryption_key: Annotated[Secret | None, PlainValidator(values.optional(values.secret(16)))] = (
        None
    )
    # The first one writes; `encryption_key` stands here too when it is given.
    encryption_keys: Annotated[
        tuple[Annotated[Secret, PlainValidator(values.secret(16))], ...],
        _listed("[new key, old key]"),
    ] = ()
    redis: RedisConfig = RedisConfig()
    refresh_margin: SecondsOrZero = 300.0
    # A refresh token lives 28 days: an idle grant refreshed later than that would be dead.
    idle_refresh: Annotated[float, _seconds(28 * DAY)] = 604800.0


class ApiKeyConfig(Section):
    """One caller: its key, whose grant it uses, and what it may call."""

    name: Annotated[str, BeforeValidator(values.key_name)]
    # One of the two: a key, or the subject of the certificate that the caller shows.
    key: Annotated[Secret | None, PlainValidator(values.api_key)] = None
    subject: Annotated[str | None, BeforeValidator(values.optional(values.subject))] = None
    # The one account that it may use; None: any, chosen call by call.
    account: Annotated[str | None, BeforeValidator(values.optional(values.account_name))] = None
    allow: AllowRules = ()
    admin: Flag = False

    @model_validator(mode="after")
    def _key_or_subject(self) -> Self:
        if self.key is None and self.subject is None:
            raise wrong(
                "is missing", "accepted: each entry has name and key (or key_file, or subject)"
            )
        return self


class AccessConfig(Section):
    """Who may call, and what."""

    allowed_hosts: Annotated[
        tuple[Annotated[str, BeforeValidator(addresses.allowed_host)], ...],
        _listed("[proxy.internal]"),
    ] = ()
    allowed_origins: Annotated[
        tuple[Annotated[str, BeforeValidator(addresses.allowed_origin)], ...],
        _listed("[https://tool.example.com]"),
    ] = ()
    api_keys: Annotated[tuple[ApiKeyConfig, ...], _listed("[{name: app, key: …}]")] = ()
    allow: AllowRules = ()
    dry_run: Flag = False
    allow_unauthenticated: Flag = False

    @property
    def command_key(self) -> Secret | None:
        """Return the key that this program's own commands show: an admin's, where one is."""
        keys = [caller for caller in self.api_keys if caller.key is not None]
        admins = [caller for caller in keys if caller.admin]
        return (admins or keys)[0].key if keys else None


class InspectConfig(Section):
    """What is kept in memory of the last requests, to look at."""

    enabled: Flag = False
    max_body: Annotated[int, _whole(0, 16 * MEBIBYTE)] = 65536


class LogConfig(Section):
    """How much is logged, and in which form."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(values.choice("debug", "info", "warning", "error")),
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"], BeforeValidator(values.choice("auto", "text", "json"))
    ] = "auto"
    sample: Annotated[int, _whole(1, 1_000_000)] = 1
    audit_file: FilePath = None


class ShutdownConfig(Section):
    """How the proxy stops."""

    delay: SecondsOrZero = 0.0
    drain_timeout: SecondsOrZero = 30.0


class NotifyConfig(Section):
    """Whom to tell when a person is needed."""

    command: Annotated[tuple[str, ...] | None, BeforeValidator(values.command)] = None


class Config(Section):
    """The whole configuration."""

    listen: ListenConfig = ListenConfig()
    oauth: OAuthConfig = OAuthConfig()
    smart_token: OptionalSecret = None
    # Complete ones: `default`, which the top level describes, is always among them.
    accounts: Annotated[Mapping[str, AccountConfig], BeforeValidator(values.accounts)] = {}
    upstream: UpstreamConfig = UpstreamConfig()
    limits: LimitsConfig = LimitsConfig()
    tokens: TokensConfig = TokensConfig()
    access: AccessConfig = AccessConfig()
    inspect: InspectConfig = InspectConfig()
    log: LogConfig = LogConfig()
    shutdown: ShutdownConfig = ShutdownConfig()
    notify: NotifyConfig = NotifyConfig()

    @classmethod
    def build(cls, mapping: Mapping[str, Any]) -> Self:
        """Build from plain values; ConfigurationError lists every fault at once."""
        from proxy.config.checking import build  # the checks are about this very class

        return build(cls, mapping)
