"""The outbound proxy's choice, and TLS settings that verify."""

import base64
import ssl
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.system.network import OutboundProxy, build_ssl_context, outbound_proxy
from proxy.system.secret import Secret

API = "https://api.smartrecruiters.com"
OUT = "http://out.example:3128"


@pytest.mark.parametrize(
    ("url", "environ", "chosen"),
    [
        (API, {}, None),
        (API, {"HTTPS_PROXY": OUT}, OUT),
        (API, {"https_proxy": OUT, "HTTPS_PROXY": "http://other"}, OUT),
        (API, {"HTTPS_PROXY": "out.example:3128"}, OUT),
        (API, {"HTTPS_PROXY": ""}, None),
        (API, {"HTTP_PROXY": OUT}, None),
        (API, {"HTTPS_PROXY": OUT, "NO_PROXY": "*"}, None),
        (API, {"HTTPS_PROXY": OUT, "NO_PROXY": "other.example, smartrecruiters.com"}, None),
        (API, {"HTTPS_PROXY": OUT, "no_proxy": ".smartrecruiters.com"}, None),
        (API, {"HTTPS_PROXY": OUT, "NO_PROXY": "API.smartrecruiters.com:443"}, None),
        (API, {"HTTPS_PROXY": OUT, "NO_PROXY": "api.smartrecruiters.com:8443"}, OUT),
        (API, {"HTTPS_PROXY": OUT, "NO_PROXY": "recruiters.com"}, OUT),
        ("https://10.1.2.3", {"HTTPS_PROXY": OUT, "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": OUT, "NO_PROXY": "10.0.0.0/8"}, OUT),
        ("https://[fd00::1]", {"HTTPS_PROXY": OUT, "NO_PROXY": "[fd00::1]"}, None),
        ("https://localhost:9", {"HTTPS_PROXY": OUT}, None),
        ("http://127.0.0.1:9", {"HTTPS_PROXY": OUT, "HTTP_PROXY": OUT}, None),
    ],
)
def test_the_environments_choice(url: str, environ: dict[str, str], chosen: str | None) -> None:
    expected = OutboundProxy("out.example", 3128) if chosen else None
    assert outbound_proxy(url, None, environ) == expected


def test_the_setting_stands_above_the_environment() -> None:
    setting = Secret("http://mine.example")

    assert outbound_proxy(API, setting, {"NO_PROXY": "*"}) == OutboundProxy("mine.example", 80)


@pytest.mark.parametrize(
    ("user_info", "sent"),
    [
        ("user:pa%20ss", b"user:pa ss"),
        ("user:p%C3%A4ss", "user:päss".encode()),
        ("user:päss", "user:päss".encode()),
        ("user:p%E4ss", b"user:p\xe4ss"),
        ("user:a:b%40c%23", b"user:a:b@c#"),
        ("DOMAIN%5Cuser:p", b"DOMAIN\\user:p"),
        ("user", b"user:"),
        (":p", b":p"),
    ],
)
def test_user_and_password_are_decoded_to_bytes(user_info: str, sent: bytes) -> None:
    made = OutboundProxy.parse(f"http://{user_info}@out.example:3128/")

    assert made.authorization == b"Basic " + base64.b64encode(sent)
    assert (made.host, made.port) == ("out.example", 3128)
    assert "Basic" not in repr(made)


@pytest.mark.parametrize(("url", "host"), [("http://[FD00::1]:80", "fd00::1"), ("HTTP://h", "h")])
def test_a_proxys_host(url: str, host: str) -> None:
    assert OutboundProxy.parse(url) == OutboundProxy(host, 80)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://secret@h:1",
        "https://secret@h",
        "http://",
        "http://u:secret#more@h:1",
        "u:secret#more@h:1",
        "http://u:secret/more@h:1",
        "http://u:secret?more@h:1",
        "http://u:secret@more@h:x",
        "http://u:secret@h:0",
        "http://u:secret@h:99999",
        "http://u:secret@h/path",
        "http://u:secret@[::1::]:1",
        "http://u:secret\n@h:1",
    ],
)
def test_an_environment_that_names_no_http_proxy_is_an_error_without_its_value(value: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        outbound_proxy(API, None, {"HTTPS_PROXY": value})

    assert "secret" not in str(raised.value)
    assert "more" not in str(raised.value)
    assert "%23" in str(raised.value)


def test_tls_verifies_and_writes_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = build_ssl_context(None)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"no certificate", "holds no certificate"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\x30\x82\x01\x0a\x02", "is in DER form"),
        ("-----BEGIN CERTIFICATE-----".encode("utf-16"), "is UTF-16 text"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "damaged"),
    ],
)
def test_a_ca_file_that_cannot_be_used_is_named_with_what_it_is(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        build_ssl_context(file)

    assert str(file) in str(raised.value)
    assert said in str(raised.value)
