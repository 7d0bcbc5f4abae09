"""A request's trip: front, guards, forward, upstream, on one strict grammar (http1)."""
