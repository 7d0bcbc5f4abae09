"""The access log: a line a request, gathered and written together.

Written at once, each line would cost its request a system call. What is waiting is written before a
line of another logger, so that the order stays.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from proxy.telemetry.logs import Output, timestamp
from proxy.telemetry.record import RequestRecord, path_and_keys
from proxy.telemetry.traffic.lines import JsonLines, Lines, TextLines

USUAL_METHOD: Final = 7  # characters, at most: OPTIONS


class AccessLog:
    """Lines on their way to an output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._written: Lines = JsonLines() if output.as_json else TextLines()
        self._lines: list[str] = []
        # What others than us chose of the lines, searched for secrets before writing.
        self._chosen: list[str] = []
        self._millisecond, self._stamp = -1, ""  # of the line before, and how it is written
        self._second, self._until_second = -1, ""
        self._passed_over = 0  # since the last line of a request that went well

    def __len__(self) -> int:
        """Return how many lines wait."""
        return len(self._lines)

    def add(self, records: Iterable[RequestRecord]) -> None:
        """Write the records of requests that have ended, as far as the output accepts them."""
        if not self._output.takes_requests:
            return
        if self._output.sample > 1:
            records = self._sampled(records)
        written = self._written
        before: RequestRecord | None = None
        request = who = ""
        for record in records:
            at = int(record.at * 1000)
            if at != self._millisecond:
                self._millisecond, self._stamp = at, self._timestamp(at)
            # Programs repeat themselves: what was made of an object is made again only for another.
            if (
                before is None
                or record.path is not before.path
                or record.query is not before.query
                or record.method != before.method
            ):
                path, keys = path_and_keys(record)
                request = written.request(record.method, path, keys)
                self._chosen.append(path)
                self._chosen += keys
                if len(record.method) > USUAL_METHOD:
                    self._chosen.append(record.method)
            if (
                before is None
                or record.operation is not before.operation
                or record.client is not before.client
                or record.caller is not before.caller
                or record.account is not before.account
            ):
                who = written.who(record)
            before = record
            if record.named:
                self._chosen.append(record.request_id)
            if record.needs:
                self._chosen += record.needs
            self._lines.append(written.line(record, self._stamp, request, who))

    def _timestamp(self, millisecond: int) -> str:
        second = millisecond // 1000
        if second != self._second:
            self._second, self._until_second = second, timestamp(second)[:-4]
        return f"{self._until_second}{str(1000 + millisecond % 1000)[1:]}Z"

    def _sampled(self, records: Iterable[RequestRecord]) -> Iterator[RequestRecord]:
        """Give the errors, and one in `sample` of the rest."""
        for record in records:
            went_well = 0 < record.status < 400 and not record.aborted
            if went_well:
                self._passed_over += 1
                if self._passed_over < self._output.sample:
                    continue
                self._passed_over = 0
            yield record

    def write(self) -> None:
        """Write what waits."""
        if self._lines:
            lines, self._lines = self._lines, []
            chosen, self._chosen = self._chosen, []
            self._output.write_lines(lines, "\n".join(chosen))
