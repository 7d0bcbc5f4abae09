"""Records of requests, as a finished one leaves them."""

from proxy.telemetry.traffic import RequestRecord


def make_record(
    request_id: str = "id-1",
    at: float = 1764058000.1234,
    method: str = "GET",
    target: bytes = b"/candidates?limit=10",
    **members: object,
) -> RequestRecord:
    """Make the record of a call that went well; other members by keyword."""
    path, mark, query = target.partition(b"?")
    made = RequestRecord(request_id, at, method, path, query if mark else None)
    for name, value in {"status": 200, "whose": "upstream", **members}.items():
        setattr(made, name, value)
    return made
