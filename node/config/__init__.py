"""Settings of a node: TOML file < environment < flags. See the README beside this file."""

from node.config.load import (
    CONFIG_NAME,
    DEFAULT_DATA_DIR,
    InvalidConfig,
    LoadedConfig,
    Origin,
    Problem,
    load_settings,
)
from node.config.settings import (
    DEVNET_CHAIN_ID,
    ApiSettings,
    BrokerSettings,
    BrokerUser,
    ChainSettings,
    LogSettings,
    MeterSettings,
    NodeSettings,
    Role,
    Settings,
    StorageSettings,
    StreamName,
    StreamsSettings,
)
from node.config.values import Listen, parse_topic_rule

__all__ = [
    "CONFIG_NAME",
    "DEFAULT_DATA_DIR",
    "DEVNET_CHAIN_ID",
    "ApiSettings",
    "BrokerSettings",
    "BrokerUser",
    "ChainSettings",
    "InvalidConfig",
    "Listen",
    "LoadedConfig",
    "LogSettings",
    "MeterSettings",
    "NodeSettings",
    "Origin",
    "Problem",
    "Role",
    "Settings",
    "StorageSettings",
    "StreamName",
    "StreamsSettings",
    "load_settings",
    "parse_topic_rule",
]
