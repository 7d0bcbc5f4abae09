"""Runs `notify.command` when a person is needed, and when no longer.

    login_required   the grant is absent or dead; SRPROXY_REASON says why
    client_refused   SmartRecruiters refuses the app's own id or secret: a setting is to be mended
    grant_ending     the grant ends in 7, 3 or 1 days unless it is refreshed; once for each
    recovered        after any of them, all is well again

The command gets SRPROXY_EVENT, SRPROXY_ACCOUNT, SRPROXY_REASON and, where a login is the remedy,
SRPROXY_LOGIN_URL; what it prints goes to the log. Nothing waits for it: it runs beside everything
else, one at a time, is killed at a time-out, and its failure is a line in the log. It never gets a
secret, and the variables that carry our configuration are removed from its environment.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.system.clock import Clock

logger = logging.getLogger(__name__)

TIMEOUT = 30.0
# One check of the grant's end in this time is enough for warnings that are days apart.
LOOK_INTERVAL = 5.0
LARGEST_OUTPUT = 4096
DAY = 86400
WARN_AT_DAYS = (7, 3, 1)


@dataclass(frozen=True, slots=True)
class Health:
    """What matters of one account's grant: what a person is needed for, why, and its end."""

    needed: str | None  # login_required, client_refused
    reason: str | None
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """One reason to run the command."""

    name: str
    account: str
    reason: str


@dataclass(slots=True)
class _Told:
    needed: str | None = None
    days: int | None = None


class Notifier:
    """Watches the accounts and runs the command; `run` is a task of the composition root's."""

    def __init__(
        self,
        command: Sequence[str],
        health: Mapping[str, Callable[[], Health]],
        clock: Clock,
        *,
        login_url: Callable[[str], str],
        environ: Mapping[str, str],
    ) -> None:
        self._command = tuple(command)
        self._health = health
        self._clock = clock
        self._login_url = login_url
        self._environ = {k: v for k, v in environ.items() if not k.startswith("SRPROXY_")}
        self._told = {name: _Told() for name in health}
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Check again soon: to be called on every change of state; does nothing else."""
        self._changed.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._changed.clear()
            for event in self.due():
                await self._tell(event)
            try:
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._changed.wait()
            except TimeoutError:
                pass  # the time itself moves: a grant comes nearer to its end

    def due(self) -> list[Event]:
        """Return the events that are due now, and note them as sent."""
        events = []
        for name, look in self._health.items():
            event = self._event(name, look(), self._told[name])
            if event is not None:
                events.append(event)
        return events

    def _event(self, name: str, health: Health, told: _Told) -> Event | None:
        if health.needed is not None:
            if told.needed == health.needed:
                return None
            told.needed, told.days = health.needed, None
            return Event(health.needed, name, health.reason or health.needed)
        days = self._days(health)
        if days is not None and (told.days is None or days < told.days):
            told.needed, told.days = None, days
            return Event("grant_ending", name, f"{days}_days" if days > 1 else "1_day")
        if days is None and (told.needed is not None or told.days is not None):
            told.needed, told.days = None, None
            return Event("recovered", name, "authorized")
        told.needed = None
        return None

    def _days(self, health: Health) -> int | None:
        """Return the nearest warning that the grant has come to: 1, 3, 7 or none."""
        if health.ends_at is None:
            return None
        left = health.ends_at - self._clock.now()
        return next((days for days in sorted(WARN_AT_DAYS) if left <= days * DAY), None)

    async def _tell(self, event: Event) -> None:
        environ = {
            **self._environ,
            "SRPROXY_EVENT": event.name,
            "SRPROXY_ACCOUNT": event.account,
            "SRPROXY_REASON": event.reason,
        }
        if event.name not in ("recovered", "client_refused"):
            environ["SRPROXY_LOGIN_URL"] = self._login_url(event.account)
        logger.info("notify_command event=%s account=%s", event.name, event.account)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            logger.warning("notify_failed event=%s error=%s", event.name, error)
            return
        try:
            async with asyncio.timeout(TIMEOUT):
                output = await _read(process)
                code = await process.wait()
        except TimeoutError:
            logger.warning("notify_failed event=%s error=timeout after=%ds", event.name, TIMEOUT)
            return
        finally:
            if process.returncode is None:
                # With what it has started: it leads a group of its own.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        level = logging.WARNING if code else logging.INFO
        logger.log(level, "notify_done event=%s exit=%d output=%r", event.name, code, output)


async def _read(process: asyncio.subprocess.Process) -> str:
    """Read to the end, so that the command never blocks on a full pipe; keep the beginning."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    kept = b""
    while chunk := await process.stdout.read(4096):
        kept += chunk[: LARGEST_OUTPUT - len(kept)]
    return kept.decode(errors="replace").strip()
