"""The sections of the configuration as frozen values, named as in the YAML file.

Each field says how it is read, its default, and its line in docs/configuration.md. Secrets are held
only as `Secret`. Nothing here reads a file, the environment or the clock.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from proxy.config import addresses, values
from proxy.config import section as fields
from proxy.config.allow_rules import allow_rule
from proxy.config.limit_rules import LimitRule, limit_rule
from proxy.config.listening import ListenConfig
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.config.section import Section
from proxy.config.values import DAY, MEBIBYTE, PEM, SECONDS, SECONDS_OR_ZERO
from proxy.system.secret import Secret


class OAuthConfig(Section):
    """The app registered with SmartRecruiters, and how its endpoints are spoken to."""

    grant_type: Literal["authorization_code", "client_credentials"] = fields.value(
        values.choice("authorization_code", "client_credentials"),
        "authorization_code",
        "a person logs in once; or `client_credentials`: the app acts by itself, "
        "without login and refresh token",
    )
    client_id: str = fields.value(
        values.client_id, "", "of your SmartRecruiters app; not with `smart_token`"
    )
    client_secret: Secret = fields.secret(
        values.client_secret, Secret(""), "or `client_secret_file`; not with `smart_token`"
    )
    redirect_uri: str = fields.value(
        addresses.redirect_uri,
        "http://localhost:8080/-/callback",
        "byte for byte as registered; its path is the callback's path",
    )
    scopes: tuple[str, ...] = fields.each(
        values.scope, "[candidates_read, jobs_read]", "empty: the app's defaults"
    )
    authorization_endpoint: str = fields.value(
        addresses.endpoint,
        "https://www.smartrecruiters.com/identity/oauth/allow",
        "where the browser is sent",
    )
    token_endpoint: str = fields.value(
        addresses.endpoint,
        "https://api.smartrecruiters.com/identity/oauth/token",
        "where codes and refresh tokens are exchanged",
    )
    authorization_params: Mapping[str, str] = fields.texts(
        values.parameters,
        {"response_type": "code"},
        "extra query parameters of the authorization request",
    )
    token_request_format: Literal["form", "json"] = fields.value(
        values.choice("form", "json"), "form", "or `json`"
    )
    client_authentication: Literal["client_secret_post", "client_secret_basic"] = fields.value(
        values.choice("client_secret_post", "client_secret_basic"),
        "client_secret_post",
        "or `client_secret_basic`",
    )
    pkce: bool = fields.value(values.flag, False, "S256; SmartRecruiters does not document it")
    timeout: float = fields.value(SECONDS, 30.0, "for a token request")


def _smart_token() -> Secret | None:
    return fields.secret(
        values.nullable(values.secret()),
        None,
        "a SmartRecruiters API key, sent as `X-SmartToken` instead of a bearer: no OAuth at all",
    )


class AccountConfig(Section):
    """One grant: its name, and the app or the API key that it belongs to."""

    name: str = fields.fixed(DEFAULT_ACCOUNT)
    oauth: OAuthConfig = fields.section(OAuthConfig)
    smart_token: Secret | None = _smart_token()

    @property
    def kind(self) -> Literal["authorization_code", "client_credentials", "smart_token"]:
        """Return which kind of credential its calls carry."""
        return "smart_token" if self.smart_token is not None else self.oauth.grant_type


class UpstreamConfig(Section):
    """The API behind the proxy, and how it is reached."""

    url: str = fields.value(
        addresses.upstream,
        "https://api.smartrecruiters.com",
        "may carry a path prefix; plain `http` to loopback only",
    )
    ca_file: Path | None = fields.path(
        "certificates trusted besides the system's, for the token endpoint too", reads=PEM
    )
    proxy: Secret | None = fields.secret(
        values.optional(addresses.outbound_proxy),
        None,
        "outbound HTTP proxy, for the token endpoint too; default `HTTPS_PROXY` and `NO_PROXY`",
    )
    connect_timeout: float = fields.value(SECONDS, 10.0, "to connect, TLS included")
    response_timeout: float = fields.value(
        SECONDS, 130.0, "to the answer's head, and between two reads of its body"
    )
    max_connections: int = fields.value(values.whole(1, 100_000), 100, "to the upstream")
    queue_timeout: float = fields.value(SECONDS_OR_ZERO, 30.0, "to wait for one of them")
    rewrite_links: bool = fields.value(
        values.flag,
        False,
        "`true`: absolute URLs of the upstream in JSON bodies lead to the origin "
        "that the caller used",
    )
    max_replay_body: int = fields.value(
        values.whole(0, 64 * MEBIBYTE),
        65536,
        "bytes of a request body kept to send it again after a 401 or a dropped connection",
    )


class LimitsConfig(Section):
    """SmartRecruiters' limits, and what is done about them."""

    mode: Literal["pace", "pass"] = fields.value(
        values.choice("pace", "pass"),
        "pace",
        "hold a request back until SmartRecruiters' limits allow it; or `pass`: "
        "leave it to the upstream",
    )
    max_wait: float = fields.value(
        SECONDS_OR_ZERO, 60.0, "how long a request may be held back; longer: `rate_limited`"
    )
    rules: tuple[LimitRule, ...] = fields.each(
        limit_rule,
        '["5/s GET /reporting-api/**", "1 at once POST /x/{id}"]',
        'limits besides the built-in ones: `"5/s GET /reporting-api/**"`, '
        '`"1 at once POST /x/{id}"`; the first that fits counts',
    )


class RedisConfig(Section):
    """The Redis that several replicas share."""

    url: Secret | None = fields.secret(
        values.optional(addresses.redis_url),
        None,
        "`redis://…`, `rediss://…` or `redis+sentinel://host,host/service`",
    )
    prefix: str = fields.value(values.text, "srproxy:", "of every key in Redis")
    ca_file: Path | None = fields.path("certificates trusted besides the system's", reads=PEM)


class TokensConfig(Section):
    """Where the grant is kept, and when it is renewed."""

    store: Literal["file", "redis"] = fields.value(
        values.choice("file", "redis"), "file", "or `redis`, for several replicas"
    )
    path: Path | None = fields.path("folder; default: the user's state folder")
    encryption_key: Secret | None = fields.secret(
        values.nullable(values.secret(16)),
        None,
        "16 characters or more; with it, records are encrypted at rest",
    )
    # Complete in a Config: the first one writes, and is `encryption_key` too.
    encryption_keys: tuple[Secret, ...] = fields.secrets(
        values.secret(16),
        "[new key, old key]",
        "in place of it while a key is changed: `[new, old]`; the first one writes",
    )
    redis: RedisConfig = fields.section(RedisConfig)
    refresh_margin: float = fields.value(
        SECONDS_OR_ZERO,
        300.0,
        "refresh ahead when less than this is left and there is traffic; at most half of "
        "the token's lifetime",
    )
    # A refresh token lives 28 days: an idle grant refreshed later than that would be dead.
    idle_refresh: float = fields.value(
        values.seconds(28 * DAY),
        604800.0,
        "refresh an idle grant when its refresh token is older than this",
    )


class ApiKeyConfig(Section):
    """One caller: its key, whose grant it uses, and what it may call."""

    name: str = fields.required(values.key_name, "a name for each entry")
    # One of the two: a key, or the subject of the certificate that the caller shows.
    key: Secret | None = fields.secret(
        values.nullable(values.api_key),
        None,
        required="each entry has name and key (or key_file, or subject)",
        unless="subject",
    )
    subject: str | None = fields.value(values.optional(values.subject), None)
    # The one account that it may use; None: any, chosen call by call.
    account: str | None = fields.value(values.optional(values.account_name), None)
    allow: tuple[str, ...] = fields.each(allow_rule, '["GET,HEAD **"]')
    admin: bool = fields.value(values.flag, False)


class AccessConfig(Section):
    """Who may call, and what."""

    allowed_hosts: tuple[str, ...] = fields.each(
        addresses.allowed_host,
        "[proxy.internal]",
        "`Host` names answered to, besides loopback names and `listen.host`",
    )
    allowed_origins: tuple[str, ...] = fields.each(
        addresses.allowed_origin,
        "[https://tool.example.com]",
        'browser origins that may call (CORS); `"*"` is refused',
    )
    api_keys: tuple[ApiKeyConfig, ...] = fields.sections(
        ApiKeyConfig,
        "[{name: app, key: …}]",
        "`{name, key or key_file or subject, account, allow, admin}` each; when set, every caller "
        "needs one. `subject` is that of the caller's certificate; `account` binds the key to "
        "one; once a key is `admin`, only such may see the page and act",
    )
    allow: tuple[str, ...] = fields.each(
        allow_rule,
        '["GET,HEAD **", "POST /candidates"]',
        'rules such as `"GET,HEAD **"` (read-only) or `"POST /candidates"`; empty: everything',
    )
    dry_run: bool = fields.value(
        values.flag,
        False,
        "`true`: writes (all but GET, HEAD and OPTIONS) are answered 202 here, and not forwarded",
    )
    allow_unauthenticated: bool = fields.value(
        values.flag, False, "must be `true` to listen beyond loopback without API keys"
    )

    @property
    def command_key(self) -> Secret | None:
        """Return the key that this program's own commands show: an admin's, where one is."""
        callers = [caller for caller in self.api_keys if caller.key is not None]
        admins = [caller for caller in callers if caller.admin]
        return (admins or callers)[0].key if callers else None


class InspectConfig(Section):
    """What is kept in memory of the last requests, to look at."""

    enabled: bool = fields.value(
        values.flag,
        False,
        "`true`: headers and bodies of the last requests are kept in memory, to look at "
        "on the page",
    )
    max_body: int = fields.value(
        values.whole(0, 16 * MEBIBYTE),
        65536,
        "bytes kept of each body; the rest is counted, not kept",
    )


class LogConfig(Section):
    """How much is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = fields.value(
        values.choice("debug", "info", "warning", "error"),
        "info",
        "or `debug`, `warning`, `error`",
    )
    format: Literal["auto", "text", "json"] = fields.value(
        values.choice("auto", "text", "json"),
        "auto",
        "`text` on a terminal, `json` lines otherwise",
    )
    sample: int = fields.value(
        values.whole(1, 1_000_000), 1, "access log: errors, and one in so many of the rest"
    )
    audit_file: Path | None = fields.path("who did what to the grant, beside the log")


class ShutdownConfig(Section):
    """How the proxy stops."""

    delay: float = fields.value(SECONDS_OR_ZERO, 0.0, 'between "not ready" and no longer accepting')
    drain_timeout: float = fields.value(SECONDS_OR_ZERO, 30.0, "for requests in flight to finish")


class NotifyConfig(Section):
    """Whom to tell when a person is needed."""

    command: tuple[str, ...] | None = fields.value(
        values.command,
        None,
        "`[program, argument, …]`, run when a person is needed, and when no longer",
    )


class UncheckedConfig(Section):
    """All sections: each value is valid by itself, rules between values are not checked yet."""

    listen: ListenConfig = fields.section(ListenConfig)
    oauth: OAuthConfig = fields.section(OAuthConfig)
    smart_token: Secret | None = _smart_token()
    # Complete ones: `default`, which the top level describes, is always among them.
    accounts: Mapping[str, AccountConfig] = fields.named(
        AccountConfig,
        values.further_account,
        "{acme: {oauth: {…}}}",
        "more grants beside `default`: `{acme: {oauth: {…what differs…}}, "
        "bulk: {smart_token_file: …}}`; what one does not name comes from above",
    )
    upstream: UpstreamConfig = fields.section(UpstreamConfig)
    limits: LimitsConfig = fields.section(LimitsConfig)
    tokens: TokensConfig = fields.section(TokensConfig)
    access: AccessConfig = fields.section(AccessConfig)
    inspect: InspectConfig = fields.section(InspectConfig)
    log: LogConfig = fields.section(LogConfig)
    shutdown: ShutdownConfig = fields.section(ShutdownConfig)
    notify: NotifyConfig = fields.section(NotifyConfig)
