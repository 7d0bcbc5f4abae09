"""What went through: one row a request, the same on the page and in its live updates."""

from collections.abc import Iterable

from proxy.control.filters import METHODS, Filter
from proxy.control.rendering import render
from proxy.errors import KINDS
from proxy.smartrecruiters.operations import OTHER
from proxy.smartrecruiters.scopes import explain_404
from proxy.telemetry.traffic import RequestRecord, shown_path_and_keys

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")


def row(record: RequestRecord, *, inspecting: bool = False) -> str:
    """Build the row of one request; while `inspecting`, one that was forwarded opens."""
    path, keys = shown_path_and_keys(record)
    return render(
        "request_row.html",
        record=record,
        path=path,
        keys=keys,
        tone=_tone(record),
        is_explained=record.code in KINDS,
        hint=_hint(record, path),
        opens=inspecting and record.account is not None,
    )


def traffic_section(
    records: Iterable[RequestRecord],
    wanted: Filter,
    callers: list[str],
    accounts: list[str],
    *,
    inspecting: bool = False,
) -> str:
    """Build the section with the table and its filter."""
    records = list(records)
    return render(
        "traffic.html",
        rows=[
            row(record, inspecting=inspecting)
            for record in reversed(records)
            if wanted.matches(record)
        ],
        wanted=wanted,
        methods=METHODS,
        statuses=STATUS_CLASSES,
        operations=sorted({record.operation for record in records}),
        callers=callers,
        accounts=accounts,
        inspecting=inspecting,
    )


def _hint(record: RequestRecord, path: str) -> str | None:
    """Say what a path that is no operation of SmartRecruiters' was probably meant to be."""
    if record.status != 404 or record.whose != "upstream" or record.operation != OTHER:
        return None
    return explain_404(record.method, path)


def _tone(record: RequestRecord) -> str:
    is_ours = record.whose == "proxy"
    if record.aborted or (is_ours and record.status >= 400):
        return "ours"
    return "theirs" if record.status >= 400 else ""
