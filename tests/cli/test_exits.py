"""Which end has which exit code, and what is said of it."""

import click
import pytest

from proxy.cli.exits import CommandError, Exit, InterruptedCommandError, run_command
from proxy.errors import (
    ConfigurationError,
    GrantEnded,
    Outcome,
    Problem,
    StartError,
    StoreError,
    TokenEndpointError,
)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigurationError(["c.yaml:1:1: a", "c.yaml:2:1: b"]), 2, "c.yaml:1:1: a\nc.yaml:2:1: b"),
        (click.UsageError("no such option"), 2, "no such option"),
        (click.ClickException("no"), 1, "no"),
        (click.Abort(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (InterruptedCommandError(), 130, "interrupted"),
        (CommandError("cannot"), 1, "srproxy: error: cannot"),
        (CommandError("cannot", Exit.USAGE), 2, "cannot"),
        (StartError("8080 is taken"), 1, "8080 is taken"),
        (StoreError("/x", "is torn", "move it away"), 1, "/x: is torn; move it away"),
        (GrantEnded("grant_revoked", "it is dead"), 3, "login required: it is dead"),
        (Problem("login_required", "log in"), 3, "login required: log in"),
        (Problem("token_endpoint_unavailable", "down"), 1, "down"),
        (TokenEndpointError(Outcome.UNKNOWN, "timeout", "no answer"), 1, "no answer"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_every_error_has_its_code(error, code, said, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)

    def command(_args):
        raise error

    assert run_command(command, []) == code
    assert said in capsys.readouterr().err


def test_a_result_is_the_code_and_none_is_done():
    assert run_command(lambda _args: 3, []) == 3
    assert run_command(lambda _args: None, []) == 0


def test_what_nobody_foresaw_is_a_traceback():
    def command(_args):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(command, [])
