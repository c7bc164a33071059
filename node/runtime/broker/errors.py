"""Errors of the broker inside a node.

    NodeError
    ├── ConfigError
    │   └── BrokerSettingsError    users, patterns or hashes that cannot be used
    └── RecoverableError
        └── BrokerNotStarted       the port is taken, or the state file cannot be opened

A client's misbehaviour is no error of the node: its connection ends and a counter goes up.
"""

from __future__ import annotations

from node.errors import ConfigError, RecoverableError

__all__ = ["BrokerNotStarted", "BrokerSettingsError"]


class BrokerSettingsError(ConfigError):
    """Users, patterns or password hashes that cannot be used."""


class BrokerNotStarted(RecoverableError):
    """The broker could not open its port or its state file."""
