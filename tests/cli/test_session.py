"""Places that a command asks for only when it needs them, and what it says of files."""

import platformdirs
import pytest

from proxy.cli.session import Session
from proxy.errors import ConfigurationError

APP = {"SRPROXY_OAUTH__CLIENT_ID": "app", "SRPROXY_OAUTH__CLIENT_SECRET": "app-secret"}


def no_home(_name):
    raise RuntimeError("could not determine the home directory")


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_config_path", no_home)
    monkeypatch.setattr(platformdirs, "user_state_path", no_home)


@pytest.mark.usefixtures("homeless")
def test_a_home_that_is_missing_is_asked_for_only_when_the_grant_is_kept_there():
    assert Session(environ=APP).config.oauth.client_id == "app"
    elsewhere = Session(environ={**APP, "SRPROXY_TOKENS__PATH": "/somewhere"})
    assert str(elsewhere.state_folder) == "/somewhere"
    redis = {"SRPROXY_TOKENS__STORE": "redis", "SRPROXY_TOKENS__REDIS__URL": "redis://h"}
    assert Session(environ={**APP, **redis}).state_folder
    with pytest.raises(ConfigurationError, match=r"tokens\.path: is not set.*no home folder"):
        _ = Session(environ=APP).state_folder


def test_the_file_that_was_passed_over_is_named_on_stderr(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/config.yaml").write_text("log: {level: error}")
    (tmp_path / "config.yaml").write_text("log: {level: debug}")
    monkeypatch.setattr(platformdirs, "user_config_path", lambda _name: tmp_path / "own")

    session = Session(environ=APP)

    assert session.config.log.level == "error"
    assert session.config.log.level == "error"
    (line,) = capsys.readouterr().err.splitlines()
    assert f"using {tmp_path / 'own/config.yaml'}, your own, and not ./config.yaml" in line
    assert "-c config.yaml" in line


def test_what_goes_through_the_server_needs_no_secret(tmp_path, monkeypatch):
    """A root shell beside the systemd unit, which alone has the credentials."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(
        "oauth: {client_id: a}\n"
        "listen: {port: 8123}\n"
        "tokens: {encryption_key_file: /run/credentials/none}\n"
        "accounts: {acme: {oauth: {client_id: b, client_secret_file: none}}}\n"
    )
    session = Session(config, environ={})

    assert session.config_for_server.listen.port == 8123
    assert set(session.config_for_server.accounts) == {"default", "acme"}
    with pytest.raises(ConfigurationError) as caught:
        _ = session.config
    assert len(caught.value.problems) == 3


def test_any_other_fault_is_told_to_those_too_with_all_of_them(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("oauth: {client_id: a}\nlisten: {port: -1}\n")

    with pytest.raises(ConfigurationError) as caught:
        _ = Session(config, environ={}).config_for_server
    assert len(caught.value.problems) == 2
