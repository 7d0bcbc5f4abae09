"""`srproxy check`: every line a tick or a cross, with the remedy."""

import asyncio
import sys
from collections.abc import AsyncIterator

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
from proxy.cli.store_checks import check_grant, check_store
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
    ("Grant", check_grant),
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
    worst = Grade.GOOD
    for title, run in CHECKS:
        out.say(out.style(title, "cyan", bold=True))
        try:
            async for finding in _with_progress(session.terminal, title, run(session)):
                worst = max(worst, finding.grade)
                _show(out, finding)
        except ConfigurationError as error:
            worst = Grade.BAD
            for problem in error.problems:
                _show(out, Finding(Grade.BAD, problem))
        except (ProxyError, OSError, ValueError) as error:
            # What one check trips over is told, and the next goes on.
            worst = Grade.BAD
            _show(out, Finding(Grade.BAD, str(error) or type(error).__name__))
    return worst


async def _with_progress(
    terminal: Terminal, title: str, findings: AsyncIterator[Finding]
) -> AsyncIterator[Finding]:
    while True:
        step = asyncio.ensure_future(anext(findings, None))
        try:
            while not (await asyncio.wait([step], timeout=0.2))[0]:
                terminal.progress(f"{title} …")
        finally:
            step.cancel()
            terminal.clear()
        finding = await step
        if finding is None:
            return
        yield finding


def _show(out: Terminal, finding: Finding) -> None:
    out.say(f"  {out.mark(MARKS[finding.grade])} {finding.what}")
    if finding.remedy:
        out.say(f"      {finding.remedy}")
