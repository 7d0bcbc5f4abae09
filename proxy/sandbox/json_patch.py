"""JSON Patch (RFC 6902) with JSON Pointers (RFC 6901), as `PATCH /jobs/{id}` takes it. No I/O."""

import copy
from typing import Any


class PatchError(Exception):
    """The patch is malformed, or does not apply."""


def apply_patch(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Return the patched copy; all of the operations apply, or none (PatchError)."""
    patched = copy.deepcopy(document)
    if not isinstance(operations, list):
        raise PatchError("A JSON Patch is an array of operations")
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchError("An operation is an object")
        path = _parse_pointer(operation.get("path"))
        match operation.get("op"):
            case "add":
                _add(patched, path, _value(operation))
            case "remove":
                _remove(patched, path)
            case "replace":
                _remove(patched, path)
                _add(patched, path, _value(operation))
            case "test":
                if _get(patched, path) != _value(operation):
                    raise PatchError(f"The test of {operation['path']} failed")
            case "move":
                _add(patched, path, _remove(patched, _parse_pointer(operation.get("from"))))
            case "copy":
                source = _get(patched, _parse_pointer(operation.get("from")))
                _add(patched, path, copy.deepcopy(source))
            case other:
                raise PatchError(f"Unknown operation {other!r}")
    return patched


def _parse_pointer(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise PatchError("A path starts with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError("The operation needs a value")
    return operation["value"]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        try:
            document = document[int(part)] if isinstance(document, list) else document[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise PatchError(f"There is no /{'/'.join(path)}") from error
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent, name = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[name] = value
    elif isinstance(parent, list) and (name == "-" or name.isdecimal()):
        parent.insert(len(parent) if name == "-" else int(name), value)
    else:
        raise PatchError(f"Nothing can be added at /{'/'.join(path)}")


def _remove(document: Any, path: list[str]) -> Any:
    _get(document, path)
    parent = _get(document, path[:-1])
    return parent.pop(int(path[-1]) if isinstance(parent, list) else path[-1])
