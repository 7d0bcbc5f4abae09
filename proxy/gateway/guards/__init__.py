"""Guards: may this caller ask this? An Admission, or a Problem that says what would admit it.

A proxy that adds a credential is a confused deputy by nature: whatever reaches it may act as the
user. So the guards stand before everything, each sufficient against its own kind of caller:

    Host         a page of another name that resolves to this machine (DNS rebinding)
    Origin       a page of another origin, another port of localhost included
    Sec-Fetch    what carries no Origin: images, scripts, navigations, no-cors fetches
    API keys     programs and users that are none of the configured callers
    allow rules  calls that a configured caller is not meant to make
    targets      forms of a target that this proxy and the upstream could read differently

Nothing here does I/O or knows the time. Nothing of a request is ever repeated in a Problem.
"""

from proxy.gateway.guards.gate import Admission, Guards, InForce
from proxy.gateway.guards.keys import WrongKey
from proxy.gateway.guards.peer import Peer
from proxy.gateway.guards.routes import Route
from proxy.gateway.guards.rules import RuleSet
from proxy.gateway.guards.targets import METHODS_TAKEN, origin_form

__all__ = [
    "METHODS_TAKEN", "Admission", "Guards", "InForce", "Peer", "Route", "RuleSet", "WrongKey",
    "origin_form",
]  # fmt: skip
