"""The checks that open the token store: is it ours and writable, and what of the grant is in it."""

import os
import stat
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from proxy.cli.checks import Finding, Grade, check_upstream_call
from proxy.cli.local import open_account, store_name
from proxy.cli.session import Session
from proxy.cli.terminal import duration
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import GrantEnded, Problem, StoreError, TokenEndpointError
from proxy.grant.stores.folder import user_name


async def check_store(session: Session) -> AsyncGenerator[Finding, None]:
    """Check that the store can be read and written, and by nobody else."""
    tokens, accounts = session.config.tokens, session.config.accounts
    kept = [name for name, one in accounts.items() if one.kind == "authorization_code"]
    if not kept and tokens.store == "file":
        yield Finding(Grade.SKIPPED, "not used: nothing of these credentials is stored")
        return
    folder = None
    if tokens.store == "file":
        folder = tokens.path or session.state_folder
        for finding in _check_folder(folder):
            yield finding
            if finding.grade is Grade.BAD:
                return
    try:
        async with open_account(session, kept[0] if kept else DEFAULT_ACCOUNT) as account:
            if folder is None or folder.exists():
                yield Finding(Grade.GOOD, f"readable: {store_name(session)}")
            for warning in account.status().store_warnings:
                yield Finding(Grade.NOTE, warning)
    except StoreError as error:
        yield Finding(Grade.BAD, f"{error.where}: {error.what}", error.remedy)
    if not tokens.encryption_keys and tokens.store == "redis":
        yield Finding(
            Grade.NOTE,
            "records lie in Redis unencrypted",
            "set tokens.encryption_key_file, the same on every replica",
        )


def _check_folder(folder: Path) -> list[Finding]:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return [Finding(Grade.BAD, f"{existing} is not a folder", "set tokens.path to a folder")]
    if not os.access(existing, os.W_OK | os.X_OK):
        holder = existing.stat().st_uid
        remedy = "make it writable (chmod u+wx, or the mount)"
        if holder != os.geteuid():
            remedy = "run srproxy as that user, or set tokens.path to a folder of this user's own"
        return [
            Finding(
                Grade.BAD,
                f"{existing} belongs to {user_name(holder)}, and may not be written by this user",
                remedy,
            )
        ]
    if existing != folder:
        return [Finding(Grade.GOOD, f"{folder} will be made at the first login")]
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".check-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return [
            Finding(
                Grade.BAD,
                f"{folder} cannot be written: {error.strerror}",
                "free space, or mount it writable: a refresh is not begun without",
            )
        ]
    if stat.S_IMODE(folder.stat().st_mode) & 0o007:
        return [
            Finding(
                Grade.NOTE,
                f"{folder} is open to every user of this machine",
                f"chmod 0700 {folder}, unless it is a mount point with a private folder in it",
            )
        ]
    holder = folder.stat().st_uid
    owner = user_name(holder)
    if holder != os.geteuid():
        return [
            Finding(
                Grade.NOTE,
                f"{folder} belongs to {owner}, and this runs as {user_name(os.geteuid())}",
                f"run srproxy as {owner} (sudo -u '{owner}' srproxy …): what another user writes "
                "there, that one cannot read",
            )
        ]
    return [Finding(Grade.GOOD, f"{folder} is writable, and belongs to {owner}")]


async def check_credentials(
    session: Session, *, is_stored: bool = True, is_reachable: bool = True
) -> AsyncGenerator[Finding, None]:
    """Look at each account's credential, and make one call with it.

    Without the store no grant is looked at, without the network nothing is called: those faults
    were told before.
    """
    for name, configured in session.config.accounts.items():
        if not is_stored and configured.kind == "authorization_code":
            yield Finding(Grade.SKIPPED, f"{name}: not looked at; the token store comes first")
            continue
        checks = _check_account(session, name, is_reachable=is_reachable)
        async with aclosing(checks):
            async for finding in checks:
                if name == DEFAULT_ACCOUNT:
                    yield finding
                else:
                    yield replace(finding, what=f"{name}: {finding.what}")


async def _check_account(
    session: Session, name: str, *, is_reachable: bool
) -> AsyncGenerator[Finding, None]:
    login = "run srproxy login" + ("" if name == DEFAULT_ACCOUNT else f" --account {name}")
    try:
        async with open_account(session, name) as account:
            status = account.status()
            shown = status.as_json(session.clock.now())
            if status.state == "login_required":
                text = f"login required ({status.reason}): {status.detail}"
                yield Finding(Grade.LOGIN, text, login)
                return
            for finding in _age(shown.get("refresh_token")):
                yield finding
            if missing := status.missing_scopes:
                text = f"oauth.scopes asks for what the grant does not have: {' '.join(missing)}"
                yield Finding(Grade.NOTE, text, f"{login} again, to grant it")
            if not is_reachable:
                yield Finding(Grade.SKIPPED, "not tried; the network comes first")
                return
            credential = await account.credential()
            kind = session.config.accounts[name].kind
            if kind != "smart_token":
                yield Finding(Grade.GOOD, "an access token is at hand")
            yield await check_upstream_call(session, kind, credential.lines)
    except (StoreError, GrantEnded, TokenEndpointError) as error:
        yield Finding(Grade.BAD, str(getattr(error, "detail", error)))
    except Problem as problem:
        is_login = problem.code == "login_required"
        grade, remedy = (Grade.LOGIN, login) if is_login else (Grade.BAD, "")
        yield Finding(grade, problem.detail, remedy)


def _age(refresh: dict[str, object] | None) -> list[Finding]:
    left = (refresh or {}).get("expires_in")
    if not isinstance(left, (int, float)):
        return []
    if left <= 7 * 86400:
        return [
            Finding(
                Grade.NOTE,
                f"the grant ends in {duration(left)} unless it is renewed",
                "keep the proxy running: it renews by itself",
            )
        ]
    return [Finding(Grade.GOOD, f"authorized; the grant would live {duration(left)} without us")]
