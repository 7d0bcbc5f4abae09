"""Names that several packages use."""

from typing import Final
from urllib.parse import urlencode

# The account that the top level of the configuration describes.
DEFAULT_ACCOUNT: Final = "default"


def login_path(account: str) -> str:
    """Return the path and query that begin the login of an account."""
    query = "" if account == DEFAULT_ACCOUNT else f"?{urlencode({'account': account})}"
    return f"/-/login{query}"
