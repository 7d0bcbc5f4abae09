"""The Postman environment for the address that the caller used. Holds no key: a place for one."""

import hashlib
from typing import Any


def build_environment(base_url: str, *, keys_required: bool) -> dict[str, Any]:
    """Build the environment: `baseUrl`, and `apiKey` to be filled in where keys are set."""
    values = [{"key": "baseUrl", "value": base_url, "type": "default", "enabled": True}]
    if keys_required:
        values.append({"key": "apiKey", "value": "", "type": "secret", "enabled": True})
    digest = hashlib.sha256(base_url.encode()).hexdigest()
    identifier = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    return {
        "id": identifier,
        "name": f"SmartRecruiters through {base_url.partition('://')[2]}",
        "values": values,
        "_postman_variable_scope": "environment",
    }
