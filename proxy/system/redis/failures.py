"""What can go wrong with Redis, in our own words and with the remedy.

The server's words are never shown: they may repeat a command's arguments, which hold tokens.
"""

import socket
import ssl
from collections.abc import Iterator


class RedisError(Exception):
    """Redis did not do what it was asked."""

    def __init__(self, what: str, remedy: str, *, is_forbidden: bool = False) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy
        # An ACL does not let this user do it.
        self.is_forbidden = is_forbidden


_CLUSTER = RedisError(
    "is a node of a cluster, which is not supported",
    "use a Redis of its own: one server, or a primary with replicas and Sentinel",
)
_USER = RedisError(
    "refuses the user or the password", "correct them in tokens.redis.url, percent-encoded"
)
_RULES = RedisError(
    "does not let this user do what is needed",
    "give its ACL user the rights that docs/deployment.md lists",
    is_forbidden=True,
)
# By the class of redis-py's error; the most specific one that applies.
_BY_CLASS = {
    "AuthenticationError": _USER,
    "AuthenticationWrongNumberOfArgsError": _USER,
    "AuthorizationError": _RULES,
    "NoPermissionError": _RULES,
    "BusyLoadingError": RedisError("is still loading its data", "wait until it has"),
    "AskError": _CLUSTER,
    "ClusterDownError": _CLUSTER,
    "ClusterCrossSlotError": _CLUSTER,
    "MasterDownError": RedisError(
        "is a replica that has lost its primary", "see what became of the primary"
    ),
    "MasterNotFoundError": RedisError(
        "Sentinel knows no primary of that name, or cannot be reached",
        "see whether the Sentinels run; the name in tokens.redis.url is that of `sentinel monitor`",
    ),
    "OutOfMemoryError": RedisError("has no memory left", "raise its maxmemory"),
    "ReadOnlyError": RedisError(
        "is a read-only replica",
        "name the primary in tokens.redis.url, or Sentinel (redis+sentinel://…)",
    ),
}
# By the first word of the server's answer, where redis-py has no class for it.
_BY_WORD = {
    "NOAUTH": _USER,
    "WRONGPASS": _USER,
    "NOPERM": _RULES,
    "MASTERDOWN": _BY_CLASS["MasterDownError"],
    "READONLY": _BY_CLASS["ReadOnlyError"],
    "NOREPLICAS": RedisError(
        "has fewer replicas at hand than its min-replicas-to-write", "bring a replica back"
    ),
    "MISCONF": RedisError("cannot write to its disk", "see its log, and free some space"),
}


def explain(error: BaseException) -> RedisError:
    """Put an error of redis-py's, or of the network's, into words."""
    for cause in _causes(error):
        if isinstance(cause, RedisError):
            return cause
        for kind in type(cause).__mro__:
            if kind.__name__ in _BY_CLASS:
                return _again(_BY_CLASS[kind.__name__])
        word = str(cause).split(" ", 1)[0]
        if word in _BY_WORD:
            return _again(_BY_WORD[word])
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RedisError(
                f"shows a certificate that is not trusted ({cause.verify_message})",
                "set tokens.redis.ca_file to its authority's certificate, and call it by the name "
                "in the certificate",
            )
        if isinstance(cause, ssl.SSLError):
            return RedisError(
                "does not agree on TLS",
                "see whether its port speaks TLS (rediss://), and asks for a client certificate "
                "(?ssl_certfile=…&ssl_keyfile=…)",
            )
        if isinstance(cause, socket.gaierror):
            return RedisError("has a name that is not found", "see tokens.redis.url, and the DNS")
        if isinstance(cause, ConnectionRefusedError):
            return RedisError("refuses the connection", "see whether it runs, and on which port")
        if isinstance(cause, TimeoutError) or type(cause).__name__ == "TimeoutError":
            return RedisError(
                "does not answer",
                "see whether it runs, the network to it, and whether its port speaks TLS (rediss://)",
            )
    if type(error).__name__ == "ConnectionError":
        # With TLS 1.3 a server that misses a client certificate may only hang up.
        return RedisError(
            "broke the connection off",
            "see whether it runs, its log, and whether it asks for a client certificate "
            "(?ssl_certfile=…&ssl_keyfile=…)",
        )
    return RedisError(
        f"does not answer as it should ({type(error).__name__})",
        "see whether it runs, is writable and has memory left",
    )


def _again(error: RedisError) -> RedisError:
    """Return a fresh one: an exception that was raised carries its traceback with it."""
    return RedisError(error.what, error.remedy, is_forbidden=error.is_forbidden)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
