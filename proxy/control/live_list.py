"""What went through: one row a request, the same on the page and in its live updates."""

from collections.abc import Iterable

from proxy.control.markup import Html, html, join, when
from proxy.control.words import milliseconds, moment, size
from proxy.errors import KINDS
from proxy.telemetry.traffic import RequestRecord, shown_path_and_keys

COLUMNS = (
    ("Time", ""),
    ("Status", ""),
    ("Call", ""),
    ("Duration", "number"),
    ("At upstream", "number"),
    ("In", "number"),
    ("Out", "number"),
    ("Caller", ""),
    ("Rate left", "number"),
)


def row(record: RequestRecord) -> Html:
    """Build the row of one request."""
    return html(
        """<tr class="$tone"><td>$at</td><td>$status</td>
<th scope="row"><span class="method">$method</span> <span class="path">$path</span>$replays</th>
<td class="number">$total</td><td class="number">$upstream</td><td class="number">$in_</td>
<td class="number">$out</td><td>$caller</td><td class="number">$rate</td></tr>""",
        tone=_tone(record),
        at=moment(record.at, "clock"),
        method=record.method,
        path=_shown_target(record),
        replays=when(
            record.replays, html(' <span class="tag">sent $n times</span>', n=record.replays + 1)
        ),
        caller=record.caller or "–",
        status=_status(record),
        total=milliseconds(record.duration),
        upstream=milliseconds(record.upstream_duration) if record.upstream_duration else "–",
        in_=size(record.bytes_in),
        out=size(record.bytes_out),
        rate=record.rate_limit or "–",
    )


def rows(records: Iterable[RequestRecord], wanted: str = "") -> Html:
    """Build the rows, newest first; with a filter, only those that hold its words."""
    words = wanted.lower().split()
    return join(
        row(record)
        for record in reversed(list(records))
        if not words or all(word in _searched(record) for word in words)
    )


def traffic_section(records: Iterable[RequestRecord], wanted: str) -> Html:
    """Build the section with the table and its filter."""
    records = list(records)
    heads = join(
        html('<th scope="col" class="$css">$name</th>', css=css, name=name)
        if css
        else html('<th scope="col">$name</th>', name=name)
        for name, css in COLUMNS
    )
    return html(
        """<section class="card traffic" aria-labelledby="traffic-heading">
<div class="bar"><h2 id="traffic-heading">What went through</h2>
<p class="live needs-js" id="live" role="status"></p>
<form class="filter" method="get" action="/-/" role="search">
<label for="filter" class="hidden">Filter the requests</label>
<input id="filter" name="filter" type="search" value="$wanted" placeholder="Filter: GET 4 jobs…"
 autocomplete="off"><button class="button small no-js">Filter</button></form>
<button class="button small needs-js" id="pause" type="button" aria-pressed="false">Pause</button>
</div>
<div class="scroll" tabindex="0" role="region" aria-label="Table of requests">
<table><thead><tr>$heads</tr></thead><tbody id="rows">$rows</tbody></table>
<p class="empty" id="empty">Nothing yet. Each call shows up here as it happens.</p></div>
<p class="quiet">The last 200 requests, in memory only: no header, no body, no query value.
<b>Rate left</b> is SmartRecruiters’ X-RateLimit-Remaining.</p>
</section>""",
        wanted=wanted,
        heads=heads,
        rows=rows(records, wanted),
    )


def _shown_target(record: RequestRecord) -> str:
    path, keys = shown_path_and_keys(record.target)
    return f"{path}?{'&'.join(keys)}" if keys else path


def _status(record: RequestRecord) -> Html:
    if record.aborted and not record.status:
        return html('<span class="tag">caller left</span>')
    whose = Html("")
    if record.code is not None and record.code in KINDS:
        whose = html(' <a class="code" href="#problem-$code">$code</a>', code=record.code)
    elif record.status >= 400:
        ours = record.whose == "proxy"
        whose = html(' <span class="tag">$whose</span>', whose="proxy" if ours else "upstream")
    cut = when(record.aborted, html(' <span class="tag">cut off</span>'))
    return html("<b>$status</b>$whose$cut", status=record.status, whose=whose, cut=cut)


def _tone(record: RequestRecord) -> str:
    if record.whose == "proxy" or record.aborted:
        return "ours" if record.status >= 400 or record.aborted else ""
    return "theirs" if record.status >= 400 else ""


def _searched(record: RequestRecord) -> str:
    parts = (
        record.method, _shown_target(record), record.caller or "", str(record.status),
        record.code or "", record.whose,
    )  # fmt: skip
    return " ".join(parts).lower()
