"""`srproxy sandbox`: an embedded SmartRecruiters and the proxy in front of it, in one process.

The grant lives in a private folder that is removed at the end; nothing leaves the machine.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import yaml

from proxy.cli.exits import CommandError, Exit, tell
from proxy.cli.help import examples
from proxy.cli.hosting import make_app, prepare, serve_until_stopped
from proxy.cli.loop import Asked, asked_by_signals, fast_loop
from proxy.cli.session import (
    SANDBOX_FILE,
    SANDBOX_PREFIX,
    Session,
    with_session,
)
from proxy.cli.signals import end_quietly_on_signals
from proxy.errors import StartError
from proxy.system.listeners import free_port

if TYPE_CHECKING:
    from proxy.app import App
    from proxy.sandbox import Sandbox

PORT = 8080
SANDBOX_PORT = 8081
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - of a SmartRecruiters that is not one
LIFETIME = 1799


@click.command(
    epilog=examples(
        "srproxy sandbox --auto-approve",
        "srproxy sandbox --access-token-lifetime 40    # watch a refresh happen",
        "srproxy sandbox --operations                  # what it answers",
    )
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port of the proxy; 0 picks a free one.",
)
@click.option(
    "--sandbox-port",
    type=click.IntRange(0, 65535),
    default=SANDBOX_PORT,
    show_default=True,
    help="Port of the embedded SmartRecruiters; 0 picks a free one.",
)
@click.option("--auto-approve", is_flag=True, help="Log in at once; no browser is needed.")
@click.option(
    "--access-token-lifetime",
    type=click.IntRange(1, 86400),
    default=LIFETIME,
    show_default=True,
    metavar="S",
    help="Seconds that an access token lives.",
)
@click.option(
    "--operations",
    is_flag=True,
    help="List what the embedded SmartRecruiters answers, with the scopes needed, and end.",
)
@with_session
def sandbox(
    session: Session,
    operations: bool,
    port: int,
    sandbox_port: int,
    auto_approve: bool,
    access_token_lifetime: int,
) -> Exit:
    """Run the whole product without an account: the proxy, and a SmartRecruiters behind it.

    With -c FILE (or SRPROXY_CONFIG) its sections listen, access and log hold as well; the app, the
    endpoints and the token store are the sandbox's own.
    """
    if operations:
        _list_operations()
        return Exit.DONE
    session.search = False
    end_quietly_on_signals()
    with asyncio.Runner(loop_factory=fast_loop) as runner, _private_folder() as folder:
        runner.run(
            _sandbox(session, folder, port, sandbox_port, auto_approve, access_token_lifetime)
        )
    return Exit.DONE


def _list_operations() -> None:
    from proxy.sandbox import operations

    for operation in operations():
        scopes = " or ".join(operation.scopes)
        click.echo(f"{operation.method:6} {operation.path:64} {scopes}".rstrip())


@contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=SANDBOX_PREFIX) as folder:
        yield Path(folder)


async def _sandbox(
    session: Session,
    folder: Path,
    port: int,
    sandbox_port: int,
    auto_approve: bool,
    access_token_lifetime: int,
) -> None:
    with asked_by_signals() as asked:
        await _run_sandbox(
            session, folder, port, sandbox_port, auto_approve, access_token_lifetime, asked
        )


async def _run_sandbox(
    session: Session,
    folder: Path,
    port: int,
    sandbox_port: int,
    auto_approve: bool,
    access_token_lifetime: int,
    asked: Asked,
) -> None:
    from proxy.sandbox import Sandbox, SandboxSettings  # slow to import, and not for --help

    port = port or free_port()
    redirect_uri = f"http://localhost:{port}/-/callback"
    embedded = Sandbox(
        SandboxSettings(
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            redirect_uris=(redirect_uri,),
            auto_approve=auto_approve,
            access_token_lifetime=access_token_lifetime,
        )
    )
    try:
        await embedded.start("localhost", sandbox_port)
    except OSError as error:
        raise CommandError(
            f"port {sandbox_port} for the embedded SmartRecruiters cannot be had "
            f"({error.strerror or error}); choose another: --sandbox-port 0 picks a free one"
        ) from error
    try:
        session.flags = _flags(embedded, port, redirect_uri, folder)
        prepare(session)
        app = make_app(session)
        try:
            await app.start()
        except StartError as error:
            raise CommandError(f"{error}, or by --port (0 picks a free one)") from error
        try:
            _leave_configuration(session, folder, app.base_url)
            await _serve(session, app, embedded, asked, auto_approve=auto_approve)
        finally:
            await app.stop()
    finally:
        await embedded.close()


def _flags(embedded: "Sandbox", port: int, redirect_uri: str, folder: Path) -> dict[str, str]:
    return {
        "listen.port": str(port),
        "oauth.client_id": CLIENT_ID,
        "oauth.client_secret": CLIENT_SECRET,
        "oauth.redirect_uri": redirect_uri,
        "oauth.authorization_endpoint": embedded.authorization_endpoint,
        "oauth.token_endpoint": embedded.token_endpoint,
        "upstream.url": embedded.origin,
        "tokens.store": "file",
        "tokens.path": str(folder),
    }


def _leave_configuration(session: Session, folder: Path, base_url: str) -> None:
    """Write down what other terminals need to find this sandbox; the folder is ours alone."""
    keys = session.config.access.api_keys
    nested: dict[str, dict[str, object]] = {}
    for key, value in session.flags.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    listen = session.config.listen
    nested["listen"]["host"] = listen.host
    if listen.unix_socket is not None:
        nested["listen"]["unix_socket"] = str(listen.unix_socket)
    nested["listen"]["port"] = urlsplit(base_url).port
    if keys:
        nested["access"] = {
            "api_keys": [
                {"name": key.name, "key": key.key.reveal()} for key in keys if key.key is not None
            ]
        }
    (folder / SANDBOX_FILE).write_text(yaml.safe_dump(nested))


async def _serve(
    session: Session,
    app: "App",
    embedded: "Sandbox",
    asked: Asked,
    *,
    auto_approve: bool,
) -> None:
    serving = asyncio.ensure_future(serve_until_stopped(session, app, asked))
    try:
        if auto_approve:
            await _log_in(session, app.base_url)
        click.echo(_next_steps(session, app.base_url, embedded.origin, auto_approve))
        await serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _log_in(session: Session, base_url: str) -> None:
    from proxy.sandbox import approve_login

    keys = [key.key.reveal() for key in session.config.access.api_keys if key.key is not None]
    status = await approve_login(base_url, keys[0] if keys else None)
    if status != 200:
        tell(f"the automatic login did not succeed (status {status}); open {base_url}/-/")


def _next_steps(session: Session, base_url: str, origin: str, authorized: bool) -> str:
    key = " -H 'X-API-Key: …'" if session.config.access.api_keys else ""
    call = f"curl{key} {base_url}"
    first = (
        f"Authorized already. Look at {base_url}/-/ in a browser, if you like."
        if authorized
        else f"Open {base_url}/-/login in a browser and click Authorize."
    )
    return f"""
The proxy           {base_url}
SmartRecruiters     {origin}   (embedded, with sample data)

1. {first}
2. Then, in another terminal, call the API as your programs will:

   {call}/users/me
   {call}/candidates
   {call}/jobs

   srproxy status --sandbox     (as well: token, wait, run, login, logout)

Ctrl-C stops it; nothing is kept.
"""
