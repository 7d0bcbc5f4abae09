"""The JSON of `/-/status`, for the route and the event stream."""

from collections.abc import Iterable
from typing import Any

from proxy.control.context import ControlContext
from proxy.grant.lifecycle import instant


def status_json(context: ControlContext, names: Iterable[str]) -> dict[str, Any]:
    """Build the answer of GET /-/status, of the accounts that are named."""
    now = context.clock.now()
    return {
        "version": context.version,
        "upstream": context.config.upstream.url,
        "started_at": instant(context.started_at),
        "accounts": [context.accounts[name].status().as_json(now) for name in names],
    }
