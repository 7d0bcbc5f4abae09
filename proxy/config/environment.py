"""The environment as a source of configuration: `SRPROXY_` and the key's path joined by `__`.

Lists and mappings come as YAML or JSON text. A variable that begins like ours and names no key is
an error; the exceptions are variables that others make for us. The environment is handed in.
"""

import re
from collections.abc import Mapping
from typing import Any

from proxy.config import Config
from proxy.config.faults import Path, dotted
from proxy.config.keys import every_key, key_at, secret_by_file
from proxy.config.section import Section, Shape, keys
from proxy.config.tree import Finding, Place, Tree, parse_yaml

PREFIX = "SRPROXY_"
CONFIG_VARIABLE = "SRPROXY_CONFIG"
# What `notify.command` is run with: such a program may call srproxy in turn.
NOTIFICATION = {"SRPROXY_EVENT", "SRPROXY_ACCOUNT", "SRPROXY_REASON", "SRPROXY_LOGIN_URL"}
# What pip was told when it built this installation (deploy/build_hook.py).
BUILDING = "SRPROXY_PURE"
OTHERS = {CONFIG_VARIABLE, BUILDING, *NOTIFICATION}
# What Kubernetes sets in every pod beside a Service that is called "srproxy" or "srproxy-…", and
# Docker's links did: SRPROXY_SERVICE_HOST=10.0.0.1, SRPROXY_PORT_80_TCP_ADDR=10.0.0.1 …
SERVICE_LINK = re.compile(
    r"SRPROXY(_[A-Z0-9]+)*_"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
# … and SRPROXY_PORT=tcp://10.0.0.1:80: only its value shows that it is not a misspelt key.
SERVICE_PORT = re.compile(r"SRPROXY(_[A-Z0-9]+)*_PORT=(tcp|udp|sctp)://.*", re.DOTALL)


def variable(path: Path) -> str:
    """Return the variable that sets a key (or the list that it is in)."""
    names = []
    for part in path:
        if isinstance(part, int):
            break
        names.append(part.upper())
    return PREFIX + "__".join(names)


def read_environment(environ: Mapping[str, str]) -> Tree:
    """Collect what the environment sets, as a tree like that of a file."""
    tree = Tree()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in OTHERS:
            continue
        if SERVICE_LINK.fullmatch(name) or SERVICE_PORT.fullmatch(f"{name}={environ[name]}"):
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        kind = _kind(Config, path)
        if kind is None:
            tree.findings.append(_unknown(name, path))
        elif not environ[name].strip() and _guards(path):
            what = "is empty, which may be a mistake"
            accepted = "accepted: a value; or remove the variable"
            tree.findings.append(Finding(Place(name), f"{dotted(path)}: {what}; {accepted}"))
        else:
            _take(tree, name, path, environ[name], kind)
    return tree


def _take(tree: Tree, name: str, path: Path, text: str, kind: str) -> None:
    value: Any = text
    if kind == "structure":
        value, inner = parse_yaml(text, name, one_place=True, path=path)
        tree.findings.extend(inner.findings)
        if inner.findings:
            return
        for place in (*inner.key_places, *inner.value_places):
            tree.key_places[place] = Place(name)
    elif text in ("", "null", "~") and not ((key := key_at(Config, path)) and key.secret):
        value = None
    tree.key_places[path] = Place(name)
    node = tree.values
    for part in path[:-1]:
        node = node.setdefault(str(part), {})
        if not isinstance(node, dict):
            return  # the section as a whole is reported as wrong
    last = str(path[-1])
    if isinstance(value, dict) and isinstance(node.get(last), dict):
        node[last] = {**value, **node[last]}
    else:
        node[last] = value


def _kind(section: type[Section], path: Path) -> str | None:
    """Tell whether a path is a known key, and whether its value is text or has a structure."""
    name, rest = str(path[0]), path[1:]
    of_file = None if rest else secret_by_file(section, path)
    key = keys(section).get(of_file or name)
    if key is None:
        return None
    if not rest:
        return "text" if key.shape is Shape.VALUE else "structure"
    match key.shape, key.section:
        case Shape.SECTION, inner if inner:
            return _kind(inner, rest)
        case Shape.NAMED, inner if inner:
            return _kind(inner, rest[1:]) if len(rest) > 1 else "structure"
        case Shape.TEXTS, _:
            return "text" if len(rest) == 1 else None
    return None


def _guards(path: Path) -> bool:
    """Tell whether a key guards or hides something: empty, it would be an error and not "off"."""
    key = key_at(Config, path)
    return (
        path[0] == "access"
        or path[:2] == ("listen", "tls")
        or (key is not None and key.secret)
        or secret_by_file(Config, path) is not None
    )


def _unknown(name: str, path: Path) -> Finding:
    known = [variable(tuple(key.split("."))) for key in every_key(Config)]
    # SRPROXY_PORT: its section alone is missing.
    close = [
        found
        for found in known
        if len(path) == 1 and found.endswith(f"__{name.removeprefix(PREFIX)}")
    ]
    if not close:
        import difflib  # only for somebody's slip

        close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "accepted: the keys of config.example.yaml"
    return Finding(Place(name), f"{dotted(path)}: is not a key; {hint}")
