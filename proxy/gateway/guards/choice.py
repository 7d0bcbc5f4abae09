"""Which account serves a call. The first of these that is there, else the default one:

the API key's own   access.api_keys[].account; a call that names another is refused
X-SRProxy-Account   a header, which is not forwarded
NAME.localhost      the Host's label, where there are accounts beside the default one
"""

from collections.abc import Collection, Mapping
from typing import Final

from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import Problem

ACCOUNT_HEADER: Final = b"x-srproxy-account"
LOCALHOST: Final = b".localhost"


class Choice:
    """The configured accounts, to choose from."""

    def __init__(self, accounts: Collection[str]) -> None:
        self._accounts = frozenset(accounts)
        self._by_host = len(self._accounts) > 1

    def of(self, fields: Mapping[bytes, bytes], own: str | None) -> str:
        """Return the account of a call; `own` is that of its API key, if it has one."""
        named = fields.get(ACCOUNT_HEADER)
        if named is None and self._by_host:
            named = _label(fields.get(b"host", b""))
        if named is None:
            return own or DEFAULT_ACCOUNT
        account = named.decode("latin-1")
        if own is not None:
            if account != own:
                raise Problem(
                    "not_allowed",
                    "The API key is bound to one account (access.api_keys, account), and the call "
                    "names another one, in X-SRProxy-Account or as the label of its Host.",
                )
            return own
        if account not in self._accounts:
            raise Problem(
                "unknown_account",
                "The call names an account that is not configured, in X-SRProxy-Account or as the "
                "label of its Host. Add it to accounts, or name one that is there.",
            )
        return account


def _label(host: bytes) -> bytes | None:
    """Return NAME of the Host NAME.localhost, at any port; None for another Host."""
    name = host.partition(b":")[0].lower().removesuffix(b".")
    label = name.removesuffix(LOCALHOST)
    return None if label == name or b"." in label else label
