"""Whose grant it is, as the upstream's answer tells."""

import pytest

from proxy.grant.identify import parse_owner


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
