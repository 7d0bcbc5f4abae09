"""What a sandbox is started with: the registered app, its user, lifetimes and limits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

REFRESH_TOKEN_LIFETIME = 28 * 24 * 3600

# The scopes of a login that names none.
DEFAULT_SCOPES = (
    "candidates_read",
    "candidates_create",
    "candidates_manage",
    "candidates_offers_read",
    "jobs_read",
    "jobs_manage",
    "users_read",
    "user_me_read",
    "company_read",
    "configuration_read",
    "configuration_manage",
    "messages_read",
    "messages_write",
    "reporting_read",
    "webhooks_manage",
)


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """One registered app and how its tokens live; all durations in seconds."""

    client_id: str = "sandbox-client"
    client_secret: str = field(default="sandbox-secret", repr=False)
    redirect_uris: tuple[str, ...] = ("http://localhost:8080/-/callback",)
    app_name: str = "My legacy tool"
    # Full access by `X-SmartToken`; 32 characters, as the real ones.
    api_key: str = field(default="sandbox-api-key-0123456789abcdef", repr=False)
    default_scopes: tuple[str, ...] = DEFAULT_SCOPES

    auto_approve: bool = False
    # SmartRecruiters' own example of a declined login shows no `state`.
    decline_carries_state: bool = True

    code_lifetime: float = 30
    access_token_lifetime: int = 1799
    refresh_token_lifetime: int = REFRESH_TOKEN_LIFETIME

    # On by default: a person with curl stays far below the documented limits. Without it answers
    # still carry their headers.
    throttle: bool = True
    # Seconds of delay before each API answer, so that several requests can be under way at once.
    latency: float = 0.0
    max_body_size: int = 64 * 1024 * 1024

    # Seconds since the epoch. The sandbox imports nothing of the proxy's, so not its Clock.
    clock: Callable[[], float] = field(default=time.time, repr=False)  # noqa: TID251
