"""Exit codes, and which error ends a command with which of them: in this one place.

    0    done
    1    failed
    2    wrong usage or configuration
    3    login required
    130  interrupted

Errors are printed on stderr in one line; a traceback appears only for unexpected ones.
"""

import sys
from collections.abc import Callable, Sequence
from enum import IntEnum

import click

from proxy.errors import (
    ConfigurationError,
    GrantEnded,
    Problem,
    ProxyError,
    TokenEndpointError,
)


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    LOGIN_REQUIRED = 3
    INTERRUPTED = 130


class CommandError(ProxyError):
    """A command cannot do what it was asked; the message says why and what to do."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


class InterruptedCommandError(ProxyError):
    """A signal asked the command to end."""


def run_command(command: Callable[[Sequence[str] | None], object], args: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    try:
        result = command(args)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        error.show()
        return Exit.FAILED
    except (click.Abort, KeyboardInterrupt, InterruptedCommandError):
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(err=True)  # the line may hold a question, and ^C
        tell("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone: there is nobody to tell.
        sys.stdout = None  # or the interpreter's own flush complains
        return Exit.FAILED
    except ProxyError as error:
        return _tell_error(error)
    return int(result) if isinstance(result, int) else Exit.DONE


def _tell_error(error: ProxyError) -> Exit:
    match error:
        case ConfigurationError(problems=problems):
            for problem in problems:
                click.echo(problem, err=True)
            return Exit.USAGE
        case CommandError(code=code):
            tell(f"error: {error}")
            return code
        case GrantEnded(detail=detail):
            tell(f"login required: {detail}")
            return Exit.LOGIN_REQUIRED
        case Problem(code="login_required", detail=detail):
            tell(f"login required: {detail}")
            return Exit.LOGIN_REQUIRED
        case Problem(detail=detail) | TokenEndpointError(detail=detail):
            tell(f"error: {detail}")
        case _:
            tell(f"error: {error}")
    return Exit.FAILED


def tell(message: str) -> None:
    """Print a message on stderr; one that is closed is ignored."""
    try:
        click.echo(f"srproxy: {message}", err=True)
    except OSError:
        sys.stderr = None  # or the interpreter's own flush complains
