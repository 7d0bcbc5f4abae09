"""Writes a first configuration: a commented file, and the secret in a file beside it.

Nothing that exists is ever overwritten.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.system.secret import Secret

Credential = Literal["authorization_code", "client_credentials", "smart_token"]
DEFAULT_REDIRECT_URI = "http://localhost:8080/-/callback"
DEFAULT_PORT = 8080

OAUTH = {
    "authorization_code": "A person logs in once, by `srproxy login`; the grant is then kept alive",
    "client_credentials": "The app acts by itself: no login",
}
REST = """\

# Who else may call. As it stands: every program on this machine, and nobody beyond it.
# access:
#   api_keys:
#     - {name: my-tool, key_file: my-tool-key, allow: ["GET,HEAD **"]}
#   dry_run: true               # writes are answered here, and not forwarded

# SmartRecruiters' limits are built in; rules of your own take precedence:
# limits:
#   rules: ["5/s GET /candidates/**"]
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the user answered about their access to SmartRecruiters."""

    credential: Credential
    secret: Secret
    client_id: str = ""
    redirect_uri: str = DEFAULT_REDIRECT_URI

    @property
    def secret_name(self) -> str:
        """Return the name of the secret's file."""
        return "smart-token" if self.credential == "smart_token" else "client-secret"

    def check(self) -> None:
        """Raise ConfigurationError with everything that would be wrong with the file."""
        if self.credential == "smart_token":
            Config.build({"smart_token": self.secret})
            return
        app = {"client_id": self.client_id, "client_secret": self.secret}
        Config.build(
            {
                "oauth": {
                    **app,
                    "grant_type": self.credential,
                    "redirect_uri": self.redirect_uri,
                }
            }
        )

    def text(self) -> str:
        """Write the configuration file."""
        lines = [
            "# smartrecruiters-proxy: docs/configuration.md has each key; `srproxy check` tests it",
            "",
        ]
        beside = "beside this file, readable by you alone"
        if self.credential == "smart_token":
            lines += [
                "# A SmartRecruiters API key, sent as X-SmartToken: no OAuth.",
                f"smart_token_file: {self.secret_name}      # {beside}",
            ]
        else:
            lines += [
                f"# {OAUTH[self.credential]}.",
                "oauth:",
                f"  grant_type: {self.credential}",
                f"  client_id: {json.dumps(self.client_id)}",
                f"  client_secret_file: {self.secret_name}      # {beside}",
            ]
        if self.credential == "authorization_code":
            lines += [
                "  # Register it with SmartRecruiters byte for byte; its path is the callback's.",
                f"  redirect_uri: {json.dumps(self.redirect_uri)}",
                "  # scopes: [candidates_read, jobs_read]      # default: the app's",
            ]
        lines += [
            "",
            "# Tools call http://localhost:PORT in place of the API's address.",
            "listen:",
        ]
        lines += [f"  port: {self._port()}"]
        return "\n".join(lines) + "\n" + REST

    def _port(self) -> int:
        """Return the port that the browser comes back to."""
        parts = urlsplit(self.redirect_uri)
        if self.credential != "authorization_code" or parts.scheme != "http":
            return DEFAULT_PORT
        return parts.port or 80


def write(answers: Answers, file: Path) -> Path:
    """Write both files, or neither; FileExistsError names the one that is there already.

    Returns the secret's. Folders that are missing are made for this user alone.
    """
    secret = file.parent / answers.secret_name
    for path in (file, secret):
        if os.path.lexists(path):
            raise FileExistsError(str(path))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_new(secret, answers.secret.reveal() + "\n")
    try:
        _write_new(file, answers.text())
    except OSError:
        secret.unlink()
        raise
    return secret


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
