"""Heads by hand, and the verdict of the guards on them."""

from typing import Any

from proxy.config import Config
from proxy.errors import Problem
from proxy.gateway.guards import Guards, Peer
from proxy.gateway.http1 import RequestHead
from proxy.gateway.http1.fields import Fields, MessageFraming, Names
from proxy.gateway.http1.heads import REQUEST_LINE

HOST = b"localhost:8080"
KEY = "k" * 24
OTHER_KEY = "o" * 24


def make_head(
    method: bytes = b"GET",
    target: bytes = b"/candidates",
    minor: int = 1,
    fields: dict[bytes, bytes] | None = None,
) -> RequestHead:
    fields = {b"host": HOST} if fields is None else fields
    parsed = Fields([], Names(()), fields)
    path, mark, query = target.partition(b"?")
    return RequestHead(
        method,
        path,
        query if mark else None,
        minor,
        parsed,
        MessageFraming(None, [], chunked=False, keep_alive=True),
        is_plain=is_plain(target),
        raw=b"",
        block_at=0,
    )


def is_plain(target: bytes) -> bool:
    """Tell what the parser says of a target; False where it takes it for none."""
    line = REQUEST_LINE.fullmatch(b"GET %b HTTP/1.1" % target)
    return line is not None and line[2] is not None


def guards(**sections: Any) -> Guards:
    oauth = {"client_id": "id", "client_secret": "s" * 20, **sections.pop("oauth", {})}
    return Guards(Config.build({"oauth": oauth, **sections}))


def head(
    target: bytes = b"/candidates", method: bytes = b"GET", **fields: bytes | None
) -> RequestHead:
    """Make a head; field names with `_` for `-`, `host=None` for none."""
    given = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    merged = {b"host": HOST, **given}
    return make_head(method, target, 1, {k: v for k, v in merged.items() if v is not None})


def peer_at(local_ip: str | None) -> Peer:
    """Make a caller that connected to an address."""
    return Peer("127.0.0.1", (local_ip, 8080) if local_ip is not None else None)


def verdict(gate: Guards, request: RequestHead, local_ip: str | None = "127.0.0.1") -> str:
    """Return the code of the refusal, or "ok"."""
    try:
        gate.check(request, gate.classify(request), peer_at(local_ip))
    except Problem as problem:
        return problem.code
    return "ok"


GATE = guards()
KEYED = guards(
    access={
        "api_keys": [
            {"name": "reader", "key": KEY, "allow": ["GET,HEAD **"]},
            {"name": "writer", "key": OTHER_KEY},
        ],
        "allow": ["GET **", "HEAD **", "POST /candidates"],
    }
)
CORS = guards(access={"allowed_origins": ["https://tool.example.com", "http://localhost:3000"]})
