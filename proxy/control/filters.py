"""Which requests a person wants to see: a filter that stands in the page's URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from proxy.telemetry.traffic import RequestRecord, shown_path_and_keys

LONGEST = 200
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATUS = re.compile(r"[1-9]([0-9][0-9]|xx)")


@dataclass(frozen=True, slots=True)
class Filter:
    """What must fit, each by the query parameter of its name; an empty one fits everything.

    `status` is a number or a class such as 5xx. `text` is words that must all fit: a method or a
    status as such, any other as a part of the path, the operation, the caller or the code.
    """

    method: str = ""
    status: str = ""
    operation: str = ""
    caller: str = ""
    account: str = ""
    text: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read a filter from a query."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: query.get(name, "").strip()[:LONGEST] for name in names})

    @property
    def is_set(self) -> bool:
        """Return whether it keeps anything out."""
        return self != type(self)()

    def matches(self, record: RequestRecord) -> bool:
        """Return whether a request is wanted."""
        return (
            self.method.upper() in ("", record.method)
            and (not self.status or _has_status(record, self.status.lower()))
            and self.operation.lower() in record.operation.lower()
            and self.caller in ("", record.caller)
            and self.account in ("", record.account)
            and all(_has_word(record, word) for word in self.text.lower().split())
        )


def _has_status(record: RequestRecord, wanted: str) -> bool:
    status = str(record.status)
    return status == wanted or (wanted.endswith("xx") and status[:1] == wanted[:1])


def _has_word(record: RequestRecord, word: str) -> bool:
    if word.upper() in METHODS:
        return record.method == word.upper()
    if STATUS.fullmatch(word) and _has_status(record, word):
        return True
    path, keys = shown_path_and_keys(record)
    searched = (
        path,
        *keys,
        record.operation,
        record.caller,
        record.account,
        record.code,
        record.whose,
    )
    return any(word in part.lower() for part in searched if part)
