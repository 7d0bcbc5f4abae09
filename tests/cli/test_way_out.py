"""A wrong way out, told by commands as a configuration that is wrong, with no piece of a secret."""

from pathlib import Path

import pytest

from tests.support.processes import free_port, srproxy


def environ(**more: str) -> dict[str, str]:
    return {
        "SRPROXY_OAUTH__CLIENT_ID": "an-id",
        "SRPROXY_OAUTH__CLIENT_SECRET": "a-client-secret",
        "SRPROXY_LISTEN__PORT": str(free_port()),
        # Reaches nobody: the outbound proxy's port is closed.
        "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}",
        **more,
    }


@pytest.mark.parametrize("command", ["serve", "token", "status"])
def test_an_outbound_proxy_s_raw_hash_is_a_wrong_configuration(
    command: str, tmp_path: Path
) -> None:
    ended = srproxy(
        command, home=tmp_path, environ=environ(HTTPS_PROXY="http://user:sec#ret@out.example:3128")
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("HTTPS_PROXY: is not the URL of an HTTP proxy")
    assert "%23" in ended.stderr
    for piece in ("sec", "ret@", "Traceback"):
        assert piece not in ended.stderr


def test_check_goes_on_after_a_ca_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(b"\x30\x82\x01\x0a")
    ended = srproxy("check", home=tmp_path, environ=environ(SRPROXY_UPSTREAM__CA_FILE=str(file)))

    assert ended.returncode == 1
    assert "is in DER form" in ended.stdout
    assert "Credential" in ended.stdout


def test_check_goes_by_way_of_the_outbound_proxy(tmp_path: Path) -> None:
    ended = srproxy("check", home=tmp_path, environ=environ())

    assert ended.returncode == 1
    assert ended.stdout.count("The outbound proxy refuses connections.") == 1
