"""The first configuration: by flags, by questions, and never over what is there."""

import stat
from pathlib import Path

import click
import pytest

from proxy.cli.init import CREDENTIAL
from proxy.cli.starter import Answers, write
from proxy.config.loading import load
from proxy.system.secret import Secret
from tests.cli.test_pty import on_terminal
from tests.support.processes import srproxy

FLAGS = {
    "authorization_code": ("--client-id", "abc"),
    "client_credentials": ("--client-id", "abc"),
    "smart_token": (),
}


def init(home, *arguments, credential="client_credentials"):
    flags = ("--credential", credential, *FLAGS[credential], "--client-secret-file", "given")
    return srproxy("init", *flags, *arguments, home=home)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "given").write_bytes(b"\xef\xbb\xbfthe-secret\r\n")
    return tmp_path


@pytest.mark.parametrize("credential", FLAGS)
def test_each_credential_by_flags(home, credential):
    done = init(home, credential=credential)

    folder = home / ".config/smartrecruiters-proxy"
    file = folder / "config.yaml"
    config = load(file, {}, lambda: None).config
    account = config.accounts["default"]
    assert done.returncode == 0, done.stderr
    assert account.kind == credential
    secret = account.smart_token or account.oauth.client_secret
    assert secret == Secret("the-secret")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) == 2
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "\n# " in file.read_text()
    assert str(file) in done.stderr
    assert "the-secret" not in done.stdout + done.stderr + file.read_text()
    assert "complete and consistent" in done.stdout
    said = "Register this redirect URI" in done.stderr
    assert said is (credential == "authorization_code")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1", "smart_token"),
        ("smart", "smart_token"),
        ("API key", "smart_token"),
        ("2", "client_credentials"),
        ("client-credentials", "client_credentials"),
        ("3", "authorization_code"),
        ("Auth", "authorization_code"),
    ],
)
def test_a_credential_is_known_by_its_number_and_by_a_beginning(said, meant):
    assert CREDENTIAL.convert(said, None, None) == meant


@pytest.mark.parametrize("said", ["", "a", "0", "4", "password"])
def test_what_could_be_two_credentials_or_none_is_refused_with_the_choices(said):
    with pytest.raises(click.BadParameter, match=r"smart_token.*client_credentials.*authoriz"):
        CREDENTIAL.convert(said, None, None)


def test_the_redirect_uri_s_port_is_listened_on(home):
    uri = "http://localhost:9123/back"

    done = init(home, "--redirect-uri", uri, "--file", "x/y.yaml", credential="authorization_code")

    config = load(home / "x/y.yaml", {}, lambda: None).config
    assert uri in done.stderr
    assert config.oauth.redirect_uri == uri
    assert config.listen.port == 9123
    assert "srproxy login -c x/y.yaml" in done.stderr


@pytest.mark.parametrize("there", ["c.yaml", "client-secret"])
def test_nothing_is_overwritten(home, there):
    (home / there).write_text("mine")

    done = init(home, "--file", "c.yaml")

    assert done.returncode == 1
    assert f"{there} is there already" in done.stderr
    assert "--file PATH writes elsewhere" in done.stderr
    assert (home / there).read_text() == "mine"
    assert {path.name for path in home.iterdir()} == {"given", there}


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path):
    (tmp_path / "c.yaml").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        write(Answers("smart_token", Secret("t")), tmp_path / "c.yaml")

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--credential is missing"),
        (("--credential", "client_credentials"), "--client-id is missing"),
        (("--credential", "smart_token"), "--client-secret-file is missing"),
        (("--credential", "smart_token", "--client-secret-file", "none"), "No such file"),
        (("--credential", "password"), "Invalid value for '--credential'"),
    ],
)
def test_without_a_terminal_what_is_missing_is_wrong_usage(home, arguments, said):
    done = srproxy("init", *arguments, home=home)

    assert done.returncode == 2
    assert said in done.stderr
    assert {path.name for path in home.iterdir()} == {"given"}


def test_a_secret_that_was_not_filled_in_is_told_before_anything_is_written(home):
    (home / "given").write_text("${SECRET}")

    done = init(home)

    assert done.returncode == 2
    assert "template" in done.stderr
    assert {path.name for path in home.iterdir()} == {"given"}


def test_on_a_terminal_it_asks(home: Path):
    with on_terminal(home, "init") as screen:
        screen.wait_for(r"Credential \(")
        screen.type("a\n")  # an API key, or authorization_code?
        screen.wait_for("'a' is not one of")
        screen.type("3\n")
        screen.wait_for("Client id")
        screen.type("abc\n")
        screen.wait_for("Redirect URI")
        screen.type("\n")
        screen.wait_for("Client secret")
        screen.type("hidden-secret\n")
        screen.wait_for("Log in now", timeout=90)
        screen.type("n\n")

        assert screen.end() == 0

    assert "hidden-secret" not in screen.text
    secret = home / ".config/smartrecruiters-proxy/client-secret"
    assert secret.read_text() == "hidden-secret\n"
