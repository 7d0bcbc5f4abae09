"""How this installation was built: its data path compiled by mypyc, or interpreted."""

from importlib.util import find_spec

# One of those that are compiled, all or none (deploy/build_hook.py).
COMPILED = "proxy.gateway.retry"


def build_kind() -> str:
    """Return `compiled` or `pure`."""
    spec = find_spec(COMPILED)
    origin = spec.origin if spec is not None else None
    return "pure" if origin is None or origin.endswith(".py") else "compiled"
