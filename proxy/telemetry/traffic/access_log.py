"""The access log: a line a request, as JSON or text, gathered and written together.

Written at once, each line would cost its request a system call. What is waiting is written before a
line of another logger, so that the order stays.
"""

from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quoted  # the C one where it exists

from proxy.telemetry.logs import Output, timestamp
from proxy.telemetry.traffic.record import Record, path_and_keys

USUAL_METHOD = 7  # characters, at most: OPTIONS


class AccessLog:
    """Lines on their way to an output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._write, self._write_request = (
            (_json_line, _json_request) if output.as_json else (_text_line, _text_request)
        )
        self._lines: list[str] = []
        self._chosen: list[str] = []  # what callers chose of the lines: a secret may hide there
        self._second, self._stamp = -1, ""

    def __len__(self) -> int:
        """Return how many lines wait."""
        return len(self._lines)

    def add(self, records: Iterable[Record]) -> None:
        """Take the records of requests that have ended."""
        asked: tuple[str, bytes] | None = None
        request = ""
        for record in records:
            whole = int(record.at)
            if whole != self._second:
                self._second, self._stamp = whole, timestamp(whole)[:-4]
            # Programs repeat themselves.
            if asked != (record.method, record.target):
                asked = record.method, record.target
                request = self._write_request(*asked)
                self._chosen.append(record.target.decode("latin-1"))
                if len(record.method) > USUAL_METHOD:
                    self._chosen.append(record.method)
            if record.named:
                self._chosen.append(record.request_id)
            at = f"{self._stamp}{int((record.at - whole) * 1000):03d}Z"
            self._lines.append(self._write(record, at, request))

    def write(self) -> None:
        """Write what waits."""
        if self._lines:
            lines, self._lines = self._lines, []
            chosen, self._chosen = self._chosen, []
            self._output.write_lines(lines, "\n".join(chosen))


def _json_request(method: str, target: bytes) -> str:
    """Write what was asked for as members of a JSON line."""
    path, keys = path_and_keys(target)
    # A shown key is a plain name, "?" or "…": nothing in it to escape.
    query = '"' + '", "'.join(keys) + '"' if keys else ""
    return f'"method": {quoted(method)}, "path": {quoted(path)}, "query": [{query}]'


def _json_line(record: Record, at: str, request: str) -> str:
    """Write a record as a JSON line; by hand, since json.dumps takes thrice as long.

    Members that say nothing (no caller's name, no code, no replay) are left out.
    """
    line = (
        f'{{"at": "{at}", "level": "info", "logger": "proxy.traffic", "message": "request", '
        f'"id": "{record.request_id}", {request}, "status": {record.status}, '
        f'"whose": "{record.whose}", "duration": {record.duration:.6f}, '
        f'"upstream_duration": {record.upstream_duration:.6f}, '
        f'"bytes_in": {record.bytes_in}, "bytes_out": {record.bytes_out}'
    )
    if record.caller is not None:
        line += f', "caller": {quoted(record.caller)}'
    if record.code is not None:
        line += f', "code": "{record.code}"'
    if record.replays:
        line += f', "replays": {record.replays}'
    if record.aborted:
        line += ', "aborted": true'
    if record.traceparent is not None:
        line += f', "traceparent": {quoted(record.traceparent)}'
    return line + "}\n"


def _text_request(method: str, target: bytes) -> str:
    """Write what was asked for as words of a line."""
    path, keys = path_and_keys(target)
    # The quotes' content only: escapes every control character, and what is not ASCII.
    query = "?" + "&".join(keys) if keys else ""
    return f"{quoted(method)[1:-1]} {quoted(path)[1:-1]}{query}"


def _text_line(record: Record, at: str, request: str) -> str:
    """Write a record as a line for people."""
    line = f"{at} INFO    proxy.traffic {request} {record.status or '-'} {record.whose}"
    if record.code is not None:
        line += f" code={record.code}"
    line += f" {record.duration * 1000:.1f}ms"
    if record.upstream_duration:
        line += f" upstream={record.upstream_duration * 1000:.1f}ms"
    line += f" in={record.bytes_in} out={record.bytes_out}"
    if record.caller is not None:
        line += f" caller={record.caller}"
    if record.replays:
        line += f" replays={record.replays}"
    if record.aborted:
        line += " aborted"
    line += f" id={record.request_id}"
    if record.traceparent is not None:
        line += f" traceparent={record.traceparent}"
    return line + "\n"
