"""The callers' side: accepts connections, parses and guards each request, then forwards it.

Our own protocol on the strict grammar of `http1`, rather than an HTTP server's: header and stall
time-outs, hang-ups, resets, interim answers and HTTP/1.0 are then ours to decide, and a request
costs half as much. What belongs to the proxy itself (`/-/`, the callback) goes through the same
guards and is then asked of the `Control`, which is handed in.

Promises: whatever cannot be read in exactly one way is refused and its connection closed; answers
come in the order of the requests; an answer that breaks off never looks complete; nothing of a
request is repeated in an answer of ours or in a log.
"""

from proxy.gateway.front.asked import Control
from proxy.gateway.front.connection import CallerConnection
from proxy.gateway.front.front import Front
from proxy.gateway.front.ports import Ports

__all__ = ["CallerConnection", "Control", "Front", "Ports"]
