"""`srproxy login`: the one-time authorization, on any kind of machine.

Works through the running server, or starts the proxy itself for as long as it takes. The browser
(opened here, or anywhere by the printed address), a pasted address and the server's own page race
each other; whoever finishes first ends the command.
"""

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from proxy.cli.browser import has_browser, open_browser
from proxy.cli.exits import CommandError, Exit
from proxy.cli.grant import CREDENTIALS
from proxy.cli.help import examples
from proxy.cli.server import Presence, Server, find_server, login_page
from proxy.cli.session import Session, account_option, sandbox_option, with_session
from proxy.cli.terminal import clock_face
from proxy.config import Config
from proxy.config.names import DEFAULT_ACCOUNT, login_path
from proxy.system import process

# As long as a `state` lives (rule 1 of the grant).
WAIT = 600.0
INTERVAL = 0.3
# For the server to begin telling of failures; the login does not depend on it.
LISTEN = 3.0
LONGEST_LINE = 65536
STDIN = 0
# Failed looks in a row, INTERVAL apart, after which the server is gone.
MOST_SILENT = 20

T = TypeVar("T")


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
    return _login(session, account, browser=browser, paste=paste, ask=ask)


def _check_kind(config: Config, account: str) -> None:
    """Refuse where nobody logs in: the page would say so, and the waiting never end."""
    if config.accounts[account].kind != "authorization_code":
        means = CREDENTIALS[config.accounts[account].kind]
        raise CommandError(f"nobody logs in to the account {account}: it uses {means}")


def _has_no_page(config: Config) -> bool:
    """Tell whether no browser can reach us: no port, and no TLS front in front of the socket."""
    return config.listen.host is None and config.oauth.redirect_uri.startswith("http:")


def _login(
    session: Session, account: str, *, browser: bool, paste: bool, ask: bool = False
) -> Exit:
    with _some_server(session) as (server, page):
        if ask and not _is_wanted(server.account(account)):
            return Exit.DONE
        page = page.removesuffix(login_path(DEFAULT_ACCOUNT)) + login_path(account)
        return _Login(session, server, page, account).run(browser=browser, paste=paste)


@contextmanager
def _some_server(session: Session) -> Iterator[tuple[Server, str]]:
    """Give the running server, or else one of our own, and the address of its login page."""
    config = session.config_for_server
    who, running = find_server(config)
    if who is Presence.STRANGER and running is not None:
        raise CommandError(
            f"{running.place} is taken by another program, so the callback could not reach "
            "us; stop it, or change listen.port (the redirect URI's port must follow)"
        )
    if running is not None:
        yield running, login_page(config)
        return
    from proxy.cli.hosting import hosted  # only where none runs

    # Drained: at the end the browser is still being told how it ended.
    with hosted(session, drain=True) as own:
        yield own, login_page(session.config, own.base_url)


def _is_wanted(account: Mapping[str, Any]) -> bool:
    """Ask whether to log in, where calls go through as it is."""
    if account.get("state") != "authorized":
        return True
    owner = f" as {account['owner']}" if account.get("owner") else ""
    question = f"{account.get('name')} is authorized already{owner}. Log in again?"
    return click.confirm(question, err=True)


class _Login:
    """Waits for whichever way is first: the grant appears, a failure is told, a line is pasted."""

    def __init__(self, session: Session, server: Server, page: str, account: str) -> None:
        self.session = session
        self.server = server
        self.page = page
        self.account = account
        # What threads have heard: a failure's text, or a line of stdin (None: its end).
        self._failures: queue.Queue[str] = queue.Queue()
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._ended = False
        self._refused: str | None = None
        self._question: str | None = None

    def run(self, *, browser: bool, paste: bool) -> Exit:
        began = self.session.clock.now()
        before = _grant(self.server.account(self.account))
        listening = threading.Event()
        _in_background(self._hear_of_failures, listening)
        try:
            # Before there is anything to open: what fails at once is heard as well.
            listening.wait(LISTEN)
            until = self._begin(browser=browser, paste=paste)
            return self._wait(before, began, until, paste=paste)
        finally:
            self._ended = True
            self.server.end_events()
            self.session.terminal.clear()

    def _begin(self, *, browser: bool, paste: bool) -> float:
        """Say what to open; return until when it is waited for."""
        until = time.monotonic() + WAIT
        if paste:
            until = self._ask_for_paste(until)
            _in_background(_read_lines, self._lines)
            return until
        terminal = self.session.terminal
        terminal.say(f"Open this address in a browser on this machine:\n\n  {self.page}\n")
        if self.session.config_for_server.access.api_keys:
            terminal.say("The browser asks for a key: any user name, an API key as password.")
        if browser:
            open_browser(self.page)
        elif told := _elsewhere(self.session.environ, self.page):
            terminal.say(told)
        return until

    def _ask_for_paste(self, until: float) -> float:
        answer = self.server.call("POST", login_path(self.account), {})
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
            until = min(until, time.monotonic() + float(expires_in))
        say(f"(waiting {clock_face(until - time.monotonic())} minutes)")
        return until

    def _wait(self, before: Mapping[str, Any], began: float, until: float, *, paste: bool) -> Exit:
        """Wait until the server has a grant of a login that it did not have before."""
        terminal = self.session.terminal
        where = urlsplit(self.session.config_for_server.oauth.redirect_uri)
        silent = 0
        while (left := until - time.monotonic()) > 0:
            try:
                now = _grant(self.server.account(self.account))
                silent = 0
            except OSError as error:
                silent += 1
                if silent > MOST_SILENT:
                    raise CommandError(f"the server went away: {error}") from error
                now = before
            if _is_login(before, now, began):
                return self._done(now)
            with contextlib.suppress(queue.Empty):
                raise CommandError(f"the login did not succeed: {self._failures.get_nowait()}")
            if not paste:  # a line that redraws itself would eat what somebody types
                at = f"{where.scheme}://{where.netloc}{where.path}"
                terminal.progress(f"waiting at {at}, {clock_face(left)} left")
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=INTERVAL)
                if (done := self._take_pasted(line)) is not None:
                    return done
        raise CommandError(f"nobody authorized within {WAIT / 60:.0f} minutes; run it again")

    def _hear_of_failures(self, listening: threading.Event) -> None:
        """Put down what the server tells of logins here that ended without a grant.

        What belongs to no login of a browser's is not told: noise must not end the waiting.
        """
        while not self._ended:
            with contextlib.suppress(OSError, ValueError):
                for event, told in self.server.events():
                    listening.set()
                    if event == "login" and told.get("account") == self.account:
                        self._failures.put(str(told.get("detail")))
            time.sleep(INTERVAL)

    def _take_pasted(self, line: str | None) -> Exit | None:
        """Try a pasted line, an address or the answer to a question; None where it ends nothing."""
        say = self.session.terminal.say
        if line is None:
            if self._refused is not None:
                raise CommandError(self._refused)
            # Nothing was pasted and nothing will be (no terminal): the page may still do it.
            say("(no terminal to paste into; waiting for the browser)")
            return None
        pasted = line.strip()
        if not pasted:
            return None
        fields = {"url": pasted}
        if self._question is not None:
            choice = "replace" if pasted.lower() in ("y", "yes") else "keep"
            fields = {choice: self._question}
        answer = self.server.call("POST", "/-/login/complete", fields)
        if answer.status == 200:
            return self._done(_grant(self.server.account(self.account)))
        self._refused, self._question = answer.detail, answer.body.get("question")
        if answer.body.get("login_ended"):
            raise CommandError(self._refused)
        if self._question is not None:
            say(f"{self._refused}\nType yes to replace it, or no to keep it:")
        else:
            say(f"That did not work: {self._refused}\nPaste another address:")
        return None

    def _done(self, grant: Mapping[str, Any]) -> Exit:
        scopes = " ".join(grant["scopes"] or ())
        mark = self.session.terminal.mark("ok")
        told = f" Scopes: {scopes}." if scopes else ""
        self.session.terminal.say(f"{mark} Authorized.{told} The proxy keeps the grant alive.")
        return Exit.DONE


def _elsewhere(environ: Mapping[str, str], page: str) -> str:
    """Say how to reach the page from the person's own machine, where they came by ssh."""
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


def _in_background(function: Callable[[T], None], argument: T) -> None:
    """Run a function in a thread that nobody waits for."""
    threading.Thread(target=function, args=(argument,), daemon=True).start()


def _read_lines(lines: queue.Queue[str | None]) -> None:
    """Read stdin's lines; None at its end.

    Over the bare descriptor: a reader blocked on `sys.stdin` holds a lock that the interpreter
    wants at its end.
    """
    pending = b""
    while True:
        try:
            data = os.read(STDIN, 4096)
        except OSError:
            data = b""
        pending += data
        *whole, pending = pending.split(b"\n")
        for line in whole:
            lines.put(line.decode(errors="replace"))
        if not data or len(pending) > LONGEST_LINE:
            if pending:
                lines.put(pending.decode(errors="replace"))
            lines.put(None)
            return
