"""`srproxy login`: the one-time authorization, on any kind of machine.

Works through the running server, or starts the proxy itself for as long as it takes. The browser
(opened here, or anywhere by the printed address), a pasted address and the server's own page race
each other; whoever finishes first ends the command.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import click

from proxy.cli.browser import has_browser, open_browser
from proxy.cli.exits import CommandError, Exit
from proxy.cli.grant import KINDS
from proxy.cli.help import examples
from proxy.cli.server import Presence, Server, find_server, login_page, server_at
from proxy.cli.session import Session, account_option, run_async, sandbox_option, with_session
from proxy.cli.terminal import clock_face
from proxy.config import Config
from proxy.config.names import DEFAULT_ACCOUNT, login_path
from proxy.system import process

# As long as a `state` lives (contract: short-lived; ten minutes).
WAIT = 600.0
INTERVAL = 0.3
# For the server to begin telling of failures; the login does not depend on it.
LISTEN = 3.0
LONGEST_LINE = 65536
STDIN = 0


@click.command(
    epilog=examples(
        "srproxy login",
        "docker exec -it srproxy srproxy login --paste",
        environ=("BROWSER    the browser to open",),
    )
)
@click.option("--no-browser", is_flag=True, help="Print the address; open no browser.")
@click.option(
    "--paste",
    is_flag=True,
    help="Take the final address from the terminal too, for a browser that is elsewhere.",
)
@click.option("--force", is_flag=True, help="Log in without asking, though authorized already.")
@account_option
@sandbox_option
@with_session
def login(session: Session, no_browser: bool, paste: bool, force: bool, account: str) -> Exit:
    """Authorize once: open the browser, or print the address to open.

    Works with the server running (through it) and without it (the proxy is started for as long as
    the login takes). With --paste the browser may be on any machine: it ends on a page that cannot
    load, and the address of that page is what you paste here. On a terminal you are asked first
    where the account is authorized already.
    """
    process.harden()
    _check_kind(session.config_for_server, account)
    if _has_no_page(session.config_for_server) and not paste:
        session.terminal.say("Only a Unix socket is listened on, so the login goes by pasting.\n")
        paste = True
    browser = not no_browser and not paste and has_browser(session.environ)
    ask = not force and sys.stdin.isatty()
    return run_async(_login(session, account, browser=browser, paste=paste, ask=ask))


def _check_kind(config: Config, account: str) -> None:
    """Refuse where nobody logs in: the page would say so, and the waiting never end."""
    if config.accounts[account].kind != "authorization_code":
        means = KINDS[config.accounts[account].kind]
        raise CommandError(f"nobody logs in to the account {account}: it has {means}")


def _has_no_page(config: Config) -> bool:
    """Tell whether no browser can reach us: no port, and no TLS front in front of the socket."""
    return config.listen.host is None and config.oauth.redirect_uri.startswith("http:")


async def _login(
    session: Session, account: str, *, browser: bool, paste: bool, ask: bool = False
) -> Exit:
    async with _some_server(session) as (server, page):
        if ask and not _is_wanted(await server.account(account)):
            return Exit.DONE
        page = page.removesuffix(login_path(DEFAULT_ACCOUNT)) + login_path(account)
        return await _Login(session, server, page, account).run(browser=browser, paste=paste)


@asynccontextmanager
async def _some_server(session: Session) -> AsyncIterator[tuple[Server, str]]:
    """Give the running server, or else one of our own, and the address of its login page."""
    config = session.config_for_server
    who, running = await find_server(config)
    if who is Presence.STRANGER and running is not None:
        raise CommandError(
            f"{running.place} is taken by another program, so the callback could not reach "
            "us; stop it, or change listen.port (the redirect URI's port must follow)"
        )
    if running is not None:
        yield running, login_page(config)
        return
    from proxy.cli.hosting import make_app, prepare  # only where none runs

    prepare(session, level="warning")
    app = make_app(session)
    await app.start()
    try:
        own = server_at(session.config, app.base_url)
        await own.presence()
        yield own, login_page(session.config, app.base_url)
    finally:
        # The browser is still being told how it ended.
        await app.finish()


def _is_wanted(account: Mapping[str, Any]) -> bool:
    """Ask whether to log in, where calls go through as it is."""
    if account.get("state") != "authorized":
        return True
    owner = f" as {account['owner']}" if account.get("owner") else ""
    question = f"{account.get('name')} is authorized already{owner}. Log in again?"
    return click.confirm(question, err=True)


@dataclass
class _Login:
    session: Session
    server: Server
    page: str
    account: str

    async def run(self, *, browser: bool, paste: bool) -> Exit:
        began = self.session.clock.now()
        before = _grant(await self.server.account(self.account))
        listening = asyncio.Event()
        ways: list[asyncio.Future[Exit]] = [asyncio.ensure_future(self._hear_of_failure(listening))]
        try:
            # Before there is anything to open: what fails at once is heard as well.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listening.wait(), LISTEN)
            return await self._race(ways, before, began, browser=browser, paste=paste)
        finally:
            await _give_up(ways)
            self.session.terminal.clear()

    async def _race(
        self,
        ways: list[asyncio.Future[Exit]],
        before: Mapping[str, Any],
        began: float,
        *,
        browser: bool,
        paste: bool,
    ) -> Exit:
        until = self.session.clock.monotonic() + WAIT
        terminal = self.session.terminal
        if paste:
            until = await self._ask_for_paste(until)
        else:
            terminal.say(f"Open this address in a browser on this machine:\n\n  {self.page}\n")
            if self.session.config_for_server.access.api_keys:
                terminal.say("The browser asks for a key: any user name, an API key as password.")
            if browser:
                open_browser(self.page)
            elif told := _elsewhere(self.session.environ, self.page):
                terminal.say(told)
        # Where somebody types, a line that redraws itself would eat the typing.
        ways.append(asyncio.ensure_future(self._watch(before, began, until, show=not paste)))
        if paste:
            ways.append(asyncio.ensure_future(self._take_pasted()))
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def _ask_for_paste(self, until: float) -> float:
        answer = await self.server.call("POST", login_path(self.account), {})
        url = answer.body.get("authorization_url")
        if answer.status != 200 or not isinstance(url, str):
            raise CommandError(f"the login could not begin: {answer.detail}")
        say = self.session.terminal.say
        say(f"Open this address in a browser, on any machine:\n\n  {url}\n")
        if not _has_no_page(self.session.config_for_server):
            say(f"(or, on the proxy's own machine: {self.page})\n")
        say(
            "Authorize there. The browser then goes to an address that begins with\n\n"
            f"  {self.session.config_for_server.oauth.redirect_uri}\n\n"
            "and may say that it cannot load it. Paste that address here within 30 seconds of "
            "authorizing, and press Enter:"
        )
        expires_in = answer.body.get("expires_in")
        if isinstance(expires_in, (int, float)):
            until = min(until, self.session.clock.monotonic() + float(expires_in))
        say(f"(waiting {clock_face(until - self.session.clock.monotonic())} minutes)")
        return until

    async def _watch(
        self, before: Mapping[str, Any], began: float, until: float, *, show: bool
    ) -> Exit:
        """Wait until the server has a grant of a login that it did not have before."""
        clock, terminal = self.session.clock, self.session.terminal
        where = urlsplit(self.session.config_for_server.oauth.redirect_uri)
        failures = 0
        while (left := until - clock.monotonic()) > 0:
            try:
                now = _grant(await self.server.account(self.account))
                failures = 0
            except OSError as error:
                failures += 1
                if failures > 20:
                    raise CommandError(f"the server went away: {error}") from error
                now = before
            if _is_login(before, now, began):
                return self._done(now)
            if show:
                at = f"{where.scheme}://{where.netloc}{where.path}"
                terminal.progress(f"waiting at {at}, {clock_face(left)} left")
            await clock.sleep(INTERVAL)
        raise CommandError(f"nobody authorized within {WAIT / 60:.0f} minutes; run it again")

    async def _hear_of_failure(self, listening: asyncio.Event) -> Exit:
        """Wait until the server tells that a login here ended without a grant.

        What belongs to no login of a browser's is not told: noise must not end the waiting.
        """
        while True:
            with contextlib.suppress(OSError, ValueError):
                async for event, told in self.server.events():
                    listening.set()
                    if event == "login" and told.get("account") == self.account:
                        raise CommandError(f"the login did not succeed: {told.get('detail')}")
            await self.session.clock.sleep(INTERVAL)

    async def _take_pasted(self) -> Exit:
        """Take addresses from stdin until one of them completes the login."""
        refused: str | None = None
        question: str | None = None
        lines = _lines()
        while (line := await lines.get()) is not None:
            pasted = line.strip()
            if not pasted:
                continue
            fields = {"url": pasted}
            if question is not None:
                fields = {"replace" if pasted.lower() in ("y", "yes") else "keep": question}
            answer = await self.server.call("POST", "/-/login/complete", fields)
            if answer.status == 200:
                return self._done(_grant(await self.server.account(self.account)))
            refused, question = answer.detail, answer.body.get("question")
            if answer.body.get("login_ended"):
                raise CommandError(refused)
            if question is not None:
                self.session.terminal.say(f"{refused}\nType yes to replace it, or no to keep it:")
            else:
                self.session.terminal.say(f"That did not work: {refused}\nPaste another address:")
        if refused is not None:
            raise CommandError(refused)
        # Nothing was pasted and nothing will be (no terminal): the page may still do it.
        self.session.terminal.say("(no terminal to paste into; waiting for the browser)")
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a future that nobody resolves")

    def _done(self, grant: Mapping[str, Any]) -> Exit:
        scopes = " ".join(grant["scopes"] or ())
        mark = self.session.terminal.mark("ok")
        told = f" Scopes: {scopes}." if scopes else ""
        self.session.terminal.say(f"{mark} Authorized.{told} The proxy keeps the grant alive.")
        return Exit.DONE


def _elsewhere(environ: Mapping[str, str], page: str) -> str:
    """Say how a browser on the person's own machine gets here, where they came by ssh."""
    connection = environ.get("SSH_CONNECTION", "").split()
    if not connection or has_browser(environ):
        return ""
    port = urlsplit(page).port
    this = connection[2] if len(connection) == 4 else "this-machine"
    return (
        "You are here by ssh, and the browser is elsewhere. Either, on your own machine, run\n\n"
        f"  ssh -L {port}:localhost:{port} {this}\n\n"
        "and open the address above there; or run srproxy login --paste here instead."
    )


def _grant(account: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "state": account.get("state"),
        "scopes": account.get("scopes"),
        "granted_at": account.get("granted_at"),
        "generation": account.get("generation"),
        "refreshed": account.get("last_refresh") is not None,
    }


def _is_login(before: Mapping[str, Any], now: Mapping[str, Any], began: float) -> bool:
    """Tell a login from a refresh, an import, and a grant that became well again by itself.

    A login alone sets the time of the grant. An import brings that of an earlier login, and has
    been refreshed; so a login is told even where the clock was set back meanwhile.
    """
    granted_at = now["granted_at"]
    if now["state"] == "login_required" or granted_at is None:
        return False
    if granted_at == before["granted_at"]:
        # Told in whole seconds: a login may follow another within one.
        return not now["refreshed"] and now["generation"] != before["generation"]
    at = datetime.fromisoformat(granted_at).timestamp()
    return not now["refreshed"] or at >= began - 1


async def _give_up(ways: Sequence[asyncio.Future[Exit]]) -> None:
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


def _lines() -> asyncio.Queue[str | None]:
    """Read stdin's lines beside everything else; None at its end.

    A thread that nobody waits for, over the bare descriptor: a reader blocked on `sys.stdin` holds
    a lock that the interpreter wants at its end.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the command has ended
            loop.call_soon_threadsafe(queue.put_nowait, line)

    def read() -> None:
        pending = b""
        while True:
            try:
                data = os.read(STDIN, 4096)
            except OSError:
                data = b""
            pending += data
            *lines, pending = pending.split(b"\n")
            for line in lines:
                put(line.decode(errors="replace"))
            if not data or len(pending) > LONGEST_LINE:
                if pending:
                    put(pending.decode(errors="replace"))
                put(None)
                return

    threading.Thread(target=read, daemon=True).start()
    return queue
