"""Reports each refresh of an account once, recognized by the time of the last one in its status."""

from collections.abc import Callable

from proxy.grant.source import Account


def watch_refreshes(
    account: Account, refreshed: Callable[[str, str], None], store_failed: Callable[[], None]
) -> None:
    """Tell `refreshed` the account and the outcome of each refresh, `store_failed` each failure.

    Outcomes: `ok`, `invalid_grant`, `not_spent`, or the record's own word for an unknown fate.
    """
    status = account.status()
    seen = status.last_refresh.at if status.last_refresh else None
    had_store_error = False

    def changed() -> None:
        nonlocal seen, had_store_error
        status = account.status()
        last = status.last_refresh
        if last is not None and last.at != seen:
            seen = last.at
            outcome = last.outcome
            if outcome == "failed":
                outcome = "invalid_grant" if last.code == "invalid_grant" else "not_spent"
            refreshed(account.account, outcome)
        has_store_error = status.store_error is not None
        if has_store_error and not had_store_error:
            store_failed()
        had_store_error = has_store_error

    account.subscribe(changed)
