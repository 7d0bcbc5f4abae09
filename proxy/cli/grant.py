"""`srproxy status` and `logout`: the grant at hand, with the server up or down."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from proxy import __version__
from proxy.cli.exits import CommandError, Exit, tell
from proxy.cli.help import examples
from proxy.cli.local import on_account, open_every_account, store_name
from proxy.cli.server import Presence, Server, find_server
from proxy.cli.session import (
    Session,
    account_option,
    sandbox_option,
    with_session,
)
from proxy.cli.terminal import Terminal, duration
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import ConfigurationError

STATES = {"authorized": ("ok", "green"), "degraded": ("warn", "yellow")}
# How `status` names what is no authorization code, which everybody expects.
CREDENTIALS = {
    "client_credentials": "client credentials (the app by itself)",
    "smart_token": "a SmartRecruiters API key",
}
LOGIN_REQUIRED = "login_required"


@click.command(
    epilog=examples("srproxy status", "srproxy status --json | jq -r '.accounts[].state'")
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of GET /-/status.")
@click.option("--account", metavar="NAME", help="Whose grant alone.  [default: all]")
@sandbox_option
@with_session
def status(session: Session, as_json: bool, account: str | None) -> Exit:
    """Show what is known of each account's grant, with the server running or not.

    Exit code 0 authorized (degraded included: calls work), 3 login required, 1 when the token store
    cannot be read.
    """
    return _status(session, account, as_json=as_json)


def _status(session: Session, name: str | None, *, as_json: bool) -> Exit:
    who, server = find_server(session.config_for_server)
    known = server.status() if who is Presence.OURS and server else None
    if who is Presence.STRANGER and server is not None:
        tell(f"note: another program answers at {server.place}; this is from the store")
    running = server.place if known is not None and server is not None else None
    accounts = known.get("accounts", []) if known else []
    if known is None or any(account.get("reason") == "store_unavailable" for account in accounts):
        # An unreadable store is an error that names its path, which the server's answer does not.
        from proxy.cli.loop import run_async  # asyncio: only without a server

        try:
            from_store = run_async(_status_from_store(session))
        except ConfigurationError:
            if known is None:
                raise
        else:
            known = known or from_store
    shown = [one for one in known.get("accounts", []) if name in (None, one.get("name"))]
    known = {**known, "accounts": shown}
    if as_json:
        click.echo(json.dumps(known, indent=2, ensure_ascii=False))
    else:
        import sys

        _show_table(session, Terminal(sys.stdout, session.environ), known, running)
    needed = any(one.get("state") == LOGIN_REQUIRED for one in shown)
    return Exit.LOGIN_REQUIRED if needed else Exit.DONE


async def _status_from_store(session: Session) -> Mapping[str, Any]:
    shown = []
    async with open_every_account(session) as accounts:
        for account in accounts.values():
            await account.load()
            status = account.status()
            if status.store_error is not None:
                raise status.store_error
            shown.append(status.as_json(session.clock.now()))
    return {
        "version": __version__,
        "upstream": session.config.upstream.url,
        "started_at": None,
        "accounts": shown,
    }


def _show_table(
    session: Session, out: Terminal, known: Mapping[str, Any], running: str | None
) -> None:
    rows: list[tuple[str, str]] = []
    for account in known.get("accounts", []):
        rows += _account_rows(session, out, account)
    rows.append(("Server", f"running at {running}" if running else "not running"))
    rows.append(("Upstream", str(known.get("upstream"))))
    if store := _store(session, is_running=running is not None):
        rows.append(("Store", store))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        out.say(f"{out.style(name.ljust(width), 'cyan')}  {value}")


def _store(session: Session, *, is_running: bool) -> str | None:
    """Name the store; None where the running server's is another than this user would have."""
    try:
        name = store_name(session)
        is_here = session.config.tokens.store == "redis" or session.state_folder.is_dir()
    except (ConfigurationError, OSError):
        if is_running:
            return None
        raise
    return name if is_here or not is_running else None


def _account_rows(
    session: Session, out: Terminal, account: Mapping[str, Any]
) -> list[tuple[str, str]]:
    now = session.clock.now()
    state = str(account.get("state"))
    mark, colour = STATES.get(state, ("bad", "red"))
    reason = f" ({account['reason']})" if account.get("reason") else ""
    words = out.style(state.replace("_", " "), colour)
    rows = [
        ("Account", str(account.get("name"))),
        ("State", f"{out.mark(mark)} {words}{reason}"),
    ]
    if state == LOGIN_REQUIRED:
        name = account.get("name")
        named = "" if name in (None, DEFAULT_ACCOUNT) else f" --account {name}"
        rows.append(("To do", f"run srproxy login{named}"))
    if (kind := account.get("kind")) in CREDENTIALS:
        rows.append(("Credential", CREDENTIALS[kind]))
    if owner := account.get("owner"):
        rows.append(("Owner", str(owner)))
    if scopes := account.get("scopes"):
        rows.append(("Scopes", " ".join(scopes)))
    if access := account.get("access_token"):
        rows.append(("Access token", _left(access, "expired; renewed with the next call")))
    if refresh := account.get("refresh_token"):
        ends = _instant(refresh.get("expires_at"))
        left = float(refresh.get("expires_in") or 0)
        day = f"{ends:%d %B %Y}" if ends else "an unknown day"
        rows.append(
            (
                "Grant",
                f"renews by itself while the proxy runs; stopped now, it would end on {day} "
                f"(in {duration(left)})"
                if left > 0
                else f"ended on {day}",
            )
        )
    if account.get("warning"):
        rows.append(("Warning", str(account["warning"])))
    if last := account.get("last_refresh"):
        at = _instant(last.get("at"))
        ago = f", {duration(now - at.timestamp())} ago" if at else ""
        detail = f": {last['detail']}" if last.get("detail") else ""
        rows.append(("Last refresh", f"{last.get('outcome')}{ago}{detail}"))
    return rows


def _left(token: Mapping[str, Any], otherwise: str) -> str:
    left = token.get("expires_in")
    return f"{duration(left)} left" if isinstance(left, (int, float)) and left > 0 else otherwise


def _instant(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None


@click.command(epilog=examples("srproxy logout", "srproxy logout -c config.yaml"))
@account_option
@sandbox_option
@with_session
def logout(session: Session, account: str) -> Exit:
    """Forget the grant: calls are answered with login_required from then on.

    The record is set aside as a file beside the others, not destroyed.
    """
    who, server = find_server(session.config_for_server)
    if who is Presence.OURS and server is not None:
        _logout_through(server, account)
    else:
        from proxy.cli.hosting import audit_here  # the server writes its own line

        on_account(session, account, lambda grant: grant.logout())
        audit_here(session, "logout", "ok")
    session.terminal.say(f"{session.terminal.mark('ok')} Logged out.")
    return Exit.DONE


def _logout_through(server: Server, name: str) -> None:
    answer = server.call("POST", f"/-/logout?account={quote(name, safe='')}")
    if answer.status not in (200, 204):
        raise CommandError(f"the server at {server.place} refuses: {answer.detail}")
