"""`srproxy init`: the first configuration, by questions on a terminal or by flags."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli.exits import CommandError, Exit
from proxy.cli.help import examples
from proxy.cli.session import Session, with_session
from proxy.cli.starter import DEFAULT_REDIRECT_URI, Answers, Credential, write
from proxy.config.loading import FILE_NAME
from proxy.config.secret_files import read_secret
from proxy.system.secret import Secret

ELSEWHERE = "--file PATH writes elsewhere"
# In the order of the list below, whose numbers are accepted too.
CREDENTIALS: tuple[Credential, ...] = ("smart_token", "client_credentials", "authorization_code")
CHOICES = """\
Which credential do you have?

  1  smart_token         an API key (Settings > Apps & Integrations > Credentials > API key)
  2  client_credentials  a client id and secret (… > Credentials > OAuth client ID)
  3  authorization_code  an app with a redirect URI, from SmartRecruiters' Partner & API team
"""


class CredentialChoice(click.Choice[Credential]):
    """One of CREDENTIALS, by its name, an unambiguous beginning of it, or its number."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Credential:
        """Return the full name; fails as every choice does."""
        text = str(value).strip().lower().replace("-", "_").replace(" ", "_")
        found = [name for name in CREDENTIALS if text and name.startswith(text)]
        if text in ("1", "2", "3"):
            found = [CREDENTIALS[int(text) - 1]]
        elif text and "api_key".startswith(text):
            found.append("smart_token")
        return super().convert(found[0] if len(found) == 1 else value, param, ctx)


CREDENTIAL = CredentialChoice(CREDENTIALS)


@click.command(
    epilog=examples(
        "srproxy init",
        "srproxy init --credential client_credentials --client-id ID --client-secret-file secret",
    )
)
@click.option(
    "--credential", type=CREDENTIAL, help="What you have; a beginning or a number (1 to 3) will do."
)
@click.option("--client-id", metavar="ID", help="Of your SmartRecruiters app.")
@click.option(
    "--client-secret-file",
    "secret_file",
    type=click.Path(path_type=Path),
    metavar="F",
    help="A file with the client secret (or with the API key, for smart_token); it is copied.",
)
@click.option(
    "--redirect-uri", metavar="U", help=f"As registered.  [default: {DEFAULT_REDIRECT_URI}]"
)
@click.option(
    "--file",
    "target",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to write.  [default: config.yaml in the user's config folder]",
)
@with_session
def init(
    session: Session,
    credential: Credential | None,
    client_id: str | None,
    secret_file: Path | None,
    redirect_uri: str | None,
    target: Path | None,
) -> Exit:
    """Write a configuration and a private file with the secret; what exists is never overwritten.

    Asks on a terminal for what is not given. Then tests the set-up, as `srproxy check` does.
    """
    file = target or session.file or _own_file(session)
    if file.is_dir():
        file /= FILE_NAME
    if os.path.lexists(file):  # before anything is asked
        raise CommandError(f"{file} is there already, and is not overwritten; {ELSEWHERE}")
    answers = _Asking(session).answers(credential, client_id, secret_file, redirect_uri)
    answers.check()
    try:
        secret = write(answers, file)
    except FileExistsError as error:
        raise CommandError(
            f"{error} is there already, and is not overwritten; {ELSEWHERE}"
        ) from None
    except OSError as error:
        raise CommandError(f"{error.filename or file}: {error.strerror or error}") from error
    say = session.terminal.say
    say(f"Written: {file}, and the secret in {secret} (readable by you alone).")
    if answers.credential == "authorization_code":
        say(
            f"Register this redirect URI with SmartRecruiters, byte for byte:\n\n"
            f"  {answers.redirect_uri}\n"
        )
    own = file == _own_file(session, needed=False)
    _go_on(file, "" if own else f" -c {file}", session, answers.credential)
    return Exit.DONE


def _own_file(session: Session, *, needed: bool = True) -> Path:
    folder = session.user_folder()
    if folder is None and needed:
        raise CommandError("there is no home folder to write into: name a place by --file")
    return (folder or Path()) / FILE_NAME


def _go_on(file: Path, option: str, session: Session, credential: Credential) -> None:
    """Test the set-up and offer the login; neither takes back what was written."""
    from proxy.cli.check import check

    context = click.get_current_context()
    say = session.terminal.say
    context.invoke(check, config_file=file)
    if credential == "authorization_code":
        if sys.stdin.isatty() and click.confirm("Log in now?", default=True, err=True):
            from proxy.cli.login import login

            context.invoke(login, config_file=file)
        else:
            say(f"Next: srproxy login{option}")
    say(f"Then start it: srproxy serve{option}")


class _Asking:
    """Takes what was given by flags, and asks for the rest where there is a terminal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_terminal = sys.stdin.isatty()

    def answers(
        self,
        credential: Credential | None,
        client_id: str | None,
        secret_file: Path | None,
        redirect_uri: str | None,
    ) -> Answers:
        if credential is None:
            credential = self._credential()
        is_app = credential != "smart_token"
        if is_app and client_id is None:
            client_id = self._text("Client id", "--client-id")
        if redirect_uri is None:
            redirect_uri = DEFAULT_REDIRECT_URI
            if credential == "authorization_code" and self._is_terminal:
                redirect_uri = click.prompt("Redirect URI", default=redirect_uri, err=True)
        if secret_file is not None:
            secret = self._from_file(secret_file)
        else:
            what = "Client secret" if is_app else "API key"
            secret = Secret(self._text(what, "--client-secret-file", hidden=True))
        return Answers(credential, secret, (client_id or "").strip(), redirect_uri)

    def _credential(self) -> Credential:
        self._needs_terminal("--credential", f" (one of {', '.join(CREDENTIALS)})")
        self._session.terminal.say(CHOICES)
        question = "Credential (1, 2, 3, or a name)"
        chosen: Credential = click.prompt(question, type=CREDENTIAL, show_choices=False, err=True)
        return chosen

    def _text(self, what: str, option: str, *, hidden: bool = False) -> str:
        self._needs_terminal(option)
        question = f"{what} (not shown while you type)" if hidden else what
        told: str = click.prompt(question, hide_input=hidden, err=True)
        return told.strip()

    def _needs_terminal(self, option: str, accepted: str = "") -> None:
        if not self._is_terminal:
            what = f"{option} is missing{accepted}, and there is no terminal to ask on"
            raise click.UsageError(what)

    def _from_file(self, path: Path) -> Secret:
        try:
            return Secret(read_secret(path))
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}", Exit.USAGE) from error
        except ValueError as error:
            raise CommandError(f"{path}: {error}", Exit.USAGE) from error
