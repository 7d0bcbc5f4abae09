"""The environment as a source of configuration: `SRPROXY_` and the key's path joined by `__`.

Lists and mappings come as YAML or JSON text. A variable that begins like ours and names no key is
an error; the exceptions are variables that others make for us. The environment is handed in.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from proxy.config import Config
from proxy.config.checking import every_key, is_secret, known_keys, section_at
from proxy.config.faults import Path, dotted
from proxy.config.tree import Finding, Place, Tree, parse_yaml

PREFIX = "SRPROXY_"
CONFIG_VARIABLE = "SRPROXY_CONFIG"
# What `notify.command` is run with: such a program may call srproxy in turn.
NOTIFICATION = {"SRPROXY_EVENT", "SRPROXY_ACCOUNT", "SRPROXY_REASON", "SRPROXY_LOGIN_URL"}
# What Kubernetes sets in every pod beside a Service that is called "srproxy".
SERVICE_LINK = re.compile(
    r"SRPROXY_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


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
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or name in NOTIFICATION:
            continue
        if SERVICE_LINK.fullmatch(name):
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        kind = _kind(path)
        if kind is None:
            tree.findings.append(_unknown(name, path))
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
    elif text in ("", "null", "~") and not is_secret(Config, path):
        value = None
    tree.key_places[path] = Place(name)
    node = tree.values
    for part in path[:-1]:
        node = node.setdefault(str(part), {})
        if not isinstance(node, dict):
            return  # the section as a whole is wrong, and said to be
    last = str(path[-1])
    if isinstance(value, dict) and isinstance(node.get(last), dict):
        node[last] = {**value, **node[last]}
    else:
        node[last] = value


def _kind(path: Path) -> str | None:
    """Tell whether a path is a known key, and whether its value is text or has a structure."""
    for length in range(1, len(path)):
        if path[:length] == ("accounts",):
            continue  # what follows is the name of one
        if section_at(Config, path[:length]) is None or _is_list(path[:length]):
            # Within the extra parameters every name is taken; within anything else, none.
            return "text" if length == len(path) - 1 and _holds(path[:-1], Mapping) else None
    if len(path) == 2 and path[0] == "accounts":
        return "structure"
    section = section_at(Config, path[:-1])
    if section is None or path[-1] not in known_keys(section):
        return None
    if path[-1] not in section.model_fields:
        return "text"
    annotation = section.model_fields[str(path[-1])].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "structure"
    return "structure" if _is_list(path) or _holds(path, Mapping) else "text"


def _is_list(path: Path) -> bool:
    return _holds(path, tuple)


def _holds(path: Path, origin: type) -> bool:
    section = section_at(Config, path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    if field is None:
        return False
    wanted = {get_origin(kind) for kind in (field.annotation, *get_args(field.annotation))}
    return origin in wanted


def _unknown(name: str, path: Path) -> Finding:
    known = [variable(tuple(key.split("."))) for key in every_key(Config)]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "accepted: the keys of config.example.yaml"
    return Finding(Place(name), f"{dotted(path)}: is not a key; {hint}")
