"""SmartRecruiters' operations as a Postman collection: a folder for each area.

Format: https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html
"""

from collections.abc import Iterable
from itertools import groupby
from typing import TypeAlias

from proxy.smartrecruiters.operations import Operation
from proxy.smartrecruiters.scopes import scopes_of

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# RFC 6902; the other PATCH operations take plain JSON.
JSON_PATCH = {"PATCH /jobs/{jobId}"}

Json: TypeAlias = "str | bool | list[Json] | dict[str, Json]"


def build_collection(
    operations: Iterable[Operation], base_url: str, *, keys_required: bool = False
) -> dict[str, Json]:
    """Build the collection; the address is its variable `baseUrl`.

    With `keys_required` each call carries the variable `apiKey`, to be filled in. Nothing else is
    needed to authorize: the proxy does that.
    """
    by_area = sorted(operations, key=lambda operation: operation.area)
    variables: list[Json] = [{"key": "baseUrl", "value": base_url.rstrip("/")}]
    authorization: dict[str, Json] = {"type": "noauth"}
    if keys_required:
        variables.append({"key": "apiKey", "value": ""})
        authorization = {
            "type": "apikey",
            "apikey": [
                {"key": "key", "value": "X-API-Key", "type": "string"},
                {"key": "value", "value": "{{apiKey}}", "type": "string"},
                {"key": "in", "value": "header", "type": "string"},
            ],
        }
    return {
        "info": {"name": "SmartRecruiters", "schema": SCHEMA},
        "auth": authorization,
        "variable": variables,
        "item": [
            {"name": area, "item": [_item(operation) for operation in group]}
            for area, group in groupby(by_area, key=lambda operation: operation.area)
        ],
    }


def _item(operation: Operation) -> Json:
    request: dict[str, Json] = {"method": operation.method, "url": _url(operation.path)}
    if operation.method in ("POST", "PUT", "PATCH"):
        request |= _body(operation)
    known = scopes_of(operation)
    if known is not None:
        request["description"] = f"Needs the scope {' or '.join(known.any_of)} ({known.source})."
    return {"name": operation.name, "request": request}


def _url(path: str) -> Json:
    segments: list[Json] = []
    variables: list[Json] = []
    for segment in path.split("/")[1:]:
        if segment.startswith("{"):
            name = segment.strip("{}")
            segments.append(f":{name}")
            variables.append({"key": name, "value": ""})
        else:
            segments.append(segment)
    raw = "/".join(["{{baseUrl}}", *map(str, segments)])
    url: dict[str, Json] = {"raw": raw, "host": ["{{baseUrl}}"], "path": segments}
    if variables:
        url["variable"] = variables
    return url


def _body(operation: Operation) -> dict[str, Json]:
    if operation.body == "multipart":
        return {"body": {"mode": "formdata", "formdata": [{"key": "file", "type": "file"}]}}
    is_patch = operation.name in JSON_PATCH
    media_type = "application/json-patch+json" if is_patch else "application/json"
    return {
        "header": [{"key": "Content-Type", "value": media_type}],
        "body": {"mode": "raw", "raw": "[]" if is_patch else "{}"},
    }
