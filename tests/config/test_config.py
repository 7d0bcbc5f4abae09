"""What is accepted as configuration, and how the rest is reported."""

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config import Config, LimitRule
from proxy.config.allow_rules import allow_rule
from proxy.config.keys import every_key
from proxy.errors import ConfigurationError

APP = {"client_id": "app", "client_secret": "app-secret"}
KEY = {"name": "tool", "key": "k-1"}


def build(**sections):
    oauth = {**APP, **sections.pop("oauth", {})}
    return Config.build({"oauth": oauth, **sections})


def problems(**sections):
    with pytest.raises(ConfigurationError) as caught:
        build(**sections)
    return list(caught.value.problems)


def nested(key, value):
    *sections, name = key.split(".")
    result = {name: value}
    for section in reversed(sections):
        result = {section: result}
    return result


def value_at(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


def test_the_app_is_all_that_is_needed():
    config = build()

    assert config.listen.host == "localhost"
    assert config.listen.port == 8080
    assert config.oauth.redirect_uri == "http://localhost:8080/-/callback"
    assert config.oauth.authorization_params == {"response_type": "code"}
    assert config.upstream.url == "https://api.smartrecruiters.com"
    assert config.tokens.idle_refresh == 7 * 86400
    assert config.tokens.redis.prefix == "srproxy:"


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        build().listen.port = 1


def test_no_secret_is_in_any_text_of_a_config():
    config = build(
        access={"api_keys": [{"name": "tool", "key": "canary-key"}]},
        upstream={"proxy": "http://u:canary-proxy@h:1"},
        tokens={"encryption_key": "canary-encryption", "redis": {"url": "redis://:canary-r@h"}},
        oauth={"client_secret": "canary-secret"},
    )

    for text in (repr(config), str(config), f"{config}", str(vars(config))):
        assert "canary" not in text


def test_every_fault_is_reported_at_once_and_none_hides_another():
    found = problems(
        oauth={"client_id": "", "redirect_uri": "http://127.0.0.1/x", "scopes": ["a", "b c"]},
        listen={"host": "0.0.0.0", "port": "abc", "prot": 1},
        access={"allow": ["GET", "GET /a;b"]},
    )

    assert [line.split(":")[0] for line in found] == [
        "listen.port",
        "listen.prot",
        "oauth.redirect_uri",
        "oauth.scopes[1]",
        "access.allow[0]",
        "access.allow[1]",
        "oauth.client_id",
        "listen.host",
    ]
    assert all("; " in line for line in found)


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
def test_id_and_secret_are_required(missing):
    (line,) = problems(oauth={missing: ""})

    assert line.startswith(f"oauth.{missing}: is missing; accepted: ")


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("listen.port", "0", 0),
        ("listen.port", 65535, 65535),
        ("listen.host", "[::1]", "::1"),
        ("listen.host", "LOCALHOST", "localhost"),
        ("listen.unix_socket", "/run/x.sock", Path("/run/x.sock")),
        ("listen.unix_socket", "", None),
        ("listen.unix_socket_mode", "0660", "0660"),
        ("listen.header_timeout", "0.5", 0.5),
        ("listen.probes", None, None),
        ("upstream.url", "https://api.sandbox.smartrecruiters.com/", None),
        ("upstream.url", "https://h/prefix/", "https://h/prefix"),
        ("upstream.url", "http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("upstream.url", "http://[::1]:9/a", "http://[::1]:9/a"),
        ("upstream.queue_timeout", 0, 0.0),
        ("oauth.redirect_uri", "https://proxy.example/cb?x=1", "https://proxy.example/cb?x=1"),
        ("oauth.redirect_uri", "http://localhost", "http://localhost"),
        ("oauth.pkce", "yes", True),
        ("oauth.scopes", ["a", "b:c"], ("a", "b:c")),
        ("oauth.token_endpoint", "http://app.localhost:1/t", "http://app.localhost:1/t"),
        ("access.allowed_hosts", ["Proxy.Internal", "[FE80::1]"], ("proxy.internal", "fe80::1")),
        (
            "access.allowed_origins",
            ["HTTPS://Tool.example:443", "http://h:80", "http://[::1]:3000"],
            ("https://tool.example", "http://h", "http://[::1]:3000"),
        ),
        ("notify.command", ["notify-send", ""], ("notify-send", "")),
        ("notify.command", None, None),
        ("shutdown.delay", 0, 0.0),
        ("tokens.encryption_key", None, None),
        ("oauth.grant_type", "client_credentials", "client_credentials"),
        ("upstream.rewrite_links", "true", True),
        ("limits.mode", "pass", "pass"),
        ("limits.max_wait", 0, 0.0),
        (
            "limits.rules",
            ["5/s GET,HEAD /reporting-api/**", "1 at once * /x/{id}"],
            (
                LimitRule(5, "second", ("GET", "HEAD"), "/reporting-api/**"),
                LimitRule(1, "at_once", ("*",), "/x/{id}"),
            ),
        ),
        ("log.sample", "100", 100),
        ("log.audit_file", "/a", Path("/a")),
        ("inspect.enabled", True, True),
        ("access.dry_run", True, True),
        ("listen.reuse_port", True, True),
    ],
)
def test_accepted_values(key, value, kept):
    section, _, rest = key.partition(".")
    config = build(**{section: nested(rest, value)})

    if kept is not None or value in (None, ""):
        if key == "listen.probes":
            assert config.listen.probes.port == 9090
        else:
            assert value_at(config, key) == kept


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("listen.port", 65536, "65536 is out of range; accepted: a whole number, 0 to 65535"),
        ("listen.port", True, "true is not a whole number"),
        ("listen.port", "8080x", '"8080x" is not a whole number'),
        ("listen.port", None, "null is not a whole number"),
        ("listen.host", "localhost:8080", "is not a host; accepted: localhost"),
        ("listen.host", "http://x", "is not a host"),
        ("listen.unix_socket_mode", 384, "384 is not a mode"),
        ("listen.unix_socket_mode", "0066", "is not a mode"),
        ("listen.idle_timeout", 0, "0 is out of range; accepted: seconds, more than 0"),
        ("listen.idle_timeout", float("nan"), "is not a number of seconds"),
        ("listen.idle_timeout", "-1", "out of range"),
        ("listen.max_head_size", 10, "out of range"),
        ("listen.max_connections", 0, "out of range"),
        ("listen", "x", "is not a mapping; accepted: a mapping with the keys host, port"),
        ("upstream.url", "http://example.com", "would send secrets unencrypted"),
        ("upstream.url", "ftp://example.com", "is not an https URL"),
        ("upstream.url", "https://", "no usable host"),
        ("upstream.url", "https://h:99999", "is not a URL"),
        ("upstream.url", "https://h/a/../b", "dot segment"),
        ("upstream.url", "https://h/?q", "has a query or fragment"),
        ("upstream.url", "https://h/#", "has a query or fragment"),
        ("upstream.url", "https://h\n", "is not a URL"),
        ("upstream.url", ["x"], "a list is not a URL"),
        ("upstream.proxy", "socks5://h:1", "is not the URL of an HTTP proxy"),
        ("upstream.proxy", "http://u:p#w@h:1", "is not the URL of an HTTP proxy"),
        ("upstream.max_replay_body", -1, "out of range"),
        ("oauth.redirect_uri", "http://127.0.0.1:8080/x", "takes http for localhost only"),
        ("oauth.redirect_uri", "http://localhost.evil/x", "takes http for localhost only"),
        ("oauth.redirect_uri", "http://localhost/-/status", "is a route of the proxy itself"),
        ("oauth.redirect_uri", "http://localhost/identity/oauth/x", "is never served here"),
        ("oauth.redirect_uri", "https://h/x#f", "has a fragment"),
        ("oauth.redirect_uri", "custom://h/x", "is neither https nor http"),
        ("oauth.authorization_endpoint", "http://h/x", "would send secrets unencrypted"),
        ("oauth.token_endpoint", "http://h/x", "would send secrets unencrypted"),
        ("oauth.scopes", "a b", '"a b" is not a list; accepted: a list, such as'),
        ("oauth.scopes", ["a b"], "is not one scope"),
        ("oauth.authorization_params", {"state": "x"}, '"state" is set by the proxy itself'),
        ("oauth.authorization_params", ["x"], "is not a mapping"),
        ("oauth.authorization_params", {"a": ["x"]}, '"a" is a list'),
        ("oauth.token_request_format", "xml", '"xml" is none of them; accepted: form, json'),
        ("oauth.pkce", "maybe", "neither true nor false"),
        ("tokens.store", "files", "accepted: file, redis"),
        ("tokens.encryption_key", "short", "has only 5 characters; accepted: 16 characters"),
        ("tokens.redis.url", "http://h", "is not a Redis URL"),
        ("tokens.idle_refresh", 29 * 86400, "out of range"),
        ("access.allowed_origins", ["*"], "would let every web page call"),
        ("access.allowed_origins", ["null"], "is not an origin"),
        ("access.allowed_origins", ["https://h/path"], "has more than an origin in it"),
        ("access.allowed_hosts", ["h:80"], "is not a host name"),
        ("access.allowed_hosts", ["*"], "is not a host name"),
        ("access.api_keys", [{"name": "a"}], "access.api_keys[0].key: is missing"),
        ("access.api_keys", [{"name": "a", "key": ""}], "access.api_keys[0].key: is empty"),
        ("access.api_keys", [{"name": "a b", "key": "k"}], "is no name for a key"),
        ("access.api_keys", [{**KEY, "account": "x"}], "accepted: default"),
        ("access.api_keys", [{**KEY, "subject": "CN=a"}], "is given beside key"),
        ("access.api_keys", [{"name": "a", "subject": "CN=a"}], "listen.tls.client_ca_file"),
        ("oauth.grant_type", "password", "accepted: authorization_code, client_credentials"),
        ("oauth.redirect_uri", "http://localhost/-/requests/1", "is a route of the proxy"),
        ("oauth.redirect_uri", "http://localhost/-/reload", "is a route of the proxy"),
        ("limits.mode", "off", "accepted: pace, pass"),
        ("limits.rules", ["0/s GET /x"], "would never let a request pass"),
        ("limits.rules", ["5/m GET /x"], 'is not a limit rule; accepted: "N/s METHODS PATH"'),
        ("limits.rules", ["5/s GET"], "is not a limit rule"),
        ("limits.rules", ["5/s GET /a//b"], "can never match"),
        ("log.sample", 0, "out of range"),
        ("listen.tls.key_file", "/k", "is given without listen.tls.cert_file"),
        ("listen.tls.client_ca_file", "/k", "is given without listen.tls.cert_file"),
        ("tokens.encryption_keys", ["0123456789abcdef", "short"], "has only 5 characters"),
        ("tokens.redis.url", "redis+sentinel://h:1", "names no Sentinels and service"),
        ("tokens.redis.url", "redis+sentinel://h:x/s", "names no Sentinels and service"),
        ("access.api_keys", [{**KEY, "kee": "x"}], "did you mean access.api_keys[0].key?"),
        ("access.api_keys", [KEY, {**KEY, "key": "2"}], "is the name of another key too"),
        ("access.api_keys", [KEY, {**KEY, "name": "b"}], 'is the same key as that of "tool"'),
        ("access.api_keys", {}, "is not a list"),
        ("log.level", "verbose", "accepted: debug, info, warning, error"),
        ("log.format", "xml", "accepted: auto, text, json"),
        ("notify.command", "notify-send", "is not a list with a program in it"),
        ("notify.command", [], "is not a list with a program in it"),
        ("notify.command", [""], "the program's name is empty"),
    ],
)
def test_refused_values(key, value, said):
    section, _, rest = key.partition(".")
    lines = problems(**{section: nested(rest, value) if rest else value})

    assert len(lines) == 1
    assert lines[0].startswith(key)
    assert said in lines[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("oauth.client_secret", ["canary"]),
        ("oauth.client_secret", "canary\ncanary"),
        ("tokens.encryption_key", "canary"),
        ("tokens.redis.url", "canary://x"),
        ("upstream.proxy", "canary"),
        ("upstream.proxy", "http://u:canary@h:x"),
        ("upstream.url", "https://u:canary@h"),
        ("oauth.redirect_uri", "https://canary:canary@h"),
        ("oauth.token_endpoint", "https://canary@h/x"),
        ("access.api_keys", [{"name": "a", "key": "canary canary"}]),
        ("access.allowed_origins", ["https://canary@h"]),
        ("oauth", "canary"),
        ("access.api_keys", ["canary"]),
    ],
)
def test_what_may_be_a_secret_is_not_in_the_message(key, value):
    section, _, rest = key.partition(".")
    if not rest:
        with pytest.raises(ConfigurationError) as caught:
            Config.build({section: value})
        text = str(caught.value)
    else:
        text = "\n".join(problems(**{section: nested(rest, value)}))

    assert key.split(".")[0] in text
    assert "canary" not in text


@pytest.mark.parametrize(
    ("mapping", "hint"),
    [
        ({"lisen": {}}, "did you mean listen?"),
        ({"listen": {"prot": 1}}, "did you mean listen.port?"),
        ({"oauth": {**APP, "client_secert_file": "x"}}, "did you mean oauth.client_secret_file?"),
        ({"client_id": "x"}, "did you mean oauth.client_id?"),
        ({"log": {"zzzzzz": 1}}, "accepted: level, format"),
    ],
)
def test_an_unknown_key_is_an_error_with_the_nearest_known_one(mapping, hint):
    with pytest.raises(ConfigurationError) as caught:
        Config.build({"oauth": APP, **mapping})

    assert [line for line in caught.value.problems if "is not a key" in line and hint in line]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "proxy.internal"])
def test_listening_beyond_loopback_needs_keys_or_an_explicit_word(host):
    (line,) = problems(listen={"host": host})

    assert "access.api_keys is empty" in line
    assert build(listen={"host": host}, access={"allow_unauthenticated": True})
    assert build(listen={"host": host}, access={"api_keys": [KEY]})


@pytest.mark.parametrize("host", ["localhost", "x.localhost", "127.0.0.2", "::1", "[::1]"])
def test_loopback_needs_neither(host):
    assert build(listen={"host": host})


def test_there_must_be_something_to_listen_on():
    (line,) = problems(listen={"host": None})

    assert line.startswith("listen.host: is null")
    assert build(listen={"host": None, "unix_socket": "/x"}).listen.host is None


def test_redis_needs_its_url():
    (line,) = problems(tokens={"store": "redis"})

    assert line.startswith("tokens.redis.url: is missing")
    assert build(tokens={"store": "redis", "redis": {"url": "rediss://h:1/0"}})


def test_probes_need_a_port_of_their_own():
    (line,) = problems(listen={"port": 9090, "probes": {"host": "0.0.0.0"}})

    assert line.startswith("listen.probes.port: 9090 is listen.port too")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h/main",
        "redis+sentinel://a:26379,b:26379,[::1]:26379/main/2",
        "redis+sentinel://user:p%40ss@a,b/main",
    ],
)
def test_sentinels_of_redis(url):
    config = build(tokens={"store": "redis", "redis": {"url": url}})

    assert config.tokens.redis.url.reveal() == url


def test_encryption_key_is_the_only_one_of_encryption_keys():
    one, other = "0123456789abcdef", "fedcba9876543210"

    assert [k.reveal() for k in build(tokens={"encryption_key": one}).tokens.encryption_keys] == [
        one
    ]
    both = build(tokens={"encryption_keys": [one, other]}).tokens
    assert [key.reveal() for key in both.encryption_keys] == [one, other]
    assert build().tokens.encryption_keys == ()
    (line,) = problems(tokens={"encryption_key": one, "encryption_keys": [other]})
    assert line.startswith("tokens.encryption_keys: is given beside encryption_key")


def test_a_caller_is_known_by_its_certificate_in_place_of_a_key():
    config = build(
        listen={"tls": {"cert_file": "/c", "client_ca_file": "/ca"}},
        access={"api_keys": [{"name": "a", "subject": "CN=a"}, {**KEY, "admin": True}]},
    )

    assert config.access.api_keys[0].subject == "CN=a"
    assert config.access.api_keys[0].key is None
    assert config.access.api_keys[0].account is None


def test_our_own_commands_show_an_admin_s_key():
    def key(*keys):
        found = build(access={"api_keys": list(keys)}).access.command_key
        return found and found.reveal()

    assert key() is None
    assert key(KEY, {"name": "b", "key": "2"}) == "k-1"
    assert key(KEY, {"name": "b", "key": "2", "admin": True}) == "2"


def test_response_type_stays_unless_it_is_taken_out():
    def parameters(value):
        return build(oauth={"authorization_params": value}).oauth.authorization_params

    assert parameters({"prompt": "login"}) == {"response_type": "code", "prompt": "login"}
    assert parameters({"response_type": None}) == {}
    assert parameters(None) == {"response_type": "code"}
    assert parameters({"a": True, "b": 1}) == {"response_type": "code", "a": "true", "b": "1"}


@pytest.mark.parametrize(
    "rule",
    [
        "* **", "GET,HEAD **", "POST /candidates", "GET /candidates/*", "* /jobs/{id}",
        "GET /jobs/{id}/**", "GET /**", "get /x", "M-SEARCH /a.b~c", "GET /a%20b", "GET /",
    ],
)  # fmt: skip
def test_allow_rules(rule):
    assert allow_rule(rule) == rule


@pytest.mark.parametrize(
    "rule",
    [
        "", "GET", "GET  /x", " /x", "GET x", "GET,* /x", "GET, HEAD /x", "GET /a/**/b",
        "GET /a//b", "GET /a/", "GET /a;b", "GET /a%2Fb", "GET /a%2e", "GET /a%5cb", "GET /..",
        "GET /a?b", "GET /a*", "GET /{}", "GET /{a", "GET /a{b}", "GET ***", "GET /é",
        "GET /a ", None, 3,
    ],
)  # fmt: skip
def test_rules_that_could_never_match_are_errors(rule):
    (line,) = problems(access={"allow": [rule]})

    assert line.startswith("access.allow[0]: ")
    assert 'accepted: "METHODS PATH"' in line


@pytest.mark.parametrize(
    "module", ["yaml", "ssl", "hashlib", "dataclasses", "difflib", "asyncio", "importlib.metadata"]
)
def test_the_configuration_is_light_to_import(module):
    """Every command starts with it (25 ms at most; these would each take a fifth of that)."""
    code = f"import sys, proxy.config; sys.exit({module!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_secret_has_a_key_for_its_file():
    files = {key for key in every_key(Config) if key.endswith("_file")}

    assert files == {
        "listen.tls.cert_file",
        "listen.tls.key_file",
        "listen.tls.client_ca_file",
        "oauth.client_secret_file",
        "smart_token_file",
        "log.audit_file",
        "tokens.redis.ca_file",
        "upstream.ca_file",
        "upstream.proxy_file",
        "tokens.encryption_key_file",
        "tokens.encryption_keys_file",
        "tokens.redis.url_file",
    }
