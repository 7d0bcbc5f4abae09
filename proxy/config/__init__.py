"""The configuration as frozen values, checked: `Config`, its sections, and `Config.build`.

Reading files and the environment is proxy.config's part; nothing here does any I/O.
"""

from proxy.config.model import (
    AccessConfig,
    ApiKeyConfig,
    Config,
    ListenConfig,
    LogConfig,
    NotifyConfig,
    OAuthConfig,
    ProbesConfig,
    RedisConfig,
    ShutdownConfig,
    TokensConfig,
    UpstreamConfig,
)

__all__ = [
    "AccessConfig",
    "ApiKeyConfig",
    "Config",
    "ListenConfig",
    "LogConfig",
    "NotifyConfig",
    "OAuthConfig",
    "ProbesConfig",
    "RedisConfig",
    "ShutdownConfig",
    "TokensConfig",
    "UpstreamConfig",
]
