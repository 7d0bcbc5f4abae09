"""Grants: hands out valid access tokens, and never loses a refresh token.

`TokenManager` keeps one account's grant; `lifecycle` has the rules as a table, `live` the grant in
memory, `refresh` the only sequence that spends a refresh token.
"""

from proxy.grant.live import Credential
from proxy.grant.manager import TokenManager
from proxy.grant.source import Account
from proxy.grant.status import AccountStatus

__all__ = ["Account", "AccountStatus", "Credential", "TokenManager"]
