"""The contract's status JSON, for the route and the event stream."""

from datetime import UTC, datetime
from typing import Any

from proxy.control.context import ControlContext


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
