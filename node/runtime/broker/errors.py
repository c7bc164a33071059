"""Errors of the broker inside a node.

    NodeError
    ├── ConfigError
    │   ├── BrokerSettingsError    users, patterns or hashes that cannot be used
    │   └── CertificateInvalid     a certificate or key file that cannot be used
    ├── Conflict
    │   └── CertificateExists      the file is there and is not overwritten
    └── RecoverableError
        └── BrokerNotStarted       the port is taken, or the state file cannot be opened

A client's misbehaviour is no error of the node: its connection ends and a counter goes up.
"""

from __future__ import annotations

from node.errors import ConfigError, Conflict, RecoverableError

__all__ = ["BrokerNotStarted", "BrokerSettingsError", "CertificateExists", "CertificateInvalid"]


class BrokerSettingsError(ConfigError):
    """Users, patterns or password hashes that cannot be used."""


class CertificateInvalid(ConfigError):
    """A certificate or key that cannot be read, does not fit the other, or has ended."""


class CertificateExists(Conflict):
    """Certificates and keys are made once; nothing is overwritten."""


class BrokerNotStarted(RecoverableError):
    """The broker could not open its port or its state file."""
