"""The record of a request: begun when its head is here, whatever becomes of it."""

from typing import Final

from proxy.gateway.front.services import Services
from proxy.gateway.guards import METHODS_TAKEN, Peer
from proxy.gateway.http1 import RequestHead
from proxy.smartrecruiters.operations import name_of
from proxy.telemetry.traffic import RequestRecord

METHODS: Final = {method.encode(): method for method in METHODS_TAKEN.split(", ")}


def begin_record(services: Services, peer: Peer, head: RequestHead | None) -> RequestRecord:
    """Begin the record; without its details if the request could not be parsed (no `head`)."""
    traffic = services.traffic
    traffic.started()
    now = services.clock.now()
    if head is None:
        record = RequestRecord(traffic.request_id(None), now, "-", b"")
        record.client = peer.address
        return record
    fields = head.fields
    given = fields.get(b"x-request-id")
    method = METHODS.get(head.method) or head.method.decode("ascii")
    record = RequestRecord(traffic.request_id(given), now, method, head.path, head.query)
    record.client = peer.address
    record.named = given is not None
    traceparent = fields.get(b"traceparent")
    if traceparent is not None:
        record.traceparent = traffic.traceparent(traceparent)
    record.operation = name_of(method, head.path)
    return record
