"""The last exchanges, in memory only, bounded in number and in bytes."""

from proxy.recording.exchange import RecordedExchange

MAX_COUNT = 200
MAX_BYTES = 32 * 1024 * 1024
# What an exchange weighs besides its bodies: objects, headers, the URL.
OVERHEAD = 4096


class Keep:
    """Exchanges by id; the oldest are dropped first."""

    def __init__(self, max_count: int = MAX_COUNT, max_bytes: int = MAX_BYTES) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._kept: dict[str, RecordedExchange] = {}
        self._bytes = 0

    def add(self, exchange: RecordedExchange) -> None:
        """Keep an exchange; one with the same id is replaced."""
        self._drop(exchange.id)
        self._kept[exchange.id] = exchange
        self._bytes += weigh(exchange)
        while self._bytes > self._max_bytes or len(self._kept) > self._max_count:
            self._drop(next(iter(self._kept)))

    def get(self, exchange_id: str) -> RecordedExchange | None:
        """Return the exchange of this id, if it is still kept."""
        return self._kept.get(exchange_id)

    def all(self) -> list[RecordedExchange]:
        """Return all that are kept, oldest first."""
        return list(self._kept.values())

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0

    def _drop(self, exchange_id: str) -> None:
        gone = self._kept.pop(exchange_id, None)
        if gone is not None:
            self._bytes -= weigh(gone)


def weigh(exchange: RecordedExchange) -> int:
    """Return about how many bytes of memory an exchange takes."""
    return OVERHEAD + len(exchange.request.body.data) + len(exchange.response.body.data)
