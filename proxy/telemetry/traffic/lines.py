"""A request's record in words: a JSON line, which the event stream uses too, and a line of text.

By hand, since json.dumps takes three times as long. `more` names the members that only some records
have, once for both kinds of line.
"""

import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted  # the C one where it exists
from typing import Any, Final

from proxy.telemetry.logs import redact, timestamp
from proxy.telemetry.record import RequestRecord, shown_path_and_keys

LOG_MEMBERS = ("level", "logger", "message")
MILLION: Final = 1_000_000
TEXT_LINE: Final = "%s INFO    proxy.traffic %s %s %s %.1fms%s%s in=%d out=%d %s"


def more(record: RequestRecord) -> list[tuple[str, str | int | Sequence[str]]]:
    """Return the members of a record that are written only where they say something."""
    members: list[tuple[str, str | int | Sequence[str]]] = []
    if record.code is not None:
        members.append(("code", record.code))
    if record.replays:
        members.append(("replays", record.replays))
    if record.aborted:
        members.append(("aborted", True))
    if record.granted is not None:
        members += ("needs", record.needs), ("granted", record.granted)
    if record.rate_limit is not None:
        members.append(("rate_limit", record.rate_limit))
    if record.traceparent is not None:
        members.append(("traceparent", record.traceparent))
    return members


class Lines:
    """How a record is written; `line` puts in what `request` and `who` have made of it."""

    __slots__ = ()

    def request(self, method: str, path: str, keys: Sequence[str]) -> str:
        """Write what was asked for."""
        raise NotImplementedError

    def who(self, record: RequestRecord) -> str:
        """Write whose request it was, and which operation."""
        raise NotImplementedError

    def line(self, record: RequestRecord, at: str, request: str, who: str) -> str:
        """Write the whole record as one line, its end included."""
        raise NotImplementedError


class JsonLines(Lines):
    """Lines for programs."""

    __slots__ = ()

    def request(self, method: str, path: str, keys: Sequence[str]) -> str:
        # A shown key is a plain name, "?" or "…": nothing in it to escape.
        if not keys:
            return f'"method": {quoted(method)}, "path": {quoted(path)}, "query": []'
        names = '", "'.join(keys)
        return f'"method": {quoted(method)}, "path": {quoted(path)}, "query": ["{names}"]'

    def who(self, record: RequestRecord) -> str:
        account = "null" if record.account is None else quoted(record.account)
        members = f'"account": {account}, "operation": "{record.operation}"'
        if record.client is not None:
            members += f', "client": {quoted(record.client)}'
        if record.caller is not None:
            members += f', "caller": {quoted(record.caller)}'
        return members

    def line(self, record: RequestRecord, at: str, request: str, who: str) -> str:
        rest = ""
        for name, value in more(record):
            rest += f', "{name}": {quoted(value) if isinstance(value, str) else json.dumps(value)}'
        return (
            f'{{"at": "{at}", "level": "info", "logger": "proxy.traffic", "message": "request", '
            f'"id": "{record.request_id}", {request}, "status": {record.status}, '
            f'"whose": "{record.whose}", {who}, "duration": {seconds(record.duration)}, '
            f'"upstream_duration": {seconds(record.upstream_duration)}, '
            f'"held": {seconds(record.held)}, '
            f'"bytes_in": {record.bytes_in}, "bytes_out": {record.bytes_out}{rest}}}\n'
        )


class TextLines(Lines):
    """Lines for people."""

    __slots__ = ()

    def request(self, method: str, path: str, keys: Sequence[str]) -> str:
        # The quotes' content only: escapes every control character, and what is not ASCII.
        query = "?" + "&".join(keys) if keys else ""
        return f"{quoted(method)[1:-1]} {quoted(path)[1:-1]}{query}"

    def who(self, record: RequestRecord) -> str:
        words = f"client={record.client} " if record.client is not None else ""
        words += f"caller={record.caller} " if record.caller is not None else ""
        words += f"account={record.account} " if record.account is not None else ""
        return f'{words}operation="{record.operation}"'

    def line(self, record: RequestRecord, at: str, request: str, who: str) -> str:
        upstream, held = record.upstream_duration, record.held
        line = TEXT_LINE % (
            at, request, record.status or "-", record.whose, record.duration * 1000,
            " upstream=%.1fms" % (upstream * 1000) if upstream else "",
            " held=%.1fms" % (held * 1000) if held else "",
            record.bytes_in, record.bytes_out, who,
        )  # fmt: skip
        for name, value in more(record):
            if value is True:
                line += f" {name}"
            elif isinstance(value, (str, int)):
                line += f" {name}={value}"
            else:
                line += f" {name}={quoted(','.join(value))[1:-1]}"
        return f"{line} id={record.request_id}\n"


def seconds(value: float) -> str:
    """Write seconds with six digits; by whole numbers, as compiled they are quicker than %.6f."""
    if not value:
        return "0.000000"
    if 0 < value < 0.999:
        return "0." + str(MILLION + int(value * MILLION + 0.5))[1:]
    return f"{value:.6f}"


def describe(record: RequestRecord) -> dict[str, Any]:
    """Return the members of a record's JSON line, for the event stream; secrets are masked."""
    lines = JsonLines()
    request = lines.request(redact(record.method), *shown_path_and_keys(record))
    line = lines.line(record, timestamp(record.at), request, lines.who(record))
    members: dict[str, Any] = json.loads(line)
    members["id"] = redact(record.request_id)
    if record.needs:
        members["needs"] = [redact(scope) for scope in record.needs]
    return {name: value for name, value in members.items() if name not in LOG_MEMBERS}
