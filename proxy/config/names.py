"""Names that several rooms use, written once."""

from typing import Final
from urllib.parse import urlencode

# The account that the top level of the configuration describes.
DEFAULT_ACCOUNT: Final = "default"


def login_path(account: str) -> str:
    """Return where the login of an account begins, below our own origin."""
    query = "" if account == DEFAULT_ACCOUNT else f"?{urlencode({'account': account})}"
    return f"/-/login{query}"
