"""Where configuration comes from, its precedence, and the places that faults are reported at."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import Config
from proxy.config.environment import variable
from proxy.config.keys import every_key
from proxy.config.loading import find_file, load
from proxy.config.section import keys
from proxy.errors import ConfigurationError
from proxy.system.secret import Secret
from tests.support.reference import DOCUMENT

APP = {"SRPROXY_OAUTH__CLIENT_ID": "app", "SRPROXY_OAUTH__CLIENT_SECRET": "app-secret"}
ROOT = Path(__file__).parents[2]


def no_folder():
    """Stand for a person without a configuration folder."""
    return


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text, name="c.yaml"):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def config(text=None, environ=APP, flags=None):
    path = write(text) if text is not None else None
    return load(path, environ, no_folder, flags=flags).config


def problems(text=None, environ=APP):
    with pytest.raises(ConfigurationError) as caught:
        config(text, environ)
    return list(caught.value.problems)


def test_the_environment_alone_is_enough():
    loaded = load(None, APP, no_folder)

    assert loaded.file is None
    assert loaded.config.oauth.client_id == "app"
    assert loaded.config.oauth.client_secret.reveal() == "app-secret"


def test_flag_over_environment_over_file_over_default():
    text = "listen: {port: 2, header_timeout: 2, idle_timeout: 2}"
    environ = {**APP, "SRPROXY_LISTEN__PORT": "3", "SRPROXY_LISTEN__IDLE_TIMEOUT": "3"}

    listen = config(text, environ, flags={"listen.port": "4"}).listen

    assert (listen.port, listen.idle_timeout, listen.header_timeout) == (4, 3, 2)
    assert listen.stall_timeout == 60


@pytest.mark.parametrize(
    ("exists", "option", "environ", "found"),
    [
        (["a", "b", "config.yaml", "user/config.yaml"], "a", {"SRPROXY_CONFIG": "b"}, "a"),
        (["b", "config.yaml", "user/config.yaml"], None, {"SRPROXY_CONFIG": "b"}, "b"),
        (["config.yaml", "user/config.yaml"], None, {}, "user/config.yaml"),
        (["config.yaml"], None, {}, "config.yaml"),
        (["user/config.yaml"], None, {}, "user/config.yaml"),
        ([], None, {}, None),
        (["config.yaml"], None, {"SRPROXY_CONFIG": "missing"}, "missing"),
    ],
)
def test_the_order_in_which_a_file_is_looked_for(exists, option, environ, found):
    for name in exists:
        write("", name)

    path = find_file(option and Path(option), environ, lambda: Path("user")).path

    assert path == (found and Path(found))


def test_a_file_that_was_named_must_be_there():
    (line,) = problems(environ={"SRPROXY_CONFIG": "x.yaml"})

    assert line.startswith("x.yaml: cannot be read: No such file or directory")
    assert "(named by SRPROXY_CONFIG)" in line


def test_every_fault_has_its_file_line_and_column():
    text = """\
listen:
  port: abc
  prot: 3
oauth:
  scopes:
    - fine
    - not fine
access:
  api_keys:
    - {name: a, key: ""}
    - name: b
upstream: {}
"""
    assert [line.split("; ")[0] for line in problems(text)] == [
        'c.yaml:2:9: listen.port: "abc" is not a whole number',
        "c.yaml:3:3: listen.prot: is not a key",
        'c.yaml:7:7: oauth.scopes[1]: "not fine" is not one scope',
        "c.yaml:10:22: access.api_keys[0].key: is empty",
        "c.yaml:11:7: access.api_keys[1].key: is missing",
    ]


def test_what_is_missing_is_said_at_its_section_or_at_the_top():
    assert [line.split(": is")[0] for line in problems("log: {}\noauth: {}\n", {})] == [
        "c.yaml:2:1: oauth.client_id",
        "c.yaml:2:1: oauth.client_secret",
    ]
    assert problems("", {})[0].startswith("c.yaml:1:1: oauth.client_id: is missing")
    assert problems(None, {})[0].startswith("SRPROXY_OAUTH__CLIENT_ID: oauth.client_id: is missing")


def test_a_fault_of_the_environment_names_the_variable():
    environ = {
        **APP,
        "SRPROXY_LISTEN__PORT": "x",
        "SRPROXY_ACCESS__API_KEYS": '[{"name": "a", "key": ""}]',
        "SRPROXY_OAUTH__SCOPES": "[a",
        "SRPROXY_LOG": "x",
    }
    assert [line.split("; ")[0][:88] for line in problems("listen: {port: y}", environ)] == [
        "SRPROXY_ACCESS__API_KEYS: access.api_keys[0].key: is empty",
        'SRPROXY_LISTEN__PORT: listen.port: "x" is not a whole number',
        "SRPROXY_LOG: log: is not a mapping",
        "SRPROXY_OAUTH__SCOPES: oauth.scopes: not YAML: expected ',' or ']', but got '<stream end",
    ]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SRPROXY_OAUTH__CLIENT_IDD", "SRPROXY_OAUTH__CLIENT_ID"),
        ("SRPROXY_OAUTH_CLIENT_ID", "SRPROXY_OAUTH__CLIENT_ID"),
        ("SRPROXY_CLIENT_SECRET_FILE", "SRPROXY_OAUTH__CLIENT_SECRET_FILE"),
        ("SRPROXY_LISTEN__PORT__X", "SRPROXY_LISTEN__PORT"),
        ("SRPROXY_PORT", "SRPROXY_LISTEN__PORT"),
        ("SRPROXY_SCOPES", "SRPROXY_OAUTH__SCOPES"),
        ("SRPROXY_ACCESS__API_KEYS__0__KEY", "SRPROXY_ACCESS__API_KEYS"),
    ],
)
def test_an_unknown_variable_is_an_error_with_the_nearest_known_one(name, nearest):
    (line,) = problems(environ={**APP, name: "canary"})

    assert line.startswith(f"{name}: ")
    assert line.endswith(f"did you mean {nearest}?")


@pytest.mark.parametrize(
    "name",
    [
        "SRPROXY_EVENT", "SRPROXY_REASON", "SRPROXY_PURE", "SRPROXY_SERVICE_HOST",
        "SRPROXY_SERVICE_PORT_HTTP", "SRPROXY_PORT", "SRPROXY_PORT_8080_TCP_ADDR",
        "SRPROXY_GATEWAY_SERVICE_HOST", "SRPROXY_GATEWAY_PORT", "SRPROXY_GATEWAY_PORT_8080_TCP",
        "SRPROXY_GATEWAY_SERVICE_PORT",
    ],
)  # fmt: skip
def test_variables_that_others_make_are_no_keys(name):
    assert config(environ={**APP, name: "tcp://10.0.0.1:8080"})


def test_lists_and_mappings_come_as_yaml_or_json():
    access = config(
        environ={
            **APP,
            "SRPROXY_ACCESS__ALLOW": '["GET,HEAD **"]',
            "SRPROXY_ACCESS__ALLOWED_HOSTS": "[a.b, c.d]",
            "SRPROXY_ACCESS": '{"allow_unauthenticated": true, "allow": ["* **"]}',
            "SRPROXY_ACCESS__API_KEYS": "[{name: a, key: 0123}]",
        }
    ).access

    assert access.allow == ("GET,HEAD **",)
    assert access.allowed_hosts == ("a.b", "c.d")
    assert access.allow_unauthenticated
    assert access.api_keys[0].key.reveal() == "0123"


def test_extra_parameters_one_by_one():
    environ = {**APP, "SRPROXY_OAUTH__AUTHORIZATION_PARAMS__PROMPT": "login"}

    params = config("oauth: {authorization_params: {a: b}}", environ).oauth.authorization_params

    assert params == {"response_type": "code", "a": "b", "prompt": "login"}


def test_text_stays_as_it_was_written():
    text = """\
listen: {unix_socket_mode: 0660}
oauth: {client_id: 0123, client_secret: 1e3, authorization_params: {a: yes, b: 2026-01-01}}
"""
    loaded = config(text, {})

    assert loaded.listen.unix_socket_mode == "0660"
    assert loaded.listen.unix_socket_bits == 0o660
    assert loaded.oauth.client_id == "0123"
    assert loaded.oauth.client_secret.reveal() == "1e3"
    assert loaded.oauth.authorization_params["a"] == "yes"
    assert loaded.oauth.authorization_params["b"] == "2026-01-01"


def test_accounts_come_by_the_environment_and_by_files():
    write("s\n", "sub/secret")
    path = write(
        "accounts: {bulk: {smart_token_file: secret}, a: {oauth: {client_secret_file: secret}}}",
        "sub/c.yaml",
    )
    environ = {**APP, "SRPROXY_ACCOUNTS__ACME__OAUTH__CLIENT_ID": "acme"}

    accounts = load(path, environ, no_folder).config.accounts

    assert sorted(accounts) == ["a", "acme", "bulk", "default"]
    assert accounts["acme"].oauth.client_id == "acme"
    assert accounts["bulk"].smart_token == Secret("s")
    assert accounts["a"].oauth.client_secret.reveal() == "s"
    assert "acme" in config(environ={**APP, "SRPROXY_ACCOUNTS": '{"acme": {}}'}).accounts
    assert "acme" in config(environ={**APP, "SRPROXY_ACCOUNTS__ACME": "{}"}).accounts


@pytest.mark.parametrize("empty", ["", "null", "~"])
def test_an_empty_variable_means_not_set_where_that_has_a_meaning(empty):
    environ = {**APP, "SRPROXY_UPSTREAM__CA_FILE": empty, "SRPROXY_LISTEN__UNIX_SOCKET": empty}

    assert config("upstream: {ca_file: x}", environ).upstream.ca_file is None


def test_a_section_with_everything_commented_out_is_no_fault():
    assert config("log:\nupstream:\nlisten:\n  probes:\ntokens: {redis: ~}\n").log.level == "info"


@pytest.mark.parametrize("empty", ["", "  ", "\t"])
@pytest.mark.parametrize(
    "name",
    [
        "SRPROXY_ACCESS__ALLOW", "SRPROXY_ACCESS__API_KEYS", "SRPROXY_ACCESS__DRY_RUN",
        "SRPROXY_ACCESS", "SRPROXY_TOKENS__ENCRYPTION_KEY", "SRPROXY_TOKENS__ENCRYPTION_KEYS",
        "SRPROXY_TOKENS__ENCRYPTION_KEY_FILE", "SRPROXY_LISTEN__TLS__CERT_FILE",
        "SRPROXY_LISTEN__TLS", "SRPROXY_SMART_TOKEN", "SRPROXY_TOKENS__REDIS__URL",
        "SRPROXY_OAUTH__CLIENT_SECRET_FILE", "SRPROXY_ACCOUNTS__ACME__SMART_TOKEN",
    ],
)  # fmt: skip
def test_an_empty_variable_never_switches_a_guard_off(name, empty):
    lines = problems(environ={**APP, name: empty})

    assert [line for line in lines if line.startswith(f"{name}: ") and "is empty" in line]


# ── secrets by file ──


@pytest.mark.parametrize(
    ("content", "secret"),
    [("s\n", "s"), ("s", "s"), ("s\r\n", "s"), ("\ufeffs\r\n", "s"), ("0123\n", "0123")],
)
def test_one_trailing_newline_of_a_secret_file_is_stripped(content, secret):
    Path("secret").write_text(content, newline="")

    loaded = config("oauth: {client_id: x, client_secret_file: secret}", {})

    assert loaded.oauth.client_secret.reveal() == secret


def test_every_secret_comes_by_file():
    write("0123456789abcdef\n", "s")
    write("redis://h:1/0\n", "r")
    write("http://u:p@h:1\n", "p")
    text = """\
oauth: {client_id: x, client_secret_file: s}
upstream: {proxy_file: p}
tokens: {encryption_key_file: s, redis: {url_file: r}}
access: {api_keys: [{name: a, key_file: s}]}
"""
    loaded = config(text, {})

    assert loaded.tokens.encryption_key.reveal() == "0123456789abcdef"
    assert loaded.tokens.redis.url.reveal() == "redis://h:1/0"
    assert loaded.upstream.proxy.reveal() == "http://u:p@h:1"
    assert loaded.access.api_keys[0].key.reveal() == "0123456789abcdef"


def test_relative_paths_count_from_the_folder_of_the_file_that_names_them():
    write("s", "sub/secret")
    write("e", "secret")
    write("pem", "sub/ca.pem")
    path = write(
        "oauth: {client_id: x, client_secret_file: secret}\n"
        "upstream: {ca_file: ca.pem}\ntokens: {path: state}\nlisten: {unix_socket: s}\n",
        "sub/c.yaml",
    )

    loaded = load(path, {}, no_folder).config
    by_environment = load(path, {"SRPROXY_OAUTH__CLIENT_SECRET_FILE": "secret"}, no_folder).config

    assert loaded.oauth.client_secret.reveal() == "s"
    assert loaded.upstream.ca_file == Path.cwd() / "sub/ca.pem"
    assert loaded.tokens.path == Path.cwd() / "sub/state"
    assert loaded.listen.unix_socket == Path.cwd() / "sub/s"
    assert by_environment.oauth.client_secret.reveal() == "e"


def test_a_secret_given_twice_in_one_place_is_an_error():
    write("s", "secret")
    text = "oauth:\n  client_id: x\n  client_secret: canary\n  client_secret_file: secret\n"

    (line,) = problems(text, {})

    assert line.startswith("c.yaml:4:23: oauth.client_secret_file: is given beside client_secret")
    assert "canary" not in line


def test_the_environment_overrules_a_secret_file_without_reading_it():
    text = "oauth: {client_id: x, client_secret_file: /nowhere}"

    loaded = config(text, {"SRPROXY_OAUTH__CLIENT_SECRET": "e"})

    assert loaded.oauth.client_secret.reveal() == "e"


def test_the_example_s_empty_secret_stands_beside_its_file():
    write("s", "secret")

    loaded = config('oauth: {client_id: x, client_secret: "", client_secret_file: secret}', {})

    assert loaded.oauth.client_secret.reveal() == "s"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "the file cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "what it names is not a file"),
        (lambda path: os.mkfifo(path), "what it names is not a file"),
        (lambda path: path.write_text(""), "the file is empty"),
        (lambda path: path.write_text("\n"), "the file is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "the file is not UTF-8 text"),
        (lambda path: path.write_text("canary" * 20000), "the file is larger than"),
        (lambda path: path.write_text("canary\ncanary\n"), "has control characters or line ends"),
    ],
)
def test_a_secret_file_that_cannot_be_used(make, said):
    make(Path("secret"))

    (line,) = problems("oauth: {client_id: x, client_secret_file: secret}", {})

    assert line.startswith(f"c.yaml:1:43: oauth.client_secret_file: {said}")
    assert "canary" not in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (" canary\n", "has blanks around it"),
        ("canary \r\n", "has blanks around it"),
        ('"canary"', "has quotes around it"),
        ("'canary'\n", "has quotes around it"),
        ("${canary}", "looks like a template that was not filled in"),
        ("x${canary:-}", "looks like a template"),
        ("{{ canary }}", "looks like a template"),
    ],
)
@pytest.mark.parametrize("by", ["file", "environment", "text"])
def test_a_secret_that_was_not_filled_in_is_told_before_it_is_used(content, said, by):
    Path("secret").write_text(content, newline="")
    lines = {
        "file": lambda: problems("oauth: {client_id: x, client_secret_file: secret}", {}),
        "environment": lambda: problems(
            environ={**APP, "SRPROXY_OAUTH__CLIENT_SECRET": content.rstrip("\r\n")}
        ),
        "text": lambda: problems(
            f"oauth:\n  client_id: x\n  client_secret: {json.dumps(content.rstrip())}\n"
            if "blanks" not in said
            else 'oauth:\n  client_id: x\n  client_secret: " canary"\n',
            {},
        ),
    }[by]()

    assert len(lines) == 1
    assert said in lines[0]
    assert "canary" not in lines[0]


def test_several_keys_come_by_files():
    write("0123456789abcdef\n", "new")
    write("fedcba9876543210\n", "old")

    by_file = config("tokens: {encryption_keys_file: [new, old]}").tokens
    by_variable = config(environ={**APP, "SRPROXY_TOKENS__ENCRYPTION_KEYS_FILE": "[new]"}).tokens

    assert [key.reveal()[0] for key in by_file.encryption_keys] == ["0", "f"]
    assert by_file.encryption_key == by_file.encryption_keys[0]
    assert len(by_variable.encryption_keys) == 1


def test_files_with_secrets_that_others_may_read_are_warned_of():
    secret = write("s", "secret").absolute()
    secret.chmod(0o640)
    path = write("oauth: {client_id: x, client_secret_file: secret}\nsmart_token: t\n")
    path.chmod(0o644)

    key = "oauth.client_secret_file"

    def warnings():
        return load(path, {}, no_folder).exposed()

    assert warnings() == [
        "c.yaml holds a secret, and everybody on this machine may read it: chmod 600 c.yaml",
        f"{secret} ({key}) holds a secret, and its group may read it: chmod 600 {secret}",
    ]
    path.chmod(0o600)
    secret.chmod(0o400)
    assert warnings() == []


def test_a_configuration_without_secrets_is_nobody_s_secret():
    write("s", "secret").chmod(0o600)
    path = write("oauth: {client_id: x, client_secret_file: secret}")
    path.chmod(0o644)

    assert load(path, {}, no_folder).exposed() == []


@pytest.mark.parametrize(
    ("host", "tls", "warned"),
    [
        ("0.0.0.0", "{}", True),
        ("'::'", "{}", True),
        ("localhost", "{}", False),
        ("0.0.0.0", "{cert_file: cert.pem}", False),
    ],
)
def test_keys_that_travel_in_clear_are_warned_of(host, tls, warned):
    write("s", "secret").chmod(0o600)
    write("c", "cert.pem")
    path = write(
        f"oauth: {{client_id: x, client_secret_file: secret}}\n"
        f"listen: {{host: {host}, tls: {tls}}}\n"
        "access: {api_keys: [{name: a, key: a-key-of-a-caller-that-is-long-enough}]}\n"
    )
    path.chmod(0o600)

    warnings = load(path, {}, no_folder).exposed()

    assert [("travel in clear" in warning) for warning in warnings] == [True] * warned


def test_places_are_looked_at_only_when_they_are_needed():
    def never():
        raise AssertionError("nobody asked")

    write("")

    assert load(Path("c.yaml"), APP, never).config
    assert load(None, {**APP, "SRPROXY_CONFIG": "c.yaml"}, never).config
    assert load(None, APP, never, search=False).config


def test_a_working_directory_that_is_gone_is_not_needed(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s")
    monkeypatch.chdir(gone)
    gone.rmdir()

    environ = {**APP, "SRPROXY_TOKENS__ENCRYPTION_KEY": "0123456789abcdef"}
    assert load(None, environ, no_folder).config
    by_file = {**APP, "SRPROXY_SMART_TOKEN_FILE": str(secret)}
    assert load(None, by_file, no_folder).config.smart_token == Secret("s")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(None, {**APP, "SRPROXY_SMART_TOKEN_FILE": "secret"}, no_folder)


def test_the_user_s_own_file_outranks_that_of_the_working_directory():
    write("log: {level: debug}", "config.yaml")
    write("log: {level: error}", "user/config.yaml")

    loaded = load(None, APP, lambda: Path("user"))

    assert loaded.file == Path("user/config.yaml")
    assert loaded.config.log.level == "error"
    assert loaded.passed_over == Path("config.yaml")


def test_the_same_file_is_not_passed_over():
    write("", "config.yaml")

    loaded = load(None, APP, Path.cwd)

    assert loaded.file == Path.cwd() / "config.yaml"
    assert loaded.passed_over is None


def test_a_secret_that_is_too_short_is_said_of_the_key_that_named_its_file():
    write("canary", "k")

    (line,) = problems("tokens: {encryption_key_file: k}")

    assert line.startswith("c.yaml:1:31: tokens.encryption_key_file: has only 6 characters")


def test_a_ca_file_that_is_not_there_is_found_at_once():
    (line,) = problems("upstream: {ca_file: nowhere}")

    assert line.startswith("c.yaml:1:21: upstream.ca_file: the file cannot be read")


# ── YAML that is none ──


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", "c.yaml:1:5: not YAML: "),
        ("a: b: c", "c.yaml:1:5: not YAML: mapping values are not allowed here"),
        ("x:\n\ty: 1", "c.yaml:2:1: not YAML: a tab; accepted: spaces to indent with"),
        ("x:\n  \ty: 1", "c.yaml:2:3: not YAML: a tab; "),
        ("log:\n  level: info\n\tsample: 1", "c.yaml:3:1: not YAML: a tab; "),
        ("log:\r\n\tlevel: info", "c.yaml:2:1: not YAML: a tab; "),
        ("- a", "c.yaml:1:1: is not a mapping"),
        ("word", "c.yaml:1:1: is not a mapping"),
        ("log: {}\n---\nlog: {}", "c.yaml:2:1: not YAML: "),
        ("log: *canary", "c.yaml:1:6: not YAML: found undefined alias …"),
        ("log: !canary {}", "c.yaml:1:6: log: has a tag that is not known"),
        ("log: !!python/object:os.system {}", "c.yaml:1:6: log: has a tag that is not known"),
        ("log: &a [*a]", "c.yaml:1:6: log[0]: has too many aliases"),
        ("log:\n  level: info\n  level: info", "c.yaml:3:3: log.level: is given twice (first"),
        ("log: {}\nlog: {}", "c.yaml:2:1: log: is given twice (first in line 1)"),
        ("? [a]\n: b", "c.yaml:1:3: a key that is not text"),
        ("<<: {a: b}", "c.yaml:1:1: << is not taken"),
        ("a: \x07", "c.yaml: not YAML: it has unusual characters"),
    ],
)
def test_yaml_that_cannot_be_taken_is_said_with_its_place_and_without_its_content(text, line):
    lines = problems(text)

    assert any(found.startswith(line) for found in lines), lines
    assert "canary" not in "".join(lines)


def test_a_file_in_another_encoding_is_said_with_its_place():
    Path("c.yaml").write_bytes("log: {}\n# café".encode("latin-1"))

    with pytest.raises(ConfigurationError) as caught:
        load(Path("c.yaml"), APP, no_folder)

    assert str(caught.value).startswith("c.yaml:2:6: is not UTF-8")


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault():
    Path("c.yaml").write_bytes(b"\xef\xbb\xbflisten:\r\n  port: 5\r\n")

    assert load(Path("c.yaml"), APP, no_folder).config.listen.port == 5


def test_aliases_cannot_make_a_short_text_mean_millions():
    levels = "\n".join(
        f"l{n}: &l{n} [" + ", ".join([f"*l{n - 1}"] * 9 if n else ["x"] * 9) + "]"
        for n in range(12)
    )

    assert any("too many aliases" in line for line in problems(levels))


def test_the_example_has_every_default_and_works_once_the_app_is_named():
    environ = {"SRPROXY_OAUTH__CLIENT_ID": "app", "SRPROXY_OAUTH__CLIENT_SECRET": "s"}

    example = load(ROOT / "config.example.yaml", environ, no_folder).config

    assert repr(example) == repr(load(None, environ, no_folder).config)


def test_the_examples_of_the_reference_are_taken():
    for example in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        for name in re.findall(r"_file: ([a-z-]+)", example):
            write(f"secret-of-{name}", name)

        assert set(config(example, {}).accounts) == {"default", "acme", "bulk"}


def test_the_variable_of_a_key():
    assert variable(("oauth", "client_id")) == "SRPROXY_OAUTH__CLIENT_ID"
    assert variable(("access", "api_keys", 0, "key")) == "SRPROXY_ACCESS__API_KEYS"
    assert re.fullmatch("[A-Z_]+", variable(("tokens", "redis", "url")))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["https://h", "http://u:p@h", "**", "GET /x", "::", "0600", "[", "~", "\x00"]),
)
names = st.one_of(
    st.sampled_from(
        sorted(
            {part for key in every_key(Config) for part in key.split(".")} | {"name", "key_file"}
        )
    ),
    st.text(max_size=4),
    st.integers(),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
sections = st.sampled_from([*keys(Config), "x"])


def told(environ):
    """Load, and return the problems, of which there may be none."""
    try:
        load(Path("c.yaml"), environ, no_folder)
    except ConfigurationError as error:
        return error.problems
    return None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(sections, trees, max_size=4))
def test_whatever_stands_in_a_file_is_taken_or_told_line_by_line(mapping):
    write(yaml.safe_dump(mapping, allow_unicode=True))
    lines = told(APP)

    assert lines is None or (lines and all(line.isprintable() for line in lines))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
def test_whatever_text_is_no_crash(text):
    Path("c.yaml").write_text(text, encoding="utf-8", errors="ignore")
    lines = told({**APP, "SRPROXY_OAUTH__SCOPES": text})

    assert lines is None or (lines and all(line.isprintable() for line in lines))
