"""What SmartRecruiters' refusals are about (rule 5 of answers): they pass as they came.

A 403's scopes go into the request's record, for log and page. A path that is no operation is
logged once, with the nearest one: the first few of them, since anybody can invent paths.
"""

import logging
from collections.abc import Callable, Sequence

from proxy.config.names import DEFAULT_ACCOUNT
from proxy.gateway.http1 import ResponseHead
from proxy.smartrecruiters.operations import OTHER, operations_by_name
from proxy.smartrecruiters.scopes import explain_403, explain_404
from proxy.telemetry.traffic import RequestRecord, shown_path_and_keys

logger = logging.getLogger(__name__)

TOLD = 256


class Explainer:
    """Explains refusals; `granted` returns an account's scopes, as far as they are known."""

    def __init__(self, granted: Callable[[str], Sequence[str]]) -> None:
        self._granted = granted
        self._told: set[tuple[str, str]] = set()

    def explain(self, record: RequestRecord, head: ResponseHead) -> None:
        """Note what is known of a 403 or 404."""
        if head.status == 403:
            self._forbidden(record, head)
        elif record.operation == OTHER:
            self._no_operation(record)

    def _forbidden(self, record: RequestRecord, head: ResponseHead) -> None:
        challenge = head.fields.get(b"www-authenticate")
        refusal = explain_403(
            operations_by_name().get(record.operation),
            challenge.decode("latin-1") if challenge is not None else None,
            self._granted(record.account or DEFAULT_ACCOUNT),
        )
        record.needs, record.granted = refusal.needs, refusal.granted

    def _no_operation(self, record: RequestRecord) -> None:
        path = shown_path_and_keys(record)[0]
        key = record.method, path
        if key in self._told or len(self._told) >= TOLD:
            return
        self._told.add(key)
        text = explain_404(record.method, path)
        if text is not None:
            logger.warning("no_such_operation method=%s path=%s hint=%r", *key, text)
