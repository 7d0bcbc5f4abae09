"""The proxy in this very process: how commands start the App, watch it and stop it."""

import asyncio
import atexit
import getpass
import logging
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.cli.exits import CommandError, tell
from proxy.cli.local import store_name
from proxy.cli.loop import Asked, fast_loop
from proxy.cli.server import Server, server_at
from proxy.cli.session import Session
from proxy.config import Config
from proxy.config.names import DEFAULT_ACCOUNT, login_path
from proxy.errors import ConfigurationError
from proxy.system import process, systemd
from proxy.system.loopback import is_loopback
from proxy.telemetry import logs
from proxy.telemetry.audit import audit, open_audit_file
from proxy.telemetry.log_writer import LogWriter
from proxy.telemetry.notify import Health, Notifier

if TYPE_CHECKING:
    from proxy.app import App
    from proxy.grant.source import Account

logger = logging.getLogger(__name__)

STDERR = 2


def prepare(session: Session, *, level: str | None = None) -> None:
    """Set the process up for holding secrets and serving: before anything is loaded or opened."""
    process.harden()
    config = session.config
    writer = LogWriter(STDERR)
    atexit.register(writer.close)
    logs.configure(level or config.log.level, config.log.format, writer, sample=config.log.sample)
    try:
        keep_audit(config)
    except OSError as error:
        path, why = config.log.audit_file, error.strerror
        raise CommandError(f"log.audit_file: {path} cannot be appended to: {why}") from None
    logs.catch_uncaught()
    for warning in process.environment_warnings(session.environ):
        logger.warning("environment %s", warning)
    for warning in session.loaded.exposed():
        logger.warning("exposed %s", warning)
    if clear := keys_in_clear(config):
        logger.warning("exposed %s", clear)
    # Twice for the upstream's: an upload holds its socket once more (see UpstreamConnection).
    connections = config.listen.max_connections + 2 * config.upstream.max_connections
    if (shortage := process.allow_descriptors(connections)) is not None:
        logger.warning("descriptors %s", shortage)


def keys_in_clear(config: Config) -> str | None:
    """Tell of API keys that cross a network unencrypted; an https redirect URI means a front."""
    host = config.listen.host
    if host is None or is_loopback(host) or config.listen.tls.cert_file is not None:
        return None
    if not config.access.api_keys or config.oauth.redirect_uri.startswith("https:"):
        return None
    return (
        f"listen.host {host} is beyond loopback without TLS, and API keys cross the network in "
        "clear: set listen.tls.cert_file and key_file, or put a TLS front before it"
    )


def keep_audit(config: Config) -> None:
    """Append audit lines to `log.audit_file`, if there is to be one; OSError where it cannot be."""
    if config.log.audit_file is not None:
        atexit.register(open_audit_file(config.log.audit_file).close)


def audit_here(session: Session, action: str, outcome: str) -> None:
    """Write the audit line of what a command did by itself, without the server."""
    try:
        keep_audit(session.config)
    except OSError as error:
        tell(f"log.audit_file cannot be appended to: {error.strerror}")
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # no passwd entry
        who = str(os.getuid())
    audit(action, who, None, outcome)


def make_app(session: Session, config: Config | None = None, record: Path | None = None) -> "App":
    """Build the App of this configuration; nothing is started."""
    with process.collector_paused():
        from proxy.app import App  # the largest import: only for those who serve

    return App(
        config or session.config,
        session.clock,
        state_folder=session.state_folder,
        environ=session.environ,
        handed_over=systemd.handed_over(session.environ, os.getpid()),
        record=record,
        load=lambda: replace(session).config,
    )


@contextmanager
def hosted(session: Session, *, drain: bool = False) -> Iterator[Server]:
    """Run the proxy beside this command, in a thread with an event loop of its own.

    At the end it is stopped; with `drain` only once what is in flight has finished. The thread is
    not a daemon: whatever ends the command, a refresh under way is stored.
    """
    prepare(session, level="warning")
    app = make_app(session)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        await app.start()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        await (app.finish() if drain else app.stop())

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=fast_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        started.result()
        own = server_at(session.config, app.base_url)
        own.presence()
        yield own
    finally:
        loop, stop = started.result()  # waited for: a signal may have come before it had started
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def serve_until_stopped(session: Session, app: "App", asked: Asked) -> None:
    """Serve a started App until asked to stop, telling systemd and `notify.command` on the way."""
    notify_socket = session.environ.get("NOTIFY_SOCKET")
    async with watched(session.config, app, session), _reloading(app, asked):
        process.tune()
        where = ", ".join(app.addresses)
        systemd.notify(notify_socket, systemd.READY, f"listening on {where}")
        await asked.stop.wait()
        systemd.notify(notify_socket, systemd.STOPPING)
        await app.run_until(asked.stop, asked.force)


@asynccontextmanager
async def _reloading(app: "App", asked: Asked) -> AsyncIterator[None]:
    """Reload each time that it is asked for by a signal."""

    async def reload_when_asked() -> None:
        while True:
            await asked.reload.wait()
            asked.reload.clear()
            try:
                await app.reload()
            except ConfigurationError as error:
                audit("reload", None, None, "configuration_error")
                for problem in error.problems:
                    logger.error("reload_refused %s", problem)  # noqa: TRY400 - no traceback
            except Exception:
                logger.exception("reload_failed; what was configured before goes on")
            else:
                audit("reload", None, None, "ok")

    task = asyncio.get_running_loop().create_task(reload_when_asked())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def watched(config: Config, app: "App", session: Session) -> AsyncIterator[None]:
    """Run `notify.command` on changes of the grants, if there is one."""
    if config.notify.command is None:
        yield
        return
    notifier = Notifier(
        config.notify.command,
        {name: partial(health, manager) for name, manager in app.accounts.items()},
        session.clock,
        login_url=lambda name: f"{app.base_url}{login_path(name)}",
        environ=session.environ,
    )
    unsubscribe = [manager.subscribe(notifier.changed) for manager in app.accounts.values()]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(notifier.run())
        try:
            yield
        finally:
            for stop_watching in unsubscribe:
                stop_watching()
            task.cancel()


def health(manager: "Account") -> Health:
    """Return what the notifier needs to know of a grant."""
    status = manager.status()
    return Health(status.needed, status.reason, status.refresh_expires_at)


def announce(app: "App", session: Session) -> None:
    """Say at the start what runs: where, by which configuration, and in which state."""
    config = session.config
    keys = len(config.access.api_keys)
    grants = []
    for name, manager in app.accounts.items():
        status = manager.status()
        grants.append(f"{name}: {status.state.replace('_', ' ')}")
        if status.state == "login_required":
            named = "" if name == DEFAULT_ACCOUNT else f" --account {name}"
            grants[-1] += f", open {app.base_url}{login_path(name)} or run srproxy login{named}"
    facts = {
        "listening": f"{app.base_url} ({', '.join(app.addresses)})",
        "config": str(session.loaded.file or "environment"),
        "upstream": config.upstream.url,
        "store": store_name(session),
        "callers": f"{keys} API key{'s' if keys > 1 else ''}" if keys else "whoever reaches it",
        "grant": "; ".join(grants),
    }
    if session.terminal.interactive and config.log.format != "json":
        # On a terminal: a table in place of a log line.
        session.terminal.say(f"smartrecruiters-proxy {__version__}")
        for key, value in facts.items():
            session.terminal.say(f"  {session.terminal.style(key.ljust(9), 'cyan')}  {value}")
        return
    logger.info("started %s", " ".join(f"{key}={value!r}" for key, value in facts.items()))
