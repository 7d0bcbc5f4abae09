"""The record of a request: begun when its head is here, whatever becomes of it."""

from proxy.gateway.front.services import Services
from proxy.gateway.guards import Peer
from proxy.gateway.http1 import RequestHead
from proxy.smartrecruiters.operations import match
from proxy.telemetry.traffic import RequestRecord


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
    record = RequestRecord(traffic.request_id(given), now, head.method.decode("ascii"), head.target)
    record.client = peer.address
    record.named = given is not None
    traceparent = fields.get(b"traceparent")
    if traceparent is not None:
        record.traceparent = traffic.traceparent(traceparent)
    operation = match(record.method, head.target.partition(b"?")[0].decode("latin-1"))
    if operation is not None:
        record.operation = operation.name
    return record
