"""`srproxy export` and `import`: a grant moves to another machine, and never lives twice."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.exits import CommandError, Exit
from proxy.cli.grant import CREDENTIALS
from proxy.cli.help import examples
from proxy.cli.hosting import audit_here
from proxy.cli.local import on_account
from proxy.cli.outlet import write_to_stdout
from proxy.cli.session import Session, account_option, with_session
from proxy.errors import StoreError
from proxy.system.secret import Secret

if TYPE_CHECKING:
    from proxy.grant.source import Account

SHORTEST_PASSPHRASE = 12
LARGEST_BUNDLE = 1024 * 1024

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the passphrase from a file instead of asking for it.",
)


@contextmanager
def _audited(session: Session, action: str) -> Iterator[None]:
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    finally:
        audit_here(session, action, outcome)


def _check_kind(session: Session, name: str) -> None:
    """Raise CommandError, before anything is asked, where the account keeps no grant."""
    kind = session.config.accounts[name].kind
    if kind != "authorization_code":
        raise CommandError(f"the account {name} has no grant to move: it uses {CREDENTIALS[kind]}")


async def _check_grant(account: "Account") -> None:
    """Raise CommandError, before a passphrase is asked for, where there is nothing to move."""
    status = account.status()
    if status.tokens is None:
        told = f"there is no grant to move ({status.reason}): run srproxy login first"
        raise CommandError(told, Exit.LOGIN_REQUIRED)


def _passphrase(file: Path | None, *, confirm: bool) -> Secret:
    if file is not None:
        try:
            text = file.read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise CommandError(f"{file} cannot be read: {reason}", Exit.USAGE) from None
    else:
        text = _ask_for_passphrase(confirm=confirm)
    if len(text) < SHORTEST_PASSPHRASE:
        raise CommandError(
            f"the passphrase is shorter than {SHORTEST_PASSPHRASE} characters", Exit.USAGE
        )
    return Secret(text)


def _ask_for_passphrase(*, confirm: bool) -> str:
    try:
        told: str = click.prompt(
            "Passphrase", hide_input=True, confirmation_prompt=confirm, err=True
        )
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            # Nobody was there to answer: that is no interruption.
            told = "no passphrase was given; --passphrase-file FILE reads it from a file"
            raise CommandError(told, Exit.USAGE) from None
        raise
    return told


@click.command(
    epilog=examples(
        "srproxy export grant.bundle",
        "srproxy export --passphrase-file phrase > grant.bundle",
    )
)
@click.argument("file", default="-", type=click.Path(path_type=Path, allow_dash=True))
@passphrase_option
@account_option
@with_session
def export(session: Session, file: Path, passphrase_file: Path | None, account: str) -> Exit:
    """Write the grant to FILE (default: stdout) as an encrypted bundle, and retire it here.

    Two living copies of a grant end each other, so this machine needs a login, or the bundle back,
    from then on.
    """
    _check_kind(session, account)
    if passphrase_file is None:
        on_account(session, account, _check_grant)
    passphrase = _passphrase(passphrase_file, confirm=True)
    with _audited(session, "export"):
        aside = _export(session, file, passphrase, account)
    session.terminal.say(
        f"{session.terminal.mark('ok')} The grant is in the bundle, and retired here: {aside} is "
        "what it was, for the case that the bundle is lost on its way. "
        "On the other machine: srproxy import"
    )
    return Exit.DONE


def _export(session: Session, file: Path, passphrase: Secret, name: str) -> str:
    delivered = False

    def deliver(bundle: bytes) -> None:
        nonlocal delivered
        if str(file) == "-":
            write_to_stdout(bundle)
        else:
            _write(file, bundle)
        delivered = True

    try:
        return on_account(session, name, lambda account: account.export(passphrase, deliver))
    except StoreError as error:
        if not delivered:
            raise
        raise CommandError(
            f"the grant could not be retired, so it is still here: {error}. Destroy the "
            "bundle: two copies of a grant end each other"
        ) from None


def _write(file: Path, content: bytes) -> None:
    """Write durably and for this user alone; never overwrite."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise CommandError(f"{file} exists and is left alone; name another file") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from None


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(LARGEST_BUNDLE)
        with file.open("rb") as stream:
            return stream.read(LARGEST_BUNDLE)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None


@click.command(
    "import",
    epilog=examples(
        "srproxy import grant.bundle", "srproxy import --passphrase-file phrase < grant.bundle"
    ),
)
@click.argument("file", default="-", type=click.Path(path_type=Path, allow_dash=True))
@passphrase_option
@account_option
@with_session
def import_(session: Session, file: Path, passphrase_file: Path | None, account: str) -> Exit:
    """Take the grant from FILE (default: stdin), and prove it by refreshing at once.

    The refresh makes the bundle useless: whoever finds it later finds a spent token.
    """
    _check_kind(session, account)
    bundle = _read(file)
    passphrase = _passphrase(passphrase_file, confirm=False)
    with _audited(session, "import"):
        on_account(session, account, lambda grant: grant.import_bundle(bundle, passphrase))
    session.terminal.say(f"{session.terminal.mark('ok')} The grant is here, renewed and stored.")
    return Exit.DONE
