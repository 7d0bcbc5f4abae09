"""When a request may be sent (docs/behaviour.md, "SmartRecruiters' limits").

window    how many a second, how many at once: arithmetic with instants handed in
row       one account's calls in order, callers by turns
lanes     which limits a request falls under
limiter   one account's limits at work; a Ticket goes with each request
shared    the budget that replicas share through Redis
limits    all accounts' limiters, as the configuration of the moment has them
"""

from proxy.gateway.limits.limiter import Limiter, Ticket, Waiter
from proxy.gateway.limits.limits import Limits
from proxy.gateway.limits.shared import SharedBudget, share_budget

__all__ = ["Limiter", "Limits", "SharedBudget", "Ticket", "Waiter", "share_budget"]
