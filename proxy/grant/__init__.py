"""The grant's keeper: a valid access token for whoever forwards, and the refresh token never lost.

`TokenManager` is one account's; lifecycle has the rules as a table, live the grant in memory,
refresh the one sequence that spends a token.
"""

from proxy.grant.live import Credential
from proxy.grant.manager import TokenManager
from proxy.grant.source import Account
from proxy.grant.status import AccountStatus

__all__ = ["Account", "AccountStatus", "Credential", "TokenManager"]
