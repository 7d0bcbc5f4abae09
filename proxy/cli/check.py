"""`srproxy check`: every line a tick or a cross, with the remedy."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import click

from proxy.cli.checks import (
    Check,
    Finding,
    Grade,
    check_reach,
)
from proxy.cli.exits import Exit
from proxy.cli.help import examples
from proxy.cli.listen_checks import check_callers, check_port, check_redirect_uri
from proxy.cli.loop import run_async
from proxy.cli.session import Session, with_session
from proxy.cli.store_checks import check_credentials, check_store
from proxy.cli.terminal import Terminal
from proxy.errors import ConfigurationError, ProxyError

MARKS = {
    Grade.SKIPPED: "skip",
    Grade.GOOD: "ok",
    Grade.NOTE: "warn",
    Grade.LOGIN: "bad",
    Grade.BAD: "bad",
}
CHECKS: tuple[tuple[str, Check], ...] = (
    ("Redirect URI", check_redirect_uri),
    ("Address", check_port),
    ("Callers", check_callers),
    ("Token store", check_store),
    ("Network", check_reach),
)


@click.command(
    epilog=examples("srproxy check", "srproxy check -c /etc/smartrecruiters-proxy/config.yaml")
)
@with_session
def check(session: Session) -> Exit:
    """Test the set-up and say how to mend it; works with the server running and without it.

    Looks at the configuration, the redirect URI, the port on both loopback families, our own
    certificate, the token store, the clock, name and TLS of both hosts, and each account's
    credential, with one harmless call. Ends with
    0 when all is well, 1 when something is not, 2 for a wrong configuration, 3 when only the login
    is missing.
    """
    out = Terminal(sys.stdout, session.environ)
    try:
        loaded = session.loaded
    except ConfigurationError as error:
        for problem in error.problems:
            _show(out, Finding(Grade.BAD, problem))
        return Exit.USAGE
    source = f"from {loaded.file}" if loaded.file else "from the environment alone"
    out.say(out.style("Configuration", "cyan", bold=True))
    _show(out, Finding(Grade.GOOD, f"complete and consistent, {source}"))
    for warning in loaded.exposed():
        what, _, remedy = warning.rpartition(": ")
        _show(out, Finding(Grade.NOTE, what, remedy))
    worst = run_async(_check(session, out))
    if worst is Grade.BAD:
        return Exit.FAILED
    return Exit.LOGIN_REQUIRED if worst is Grade.LOGIN else Exit.DONE


async def _check(session: Session, out: Terminal) -> Grade:
    report = _Report(session, out)
    for title, check in CHECKS:
        await report.run(title, check(session))
    credentials = check_credentials(
        session,
        is_stored=report.worst["Token store"] < Grade.BAD,
        is_reachable=report.worst["Network"] < Grade.BAD,
    )
    await report.run("Credential", credentials)
    return max(report.worst.values())


class _Report:
    """Shows findings under their titles, each fault once."""

    def __init__(self, session: Session, out: Terminal) -> None:
        self._session = session
        self._out = out
        self._faults: set[str] = set()
        # By title.
        self.worst: dict[str, Grade] = {}

    async def run(self, title: str, findings: AsyncGenerator[Finding, None]) -> None:
        """Run one check to its end; what it trips over is a fault, and the next goes on."""
        self.worst[title] = Grade.GOOD
        self._out.say(self._out.style(title, "cyan", bold=True))
        try:
            # Closed here: a refresh that one of them began is stored before the loop ends.
            shown = _with_progress(self._session.terminal, title, findings)
            async with aclosing(findings), aclosing(shown):
                async for finding in shown:
                    self._add(title, finding)
        except ConfigurationError as error:
            for problem in error.problems:
                self._add(title, Finding(Grade.BAD, problem))
        except (ProxyError, OSError, ValueError) as error:
            self._add(title, Finding(Grade.BAD, str(error) or type(error).__name__))

    def _add(self, title: str, finding: Finding) -> None:
        self.worst[title] = max(self.worst[title], finding.grade)
        if finding.grade is Grade.BAD:
            if finding.what in self._faults:
                finding = Finding(Grade.SKIPPED, "not checked further: the same fault as above")
            self._faults.add(finding.what)
        _show(self._out, finding)


async def _with_progress(
    terminal: Terminal, title: str, findings: AsyncGenerator[Finding, None]
) -> AsyncGenerator[Finding, None]:
    while True:
        step = asyncio.ensure_future(anext(findings, None))
        try:
            while not (await asyncio.wait([step], timeout=0.2))[0]:
                terminal.progress(f"{title} …")
        finally:
            step.cancel()
            terminal.clear()
            await asyncio.wait([step])  # a signal ends it only when its refresh is stored
        finding = await step
        if finding is None:
            return
        yield finding


def _show(out: Terminal, finding: Finding) -> None:
    out.say(f"  {out.mark(MARKS[finding.grade])} {finding.what}")
    if finding.remedy:
        out.say(f"      {finding.remedy}")
