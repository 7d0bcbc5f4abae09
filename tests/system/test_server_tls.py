"""TLS towards callers: renewed without a dropped connection, and only as a matching pair."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.system.server_tls import ServerTls, subject_names
from tests.support.certificates import Authority, make_authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Path:
    return Path(shutil.copy(authority.pair("localhost"), tmp_path / "server.pem"))


@asynccontextmanager
async def serving(tls: ServerTls) -> AsyncIterator[int]:
    """Answer each line with the caller's names."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            certificate = writer.get_extra_info("peercert")
            writer.write(f"{subject_names(certificate)}\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def client(authority: Authority, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.path)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT if hasattr(ssl, "VERIFY_X509_STRICT") else ~0
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


async def connect(port: int, context: ssl.SSLContext, name: str | None = "localhost"):
    if name is None:
        context.check_hostname = False
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")


async def ask(stream) -> str:
    reader, writer = stream
    writer.write(b"x\n")
    answer: bytes = await asyncio.wait_for(reader.readline(), 5)
    return answer.decode().strip()


async def is_let_in(port: int, context: ssl.SSLContext) -> bool:
    """Ask once; with TLS 1.3 a client hears of a refusal only when it reads."""
    try:
        stream = await connect(port, context)
        answer = await ask(stream)
    except (ssl.SSLError, ConnectionError):
        return False
    stream[1].close()
    return answer != ""


def serial(stream) -> str:
    return str(stream[1].get_extra_info("peercert")["serialNumber"])


async def test_a_renewed_certificate_is_shown_to_the_next_and_no_connection_is_dropped(
    authority: Authority, pair: Path
) -> None:
    tls = ServerTls(pair)
    async with serving(tls) as port:
        first = await connect(port, client(authority))
        assert not tls.has_changed()
        shutil.copy(authority.pair("localhost", days=2), pair)
        assert tls.has_changed()
        before = tls.expires_at
        tls.reload()
        second = await connect(port, client(authority))

        assert serial(first) != serial(second)
        assert tls.expires_at > before
        assert await ask(first) == await ask(second) == "()"
        for _, writer in (first, second):
            writer.close()


async def test_without_a_server_name_the_current_certificate_is_shown_too(
    authority: Authority, pair: Path
) -> None:
    tls = ServerTls(pair)
    async with serving(tls) as port:
        shutil.copy(authority.pair("localhost", days=2), pair)
        tls.reload()
        named = await connect(port, client(authority))
        nameless = await connect(port, client(authority), None)

        assert serial(named) == serial(nameless)
        for _, writer in (named, nameless):
            writer.close()


async def test_a_pair_that_does_not_fit_is_said_once_and_the_old_one_stays(
    authority: Authority, pair: Path, tmp_path: Path
) -> None:
    tls = ServerTls(pair, pair)
    other = authority.pair("localhost", days=3)
    tls._cert_file = other  # as if the certificate had been renewed, and its key not yet
    async with serving(tls) as port:
        with pytest.raises(ConfigurationError, match="is not the certificate of this key"):
            tls.reload()
        assert not tls.has_changed()
        stream = await connect(port, client(authority))
        assert await ask(stream) == "()"
        stream[1].close()


@pytest.mark.parametrize("content", ["", "no PEM"])
def test_a_file_that_is_no_certificate_is_said_without_its_content(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "server.pem"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be read") as raised:
        ServerTls(path)

    assert str(path) in str(raised.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        ServerTls(tmp_path / "none.pem")


async def test_a_caller_needs_a_certificate_of_the_ca_and_is_known_by_it(
    authority: Authority, pair: Path, tmp_path: Path
) -> None:
    tls = ServerTls(pair, None, authority.path)
    (tmp_path / "other").mkdir()
    stranger = make_authority(tmp_path / "other")
    async with serving(tls) as port:
        stream = await connect(port, client(authority, authority.pair("app")))
        assert await ask(stream) == "('app', 'CN=app')"
        stream[1].close()
        for certificate in (None, stranger.pair("app")):
            assert not await is_let_in(port, client(authority, certificate))


async def test_a_ca_that_was_taken_out_lets_nobody_in(
    authority: Authority, pair: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(authority.path, trusted)
    tls = ServerTls(pair, None, trusted)
    async with serving(tls) as port:
        context = client(authority, authority.pair("app"))
        stream = await connect(port, context)
        assert await ask(stream) == "('app', 'CN=app')"
        stream[1].close()
        shutil.copy(other.path, trusted)
        tls.reload()
        assert not await is_let_in(port, context)  # no session is resumed either


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_tls_is_refused(authority: Authority, pair: Path) -> None:
    context = client(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(ServerTls(pair)) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(port, context)


def test_a_subject_in_full_is_written_as_rfc_4514_does() -> None:
    subject = ((("countryName", "SE"),), (("organizationName", "A, B"),), (("commonName", "app"),))

    assert subject_names({"subject": subject}) == ("app", "CN=app,O=A\\, B,C=SE")
    assert subject_names({}) == subject_names(None) == ()


def test_a_common_name_that_reads_as_a_subject_stands_for_none() -> None:
    subject = ((("commonName", "CN=app,O=Other"),),)

    assert subject_names({"subject": subject}) == ("CN=CN=app\\,O=Other",)
