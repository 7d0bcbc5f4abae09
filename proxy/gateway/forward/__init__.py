"""One request through: up with our credential, back to the caller, repeated only where safe.

    Forwarder   what all requests share, and the doors by which limits, transforms and taps come in
    Exchange    one request under way, an event-driven state machine: no task and no wake-up where
                nothing has to be waited for, which is the usual case
    Upload      its body on the way up, kept for a repeat as long as it fits
    Prepared    its head as it goes up, the lines of it kept for the next one that repeats them
    Delivery    its answer on the way down, through a transform and past a tap where there are such

Never forwards without a valid token, never lets a broken-off body look complete, never repeats a
request whose fate is unknown.
"""

from proxy.gateway.forward.exchange import CONTINUE, Exchange
from proxy.gateway.forward.forwarder import Forwarder
from proxy.gateway.forward.prepared import Prepared
from proxy.gateway.forward.rewriting import links_rewritten
from proxy.gateway.forward.seams import (
    Credential,
    CredentialSource,
    Framing,
    Gate,
    Inbound,
    Tap,
    TapFor,
    Ticket,
    Transform,
    TransformFor,
)

__all__ = [
    "CONTINUE",
    "Credential",
    "CredentialSource",
    "Exchange",
    "Forwarder",
    "Framing",
    "Gate",
    "Inbound",
    "Prepared",
    "Tap",
    "TapFor",
    "Ticket",
    "Transform",
    "TransformFor",
    "links_rewritten",
]
