"""Parsers of the kinds of value that a configuration holds, each with its own error texts.

Scalars may come as text (YAML's raw scalars, the environment): a number's text is read as a number,
and text stays as it was written, so that `0600` and a secret of digits survive.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from proxy.config.faults import Wrong, found
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.system.secret import Secret

T = TypeVar("T")
L = TypeVar("L", bound=str)
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
TRUE = {"true", "yes", "on", "1"}
FALSE = {"false", "no", "off", "0"}
VISIBLE = re.compile(r"[\x21-\x7e]+")
# Templates of compose, shells, Helm and Ansible, left unfilled.
TEMPLATE = re.compile(r"\$\{[^}]*\}|\{\{.*\}\}")
QUOTES = "\"'"
# What proxy.grant.oauth sets itself: an extra parameter of that name would be a second one.
OWN_PARAMETERS = {
    "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
}  # fmt: skip
DAY = 86400
MEBIBYTE = 1024 * 1024
PEM = "a file with certificates in PEM form"


def absent(value: object) -> bool:
    """Tell whether a value says "not set"; a Secret compares with nothing but its like."""
    return value is None or (isinstance(value, str) and not value)


def whole(low: int, high: int) -> Callable[[object], int]:
    """Make the parser of a whole number within bounds."""
    accepted = f"accepted: a whole number, {low} to {high}"

    def parse(value: object) -> int:
        if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{found(value)} is not a whole number", accepted)
        if not low <= value <= high:
            raise Wrong(f"{value} is out of range", accepted)
        return value

    return parse


def seconds(high: float, *, zero: bool = False) -> Callable[[object], float]:
    """Make the parser of a duration: above 0 (or from 0) up to `high` seconds."""
    accepted = f"accepted: seconds, {'0' if zero else 'more than 0'} to {high:.0f}"

    def parse(value: object) -> float:
        if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            raise Wrong(f"{found(value)} is not a number of seconds", accepted)
        if not 0 <= value <= high or (value == 0 and not zero):
            raise Wrong(f"{value:g} is out of range", accepted)
        return float(value)

    return parse


def flag(value: object) -> bool:
    """Parse a yes or no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise Wrong(f"{found(value)} is neither true nor false", "accepted: true, false")


def text(value: object) -> str:
    """Parse text that is not empty and has no control characters."""
    if not isinstance(value, str):
        raise Wrong(f"{found(value)} is not text", "accepted: text")
    if not value.strip():
        raise Wrong("is empty", "accepted: text that is not empty")
    if not value.isprintable():
        raise Wrong("has control characters in it", "accepted: printable text on one line")
    return value


def client_id(value: object) -> str:
    """Parse the client id; whether it may be absent is checked in rules."""
    if absent(value):
        return ""
    parsed = text(value)
    if slip := slip_in(parsed):
        raise Wrong(slip.replace(" (its value is not shown)", ""), "accepted: the id alone")
    return parsed


def choice(*names: L) -> Callable[[object], L]:
    """Make the parser of one word out of several."""

    def parse(value: object) -> L:
        for name in names:
            if isinstance(value, str) and value == name:
                return name
        raise Wrong(f"{found(value)} is none of them", f"accepted: {', '.join(names)}")

    return parse


def optional(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    """Let null, and the environment's empty text, stand for "not set"."""
    return lambda value: None if absent(value) else parse(value)


def nullable(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    """Let null alone stand for "not set": empty text there is an error."""
    return lambda value: None if value is None else parse(value)


def path(value: object) -> Path:
    """Parse a path; `~` is the user's home."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or "\0" in value:
        raise Wrong(f"{found(value)} is not a path", "accepted: a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise Wrong("the home folder of ~ is not known", "accepted: a path without ~") from None


def slip_in(value: str) -> str | None:
    """Return what shows that a value is not the one that was meant; never the value itself."""
    if TEMPLATE.search(value):
        return "looks like a template that was not filled in (its value is not shown)"
    if value != value.strip():
        return "has blanks around it (its value is not shown)"
    if len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES:
        return "has quotes around it, which are part of it (its value is not shown)"
    return None


def secret(least: int = 1, accepted: str = "") -> Callable[[object], Secret]:
    """Make the parser of a secret of at least so many characters; its value is never shown."""
    accepted = accepted or (
        f"accepted: {least} characters or more" if least > 1 else "accepted: text"
    )

    def parse(value: object) -> Secret:
        if isinstance(value, Secret):
            value = value.reveal()
        if not isinstance(value, str):
            raise Wrong("is not text (its value is not shown)", accepted)
        if not value:
            raise Wrong("is empty", accepted)
        if not value.isprintable():
            raise Wrong("has control characters or line ends in it", accepted)
        if slip := slip_in(value):
            raise Wrong(slip, accepted)
        if len(value) < least:
            raise Wrong(f"has only {len(value)} characters", accepted)
        return Secret(value)

    return parse


def client_secret(value: object) -> Secret:
    """Parse the client secret; whether it may be absent is checked in rules."""
    if absent(value):
        return Secret("")
    return secret()(value)


def api_key(value: object) -> Secret:
    """Parse the key of a caller: not empty, and fit for a header."""
    key = secret()(value)
    if not VISIBLE.fullmatch(key.reveal()):
        raise Wrong(
            "has a space or a character beyond ASCII in it (its value is not shown)",
            "accepted: letters, digits and signs, as they fit into a header",
        )
    return key


def matching(pattern: str, what: str, accepted: str) -> Callable[[object], str]:
    """Make the parser of text that a regular expression matches as a whole."""

    def parse(value: object) -> str:
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise Wrong(f"{found(value)} is {what}", accepted)

    return parse


SECONDS = seconds(DAY)
SECONDS_OR_ZERO = seconds(DAY, zero=True)
PORT = whole(0, 65535)

socket_mode = matching(
    "0?[67][0-7]{2}",
    "not a mode that gives its owner access",
    'accepted: octal digits in quotes, such as "0600" or "0660"',
)
# It stands in logs and in metrics.
key_name = matching(
    "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "no name for a key",
    "accepted: letters, digits, '.', '_', '-', up to 64",
)
# It stands in Host names, and in files' names.
account_name = matching(
    "[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?",
    "no name for an account",
    "accepted: small letters, digits, '_', '-', up to 63 (NAME.localhost leads to it)",
)
# RFC 6749 section 3.3.
scope = matching(
    r"[\x21\x23-\x5b\x5d-\x7e]+",
    "not one scope",
    "accepted: a list, such as [candidates_read, jobs_read]",
)


def further_account(value: object) -> str:
    """Parse the name of an account beside `default`."""
    if value == DEFAULT_ACCOUNT:
        raise Wrong(
            "is the account that the top level describes",
            "accepted: oauth and smart_token at the top level, for it",
        )
    return account_name(value)


def subject(value: object) -> str:
    """Parse the subject of a caller's certificate, as RFC 4514 writes it."""
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value
    raise Wrong(
        f"{found(value)} is no subject of a certificate",
        'accepted: text such as "CN=reports" or "CN=reports,O=Example"',
    )


def parameters(value: object) -> dict[str, str]:
    """Parse extra query parameters; `response_type` is `code` unless given, null takes one out."""
    accepted = "accepted: a mapping of names to text, such as {response_type: code, prompt: login}"
    if absent(value):
        value = {}
    if not isinstance(value, dict):
        raise Wrong(f"{found(value)} is not a mapping", accepted)
    result: dict[str, str] = {}
    for name, item in {"response_type": "code", **value}.items():
        if not isinstance(name, str) or not name:
            raise Wrong(f"{found(name)} is no name of a parameter", accepted)
        if name in OWN_PARAMETERS:
            raise Wrong(
                f'"{name}" is set by the proxy itself', "accepted: other parameters than that"
            )
        if isinstance(item, bool):
            item = "true" if item else "false"
        if isinstance(item, (int, float)):
            item = str(item)
        if item is None:
            continue
        if not isinstance(item, str):
            raise Wrong(f"{found(name)} is {found(item)}", accepted)
        result[name] = item
    return result


def command(value: object) -> tuple[str, ...] | None:
    """Parse a program and its arguments."""
    if absent(value):
        return None
    accepted = "accepted: a list of program and arguments, such as [notify-send, SmartRecruiters]"
    if not isinstance(value, (list, tuple)) or not value:
        raise Wrong(f"{found(value)} is not a list with a program in it", accepted)
    for item in value:
        if not isinstance(item, str) or "\0" in item:
            raise Wrong(f"{found(item)} is not text", accepted)
    if not value[0]:
        raise Wrong("the program's name is empty", accepted)
    return tuple(value)
