"""Whose grant it is, as the upstream's answer tells."""

import asyncio

import pytest

from proxy.grant.owner import OwnerLookup, parse_owner
from proxy.system.dialing import Dialer
from proxy.system.secret import Secret
from tests.support.granting import NO_TLS


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"id": "u1", "firstName": "Ada", "lastName": "Lovelace", "email": "a@x.example"}',
         "Ada Lovelace (a@x.example)"),
        (b'{"id": "u1", "firstName": "Ada"}', "Ada (u1)"),
        (b'{"id": "u1"}', "u1"),
        (b'{"firstName": " ", "lastName": 3}', None),
        (b"{}", None), (b"[]", None), (b"<html>", None), (b"", None), (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)  # fmt: skip
def test_a_user_is_read_as_a_name(body: bytes, name: str | None) -> None:
    assert parse_owner(body) == name


def test_a_long_name_is_cut() -> None:
    assert len(parse_owner(b'{"id": "' + b"x" * 5000 + b'"}') or "") == 200


async def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    """A single read took the first TCP piece for all, and the owner was not known."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nAuthorization: Bearer the-token\r\n" in head
        body = b'{"id": "u1", "firstName": "Ada", "lastName": "Lovelace"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 10):
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(body[at : at + 10])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        lookup = OwnerLookup(url, {}, Dialer(url, NO_TLS, 5))

        assert await lookup.of_token(Secret("the-token")) == "Ada Lovelace (u1)"
