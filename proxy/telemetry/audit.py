"""The audit line: who did what to the grant, from where, and how it came out.

Written to the log, whatever its level, and by a thread of its own to `log.audit_file` where one is
configured; that file is appended to, never read.
"""

import logging
import os
from pathlib import Path

from proxy.errors import ConfigurationError
from proxy.telemetry.log_writer import LogWriter
from proxy.telemetry.logs import Output

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_writer: LogWriter | None = None

ACTIONS = frozenset({"login", "logout", "export", "import", "reload", "replay", "key_refused"})


def audit(action: str, who: str | None, client: str | None, outcome: str) -> None:
    """Write one line.

    `action` is one of ACTIONS; `who` the name of the caller's key, or the user of the command line;
    `client` the caller's address, None over the Unix socket and on the command line; `outcome`
    `ok`, or the code or reason of the failure.
    """
    members = {
        "audit": True, "action": action, "who": who, "client": client, "outcome": outcome,
    }  # fmt: skip
    logger.info("audit", extra={"members": members})


def open_audit_file(path: Path) -> LogWriter:
    """Append the lines to a file too, in place of the one before; OSError where it cannot be."""
    global _writer
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if _writer is None:
        _writer = LogWriter(descriptor)
        logger.addHandler(Output(_writer, as_json=True))
    else:
        _writer.redirect(descriptor)
    return _writer


def reopen_audit_file(path: Path) -> None:
    """Open the file anew: another one, or the same after it was rotated; or ConfigurationError."""
    try:
        open_audit_file(path)
    except OSError as error:
        fault = f"log.audit_file: {path} cannot be appended to: {error.strerror}"
        raise ConfigurationError([fault]) from error
