"""Settings of a node: TOML file < environment < flags. See the README beside this file."""

from node.config.access import ACCESS_NAME, LocalAccess, read_access, remove_access, write_access
from node.config.bids import BidsSettings
from node.config.load import (
    CONFIG_NAME,
    DEFAULT_DATA_DIR,
    InvalidConfig,
    LoadedConfig,
    Origin,
    Problem,
    load_settings,
)
from node.config.needs import lacking_settings
from node.config.release import VERSION
from node.config.render import effective, json_schema, reference, sample
from node.config.secret_files import broker_password, keystore_passphrase, read_secret
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
    WebhookSettings,
)
from node.config.values import Listen, parse_listen, parse_topic_rule

__all__ = [
    "ACCESS_NAME",
    "CONFIG_NAME",
    "DEFAULT_DATA_DIR",
    "DEVNET_CHAIN_ID",
    "VERSION",
    "ApiSettings",
    "BidsSettings",
    "BrokerSettings",
    "BrokerUser",
    "ChainSettings",
    "InvalidConfig",
    "Listen",
    "LoadedConfig",
    "LocalAccess",
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
    "WebhookSettings",
    "broker_password",
    "effective",
    "json_schema",
    "keystore_passphrase",
    "lacking_settings",
    "load_settings",
    "parse_listen",
    "parse_topic_rule",
    "read_access",
    "read_secret",
    "reference",
    "remove_access",
    "sample",
    "write_access",
]
