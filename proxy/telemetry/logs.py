"""Logs: one handler for everything, JSON lines or text, and a last gate that no secret passes.

Whoever logs (we, aiohttp, asyncio, a warning, an uncaught exception), the finished text goes
through `Redactor` before it is written: every living `Secret` in clear and in the encodings that
programs put them in, and whatever looks like a credential. Line ends and control characters in a
message are escaped, so that one event is one line whatever a caller sent. Never writes to stdout by
itself, never reads the clock: a record carries its own time.
"""

import base64
import json
import logging
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol
from urllib.parse import quote, quote_plus

from proxy.system.secret import MASK, living_secrets, secrets_made
from proxy.telemetry.log_writer import LogWriter

# Shorter ones would blot out ordinary words, and give the secret away by doing so.
SHORTEST = 8
# Spellings of secrets that are no longer held: each costs every batch of request lines a search.
GONE_KEPT = 16
PERCENT = re.compile("%[0-9A-F]{2}")
# What begins a credential, and what names one, in lower case; ASCII letters, or (?i) would let
# others in that `lower` does not see.
SCHEMES = ("bearer", "basic")
NAMES = (
    "access_token", "refresh_token", "client_secret", "code_verifier", "x-smarttoken", "x-api-key",
    "x-srproxy-key",
)  # fmt: skip
# Each name has one of them, and most paths have neither.
MARKS = ("_", "x-")
CREDENTIAL = re.compile(
    rf"""\b((?ai:{"|".join(SCHEMES)}))(\s+|%20|\+)(?!(?ai:realm))[A-Za-z0-9._~+/=%-]{{6,}}"""
)
# The value is no name of the next member, as in "no client_secret", "at": ….
NAMED = re.compile(
    rf"""\b((?ai:{"|".join(NAMES)})\b["'\\]{{0,3}}(?:\s*[:=,]\s*|%3[Dd])b?["'\\]{{0,3}})"""
    r"""(?!\*|\w+["']\s*:)[^\s"'&\\,;)}]{4,}"""
)
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING,
          "error": logging.ERROR}  # fmt: skip
# The loop repeats its complaint for each try, as when descriptors are used up (1079 lines seen).
REPEATING = ("asyncio", "aiohttp", "proxy.gateway.front")


def escape(text: str) -> str:
    """Return text on one line, its control and format characters written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def timestamp(seconds: float) -> str:
    """Write an instant as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class Redactor:
    """The last gate: text in, text without secrets out."""

    def __init__(self) -> None:
        self._needles: dict[str, None] = {}
        self._made = -1

    def __call__(self, text: str) -> str:
        """Return the text with every secret and whatever looks like one masked."""
        if secrets_made() != self._made:
            self._gather()
        for needle in self._needles:
            if needle in text:
                text = text.replace(needle, MASK)
        text = CREDENTIAL.sub(rf"\1\2{MASK}", text)
        return NAMED.sub(rf"\1{MASK}", text)

    def suspects(self, text: str) -> bool:
        """Return quickly whether a call might change the text: never no where it would."""
        if secrets_made() != self._made:
            self._gather()
        lower = text.lower()
        if any(scheme in lower for scheme in SCHEMES):
            return True
        if any(mark in lower for mark in MARKS) and any(name in lower for name in NAMES):
            return True
        return any(needle in text for needle in self._needles)

    def _gather(self) -> None:
        """Add the secrets made since; those that are gone stay known for a while."""
        self._made = secrets_made()
        living = dict.fromkeys(
            needle for secret in living_secrets() for needle in _spellings(secret.reveal())
        )
        gone = [needle for needle in self._needles if needle not in living]
        self._needles = dict.fromkeys(gone[-GONE_KEPT:]) | living


def _spellings(value: str) -> list[str]:
    """Return how a secret may be written: in clear, in a URL, in JSON, within base64."""
    if len(value) < SHORTEST:
        return []
    data = value.encode()
    found = {value, json.dumps(value)[1:-1]}
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        found |= {quoted, PERCENT.sub(lambda match: match[0].lower(), quoted)}
    for offset in range(3):
        # What its base64 looks like inside a longer text, without the characters it shares.
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * offset + data).decode().rstrip("=")
            end = len(whole) - (1 if (offset + len(data)) % 3 else 0)
            inner = whole[(0, 2, 3)[offset] : end]
            found |= {inner, quote(inner, safe="")}
    return sorted(found, key=len, reverse=True)


redact = Redactor()


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    """Return the record's traceback; a parser's own message is left out, for it quotes bytes."""
    exc_info = record.exc_info
    if not exc_info or exc_info[0] is None:
        return record.exc_text
    if exc_info[0].__module__.startswith("aiohttp.http"):
        return f"{exc_info[0].__name__} (its text quotes the request and is not logged)"
    return formatter.formatException(exc_info)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, object] = {
            "at": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "members", {}),
        }
        traceback = _traceback(self, record)
        if traceback:
            members["exception"] = traceback
        if record.stack_info:
            members["stack"] = record.stack_info
        # ASCII: no terminal or viewer takes anything in it for a command or a line end.
        return json.dumps(members)


class TextFormatter(logging.Formatter):
    """Lines for people; a traceback follows, indented, so that nobody can fake a line of ours."""

    def format(self, record: logging.LogRecord) -> str:
        line = (
            f"{timestamp(record.created)} {record.levelname:<7} {record.name} "
            f"{escape(record.getMessage())}"
        )
        for name, value in getattr(record, "members", {}).items():
            line += f" {name}={escape(json.dumps(value))}"
        for more in (_traceback(self, record), record.stack_info):
            if more:
                line += "".join(f"\n    | {escape(part)}" for part in more.splitlines())
        return line


class Stream(Protocol):
    """Where the log goes."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...
    def isatty(self) -> bool: ...


class Output(logging.Handler):
    """Writes to one stream, through the gate; a stream that has gone away is no error."""

    def __init__(self, stream: Stream, *, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json
        self.takes_requests = True  # whether requests are lines of it
        self.sample = 1  # of requests that went well, one in so many is
        self.before: Callable[[], None] | None = None  # writes what is older and still waits
        self._stream = stream
        self._last: dict[tuple[str, str, str], tuple[float, int]] = {}
        self.setFormatter(JsonFormatter() if as_json else TextFormatter())
        if isinstance(stream, LogWriter):
            stream.notice = self._notice

    def lines_lost(self) -> int:
        """Return how many lines could not be written, since the start."""
        return self._stream.lost if isinstance(self._stream, LogWriter) else 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            if not self._is_due(record):
                return
            text = self.format(record)
            # What waits belongs to the event loop: another thread's line may overtake it.
            if self.before is not None and threading.current_thread() is threading.main_thread():
                self.before()
            self._write(redact(text) + "\n")
        except Exception:  # noqa: BLE001 - logging.Handler's contract
            self.handleError(record)

    def write_lines(self, lines: list[str], chosen: str) -> None:
        """Write finished lines made of safe parts and of `chosen`, where a secret may hide."""
        if redact.suspects(chosen):
            lines = [redact(line) if redact.suspects(line) else line for line in lines]
        self.acquire()
        try:
            self._write("".join(lines))
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Say where it failed; the base would print the arguments, past the gate."""
        self._write(f"logging failed for a record of {escape(record.name)}, {record.lineno}\n")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            return  # the reader of our log is gone: serving goes on without it

    def _notice(self, lost: int) -> str:
        text = "log_lines_lost lines=%d; the log's reader was stopped or gone, or its disk full"
        record = logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lost,), None)
        return self.format(record) + "\n"

    def _is_due(self, record: logging.LogRecord) -> bool:
        """Let the same complaint of the loop or a library through once a second."""
        if record.levelno < logging.WARNING or not record.name.startswith(REPEATING):
            return True
        key = (record.name, str(record.msg).partition("\n")[0], _raised_at(record))
        at, dropped = self._last.get(key, (0.0, 0))
        if 0 <= record.created - at < 1:
            self._last[key] = (at, dropped + 1)
            return False
        if len(self._last) > 256:
            self._last.clear()
        self._last[key] = (record.created, 0)
        if dropped:
            record.msg = f"{record.msg} ({dropped} more like the last one of these)"
        return True


def _raised_at(record: logging.LogRecord) -> str:
    """Return where a logged exception was raised: failures of two places are not the same one."""
    trace = record.exc_info[2] if record.exc_info else None
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def configure(level: str, format_name: str, stream: Stream, *, sample: int = 1) -> Output:
    """Make one Output the only handler of the program; `auto` is text on a terminal, else JSON."""
    as_json = format_name == "json" or (format_name == "auto" and not stream.isatty())
    output = Output(stream, as_json=as_json)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(output)
    set_level(output, level, sample)
    # It would log query strings; proxy.telemetry.traffic writes the one line a request.
    logging.getLogger("aiohttp.access").disabled = True
    logging.captureWarnings(capture=True)
    return output


def current_output() -> Output | None:
    """Return the Output that is set up; None where somebody else does the logging."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Output):
            return handler
    return None


def set_level(output: Output, level: str, sample: int) -> None:
    """Apply `log.level` and `log.sample`, at the start and when they are reloaded."""
    output.takes_requests = LEVELS[level] <= logging.INFO
    output.sample = sample
    logging.getLogger().setLevel(LEVELS[level])


def catch_uncaught() -> None:
    """Send what nobody caught through the gate too, instead of straight to stderr."""
    logger = logging.getLogger("proxy")

    def uncaught(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)
        else:
            logger.critical("uncaught error", exc_info=(kind, error, traceback))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        if args.exc_value is not None:
            uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = uncaught
    sys.unraisablehook = unraisable
    threading.excepthook = in_thread
