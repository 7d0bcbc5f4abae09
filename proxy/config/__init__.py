"""The configuration as frozen values, checked: `Config`, its sections, and `Config.build`.

Reading files and the environment is proxy.config.loading's part; nothing here does any I/O.
"""

from proxy.config.checking import Config
from proxy.config.limit_rules import LimitRule
from proxy.config.listening import ListenConfig, ProbesConfig, TlsConfig
from proxy.config.model import (
    AccessConfig,
    AccountConfig,
    ApiKeyConfig,
    InspectConfig,
    LimitsConfig,
    LogConfig,
    NotifyConfig,
    OAuthConfig,
    RedisConfig,
    ShutdownConfig,
    TokensConfig,
    UpstreamConfig,
)

__all__ = [
    "AccessConfig",
    "AccountConfig",
    "ApiKeyConfig",
    "Config",
    "InspectConfig",
    "LimitRule",
    "LimitsConfig",
    "ListenConfig",
    "LogConfig",
    "NotifyConfig",
    "OAuthConfig",
    "ProbesConfig",
    "RedisConfig",
    "ShutdownConfig",
    "TlsConfig",
    "TokensConfig",
    "UpstreamConfig",
]
