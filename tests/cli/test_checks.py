"""`check`: each finding with its remedy, against servers on loopback that behave in every way."""

import re
import socket
from email.utils import formatdate

import pytest
from aiohttp import web

from proxy.cli.checks import (
    Grade,
    _clock,
    check_reach,
    check_upstream_call,
)
from proxy.cli.listen_checks import check_callers, check_port, check_redirect_uri
from proxy.cli.session import Session
from proxy.cli.store_checks import _age, _check_folder, check_store
from tests.cli.test_server import answer_status, listening
from tests.support.certificates import make_authority
from tests.support.processes import free_port, srproxy

NOW = 1_800_000_000.0


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(**environ):
        app = {"SRPROXY_OAUTH__CLIENT_ID": "a", "SRPROXY_OAUTH__CLIENT_SECRET": "b"}
        return Session(environ={**app, **environ})

    return make


async def found(check, session):
    return [(finding.grade, finding.what) async for finding in check(session)]


@pytest.mark.parametrize(
    ("uri", "port", "grade", "said"),
    [
        ("http://localhost:8080/-/callback", "8080", Grade.GOOD, "leads here"),
        ("http://localhost:8080/-/callback", "0", Grade.GOOD, "leads here"),
        ("http://localhost/cb", "80", Grade.GOOD, "leads here"),
        ("http://localhost:9000/cb", "8080", Grade.NOTE, "names port 9000, and we listen on 8080"),
        ("https://proxy.example/cb", "8080", Grade.NOTE, "leads to a TLS front"),
    ],
)
async def test_the_redirect_uri_is_compared_with_where_we_listen(session, uri, port, grade, said):
    settings = session(SRPROXY_OAUTH__REDIRECT_URI=uri, SRPROXY_LISTEN__PORT=port)

    ((got, what),) = await found(check_redirect_uri, settings)

    assert got is grade
    assert said in what


async def test_a_unix_socket_alone_has_no_callback_by_browser(session):
    settings = session(SRPROXY_LISTEN__HOST="null", SRPROXY_LISTEN__UNIX_SOCKET="s")

    ((got, what),) = await found(check_redirect_uri, settings)

    assert got is Grade.NOTE
    assert "only a Unix socket" in what


async def test_a_free_port_is_said_so(session):
    findings = await found(check_port, session(SRPROXY_LISTEN__PORT=str(free_port())))

    assert findings[0][0] is Grade.GOOD
    assert "free to listen on: 127.0.0.1:" in findings[0][1]


async def test_our_own_server_on_the_port_is_fine_and_another_is_not(session):
    async def stranger(_request):
        return web.Response(text="It works!")

    for handler, grade in ((answer_status, Grade.GOOD), (stranger, Grade.BAD)):
        port = free_port()
        async with listening(handler, port=port):
            findings = await found(check_port, session(SRPROXY_LISTEN__PORT=str(port)))
        assert [got for got, _ in findings] == [grade]


async def test_half_a_taken_port_is_a_fault(session, monkeypatch):
    monkeypatch.setattr("proxy.cli.server.PROBE_TIMEOUT", 0.2)
    port = free_port()
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", port))
        other.listen()
        other.settimeout(0)
        findings = await found(check_port, session(SRPROXY_LISTEN__PORT=str(port)))

    assert [grade for grade, _ in findings] == [Grade.BAD]


def reach(session, url):
    return session(
        SRPROXY_UPSTREAM__URL=url,
        SRPROXY_OAUTH__TOKEN_ENDPOINT=f"{url}/token",
    )


async def test_both_hosts_are_reached_and_the_clocks_compared(session):
    async with listening(answer_status) as url:
        findings = await found(check_reach, reach(session, url))

    assert [grade for grade, _ in findings] == [Grade.GOOD] * 2
    assert findings[0][1].startswith("upstream.url and oauth.token_endpoint: HTTP")
    assert findings[1][1].startswith("clock: within")


async def test_two_hosts_are_reached_each(session):
    async with listening(answer_status) as url, listening(answer_status) as other:
        environ = {"SRPROXY_OAUTH__TOKEN_ENDPOINT": f"{other}/token"}
        settings = session(SRPROXY_UPSTREAM__URL=url, **environ)
        findings = await found(check_reach, settings)

    assert [what.partition(":")[0] for _, what in findings] == [
        "upstream.url",
        "oauth.token_endpoint",
        "clock",
    ]
    assert {grade for grade, _ in findings} == {Grade.GOOD}


async def test_an_api_key_needs_no_token_endpoint_and_no_clock(session):
    async with listening(answer_status) as url:
        settings = session(SRPROXY_UPSTREAM__URL=url, SRPROXY_SMART_TOKEN="an-api-key")
        findings = await found(check_reach, settings)

    assert [what.partition(":")[0] for _, what in findings] == ["upstream.url"]


@pytest.mark.parametrize(
    "environ",
    [{"SRPROXY_SMART_TOKEN": "key"}, {"SRPROXY_OAUTH__GRANT_TYPE": "client_credentials"}],
)
async def test_where_nobody_logs_in_no_store_is_looked_at(session, environ):
    ((got, what),) = await found(check_store, session(**environ))

    assert got is Grade.SKIPPED
    assert "login" not in what


async def test_nobody_there_is_told_with_the_key_to_look_at(session):
    url = f"http://127.0.0.1:{free_port()}"

    findings = await found(check_reach, reach(session, url))

    assert [grade for grade, _ in findings] == [Grade.BAD]
    assert "refuses connections" in findings[0][1]


async def test_a_name_that_does_not_resolve_is_told_as_that(session):
    settings = session(
        SRPROXY_UPSTREAM__URL="https://no-such-host.invalid",
        SRPROXY_OAUTH__TOKEN_ENDPOINT="https://no-such-host.invalid/token",
    )

    findings = await found(check_reach, settings)

    assert findings[0] == (Grade.BAD, findings[0][1])
    assert "the name no-such-host.invalid cannot be resolved" in findings[0][1]


async def test_no_tls_there_is_told_as_that(session):
    async with listening(answer_status) as url:
        findings = await found(check_reach, reach(session, url.replace("http:", "https:")))

    assert "No TLS connection could be agreed on" in findings[0][1]


@pytest.mark.parametrize(
    ("off", "grade", "said"),
    [(0, Grade.GOOD, "within 1 s"), (59, Grade.GOOD, "within 59 s"),
     (61, Grade.BAD, "61 s ahead of"), (-7200, Grade.BAD, "7200 s behind")],
)  # fmt: skip
def test_the_clock_is_compared_with_the_token_endpoint_s(off, grade, said):
    finding = _clock(formatdate(NOW, usegmt=True), NOW + off)

    assert finding.grade is grade
    assert said in finding.what


def test_no_date_is_nothing_to_compare_with():
    assert _clock(None, NOW).grade is Grade.SKIPPED
    assert _clock("yesterday", NOW).grade is Grade.SKIPPED


BEARER = b"Authorization: Bearer token\r\n"


@pytest.mark.parametrize(
    ("status", "grade"),
    [(200, Grade.GOOD), (403, Grade.GOOD), (401, Grade.BAD), (500, Grade.NOTE)],
)
async def test_one_harmless_call(session, status, grade):
    seen = []

    async def handler(request):
        seen.append((request.method, request.path, request.headers["Authorization"]))
        return web.Response(status=status)

    async with listening(handler) as url:
        finding = await check_upstream_call(reach(session, url), "authorization_code", BEARER)

    assert finding.grade is grade
    assert seen == [("GET", "/users/me", "Bearer token")]
    assert "token" not in finding.what.replace("access token", "").replace("the token", "")


def test_the_folder_of_the_store(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    file = tmp_path / "file"
    file.touch()

    assert [f.grade for f in _check_folder(private)] == [Grade.GOOD]
    assert [f.grade for f in _check_folder(private / "new" / "one")] == [Grade.GOOD]
    assert [f.grade for f in _check_folder(open_to_all)] == [Grade.NOTE]
    assert [f.grade for f in _check_folder(file)] == [Grade.BAD]
    assert list(private.iterdir()) == []


def test_another_user_s_folder_is_to_be_used_as_that_user(tmp_path, monkeypatch):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: folder.stat().st_uid + 1)

    (finding,) = _check_folder(folder)

    assert finding.grade is Grade.NOTE
    assert "sudo -u" in finding.remedy
    assert "chown" not in finding.remedy


@pytest.mark.parametrize(
    ("left", "grades"),
    [(28 * 86400, [Grade.GOOD]), (6 * 86400, [Grade.NOTE]), (None, [])],
)
def test_the_age_of_the_grant(left, grades):
    assert [finding.grade for finding in _age({"expires_in": left})] == grades


@pytest.mark.parametrize(
    ("days", "grade"),
    [(60, Grade.GOOD), (13, Grade.NOTE), (2, Grade.BAD), (-1, Grade.BAD)],
)
async def test_the_end_of_our_own_certificate_is_told(session, tmp_path, days, grade):
    pair = make_authority(tmp_path).pair("localhost", days=days)
    settings = session(
        SRPROXY_LISTEN__TLS__CERT_FILE=str(pair),
        SRPROXY_OAUTH__REDIRECT_URI="https://localhost:8080/cb",
    )

    ((got, what),) = await found(check_callers, settings)

    assert got is grade
    assert what.startswith("our certificate ")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {
                "SRPROXY_LISTEN__HOST": "0.0.0.0",
                "SRPROXY_ACCESS__API_KEYS": "[{name: a, key: a-key-of-some-length}]",
            },
            "API keys cross the network in clear",
        ),
        ({"HTTP_PROXY": "http://corporate:3128"}, "HTTP_PROXY is set: other tools here send"),
        ({"http_proxy": "http://corporate:3128", "no_proxy": "localhost"}, None),
        ({"HTTPS_PROXY": "http://corporate:3128"}, None),
    ],
)
async def test_keys_in_clear_and_proxies_in_the_way_of_other_tools_are_told(session, environ, said):
    findings = await found(check_callers, session(**environ))

    notes = [what for grade, what in findings if grade is Grade.NOTE]
    assert len(notes) == (said is not None)
    assert all(said in what for what in notes)


async def test_the_unix_socket_s_folder_is_looked_at_and_no_port_named(session, tmp_path):
    for path, grade in ((tmp_path / "s", Grade.GOOD), (tmp_path / "none" / "s", Grade.BAD)):
        settings = session(SRPROXY_LISTEN__HOST="null", SRPROXY_LISTEN__UNIX_SOCKET=str(path))

        ((got, what),) = await found(check_port, settings)

        assert got is grade
        assert "127.0.0.1" not in what


async def test_without_a_login_the_redirect_uri_does_not_matter(session):
    settings = session(SRPROXY_OAUTH__GRANT_TYPE="client_credentials")

    ((got, _),) = await found(check_redirect_uri, settings)

    assert got is Grade.SKIPPED


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_root_certificates_that_are_not_there_are_told_as_that(session, name):
    async with listening(answer_status) as url:
        settings = reach(session, url)
        settings.environ = {**settings.environ, name: "/no/such/place"}
        findings = await found(check_reach, settings)

    assert findings[0] == (Grade.BAD, f"{name} names /no/such/place, which is not there")
    assert findings[1][0] is Grade.GOOD


def test_it_goes_on_after_every_fault(tmp_path):
    pem = tmp_path / "bad.pem"
    pem.write_bytes(b"\x30\x82nothing")
    environ = {
        "SRPROXY_OAUTH__CLIENT_ID": "a",
        "SRPROXY_OAUTH__CLIENT_SECRET": "b",
        "SRPROXY_UPSTREAM__URL": "http://localhost:1",
        "SRPROXY_OAUTH__TOKEN_ENDPOINT": "http://localhost:1/token",
        "SRPROXY_LISTEN__PORT": str(free_port()),
        "SRPROXY_LISTEN__TLS__CERT_FILE": str(pem),
        "SRPROXY_UPSTREAM__CA_FILE": str(pem),
        "SRPROXY_TOKENS__PATH": str(pem),
    }

    done = srproxy("check", home=tmp_path, environ=environ)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for title in ("Configuration", "Address", "Callers", "Token store", "Network", "Credential"):
        assert f"{title}\n" in done.stdout
    assert "bad.pem: is in DER form" in done.stdout
    assert "bad.pem is not a folder" in done.stdout
    faults = re.findall(r"^  (?:✗|FAIL) (.*)", done.stdout, re.MULTILINE)
    assert len(faults) == 4, faults  # redirect URI, certificate, store, CA: each is said once
