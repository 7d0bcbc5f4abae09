"""What the status routes tell: the contract's JSON of it, and one request as a plain object."""

from datetime import UTC, datetime
from typing import Any

from proxy.control.context import ControlContext
from proxy.traffic import Record


def instant(seconds: float) -> str:
    """Write an instant as in the contract."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status_json(context: ControlContext) -> dict[str, Any]:
    """Build the answer of GET /-/status."""
    now = context.clock.now()
    return {
        "version": context.version,
        "upstream": context.config.upstream.url,
        "started_at": instant(context.started_at),
        "accounts": [manager.status().as_json(now) for manager in context.accounts.values()],
    }


def record_json(record: Record) -> dict[str, Any]:
    """Return one request as the page shows it: query keys only, never a header or body."""
    return {
        "id": record.request_id,
        "at": instant(record.at),
        "method": record.method,
        "path": shown_target(record.target),
        "caller": record.caller,
        "status": record.status,
        "whose": record.whose,
        "code": record.code,
        "ms": round(record.duration * 1000, 1),
        "upstream_ms": round(record.upstream_duration * 1000, 1),
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "replays": record.replays,
        "aborted": record.aborted,
        "rate_limit": record.rate_limit,
    }


def shown_target(target: bytes) -> str:
    """Return a target's path and the keys of its query, without their values."""
    path, mark, query = target.decode("latin-1").partition("?")
    keys = [part.partition("=")[0] for part in query.split("&") if part]
    return path + (mark and "?" + "&".join(f"{key}=…" for key in keys))
