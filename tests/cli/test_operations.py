"""`srproxy operations`: without a configuration, a home folder or a network."""

import json

import pytest

from proxy.cli import main


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)


def test_operations_are_listed_with_limit_and_scopes(capsys):
    assert main(["operations", "get", "candidates", "tags"]) == 0

    (row,) = capsys.readouterr().out.splitlines()
    assert row.split() == ["GET", "/candidates/{id}/tags", "10/s", "candidates_manage"]


def test_all_are_listed_without_words(capsys):
    assert main(["operations"]) == 0

    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 305
    assert any(row.split()[:5] == ["GET", "/candidates", "10/s,", "1", "at"] for row in rows)


def test_nothing_found_ends_with_1_and_prints_nothing(capsys):
    assert main(["operations", "spaceship"]) == 1

    told = capsys.readouterr()
    assert told.out == ""
    assert "spaceship" in told.err


def test_a_collection_of_what_was_found(capsys):
    assert main(["operations", "--postman", "webhooks"]) == 0

    built = json.loads(capsys.readouterr().out)
    assert [folder["name"] for folder in built["item"]] == ["Webhooks"]
    assert built["variable"] == [{"key": "baseUrl", "value": "http://localhost:8080"}]


def test_the_collection_is_for_the_address_of_a_configuration(capsys, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("oauth: {client_id: a, client_secret: b}\nlisten: {host: '::1', port: 9000}\n")

    assert main(["operations", "--postman", "-c", str(file), "messages"]) == 0

    assert json.loads(capsys.readouterr().out)["variable"][0]["value"] == "http://[::1]:9000"
