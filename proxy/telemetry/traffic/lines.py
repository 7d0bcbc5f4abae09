"""A request's record in words: a JSON line, which the event stream uses too, and a line of text.

By hand, since json.dumps takes three times as long. `more` names the members that only some records
have, once for both kinds of line.
"""

import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted  # the C one where it exists
from typing import Any, Final

from proxy.telemetry.logs import redact, timestamp
from proxy.telemetry.traffic.record import RequestRecord, shown_path_and_keys

LOG_MEMBERS = ("level", "logger", "message")
# Filled in by %, which mypyc compiles to one call; an f-string takes a call for each number.
JSON_LINE: Final = (
    '{"at": "%s", "level": "info", "logger": "proxy.traffic", "message": "request", "id": "%s", '
    '%s, "status": %d, "whose": "%s", %s, "duration": %.6f, "upstream_duration": %.6f, '
    '"held": %.6f, "bytes_in": %d, "bytes_out": %d'
)
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


def json_request(method: str, path: str, keys: Sequence[str]) -> str:
    """Write what was asked for as members of a JSON line."""
    # A shown key is a plain name, "?" or "…": nothing in it to escape.
    query = '"' + '", "'.join(keys) + '"' if keys else ""
    return f'"method": {quoted(method)}, "path": {quoted(path)}, "query": [{query}]'


def json_who(record: RequestRecord) -> str:
    """Write whose request it was, and which operation, as members of a JSON line."""
    account = "null" if record.account is None else quoted(record.account)
    members = f'"account": {account}, "operation": "{record.operation}"'
    if record.client is not None:
        members += f', "client": {quoted(record.client)}'
    if record.caller is not None:
        members += f', "caller": {quoted(record.caller)}'
    return members


def json_line(record: RequestRecord, at: str, request: str, who: str) -> str:
    """Write a record as a JSON line, with what `json_request` and `json_who` made of it."""
    line = JSON_LINE % (
        at, record.request_id, request, record.status, record.whose, who, record.duration,
        record.upstream_duration, record.held, record.bytes_in, record.bytes_out,
    )  # fmt: skip
    for name, value in more(record):
        line += f', "{name}": {quoted(value) if isinstance(value, str) else json.dumps(value)}'
    return line + "}\n"


def text_request(method: str, path: str, keys: Sequence[str]) -> str:
    """Write what was asked for as words of a line."""
    # The quotes' content only: escapes every control character, and what is not ASCII.
    query = "?" + "&".join(keys) if keys else ""
    return f"{quoted(method)[1:-1]} {quoted(path)[1:-1]}{query}"


def text_who(record: RequestRecord) -> str:
    """Write whose request it was, and which operation, as words of a line."""
    words = f"client={record.client} " if record.client is not None else ""
    words += f"caller={record.caller} " if record.caller is not None else ""
    words += f"account={record.account} " if record.account is not None else ""
    return f'{words}operation="{record.operation}"'


def text_line(record: RequestRecord, at: str, request: str, who: str) -> str:
    """Write a record as a line for people, with what `text_request` and `text_who` made of it."""
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


def describe(record: RequestRecord) -> dict[str, Any]:
    """Return the members of a record's JSON line, for the event stream; secrets are masked."""
    request = json_request(redact(record.method), *shown_path_and_keys(record.target))
    line = json_line(record, timestamp(record.at), request, json_who(record))
    members: dict[str, Any] = json.loads(line)
    members["id"] = redact(record.request_id)
    if record.needs:
        members["needs"] = [redact(scope) for scope in record.needs]
    return {name: value for name, value in members.items() if name not in LOG_MEMBERS}
