"""Connections to the upstream: a pool kept warm, TLS, the CONNECT tunnel, safe reuse, time-outs.

Promises: an answer never reaches another request than its own; a connection is used again only
after a complete answer to a complete request, and never once a byte arrived on it while idle.
Says of every failure whose it is (RFC 9209). Never repeats a request: that is for gateway.forward.
"""

from proxy.gateway.upstream.connection import UpstreamConnection
from proxy.gateway.upstream.pool import PoolStats, Upstream
from proxy.gateway.upstream.seams import AnswerSink

__all__ = ["AnswerSink", "PoolStats", "Upstream", "UpstreamConnection"]
