"""Reads the secrets that settings only name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import SecretStr

from node.config.settings import Settings
from node.errors import ConfigError

__all__ = ["broker_password", "keystore_passphrase", "read_secret"]

_MAX_BYTES: Final = 4096


def read_secret(path: Path) -> SecretStr:
    """The first line of a file that only its owner may read. Raises ConfigError."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()[: _MAX_BYTES + 1]
    except OSError as error:
        raise ConfigError(f"The secret file {path} cannot be read ({error.strerror}).") from None
    if mode & 0o077:
        raise ConfigError(f"The secret file {path} can be read by other users.", remedy=f"Run chmod 600 {path}.")
    try:
        line = data.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        raise ConfigError(f"The secret file {path} is not UTF-8 text.", remedy="Save it as UTF-8.") from None
    if not line or len(data) > _MAX_BYTES:
        raise ConfigError(f"The secret file {path} must hold one line of text.", remedy="Write the secret into it.")
    return SecretStr(line)


def keystore_passphrase(settings: Settings) -> SecretStr | None:
    """From the environment, else from passphrase_file, else None: then somebody has to type it."""
    node = settings.node
    if node.passphrase is not None:
        return node.passphrase
    return read_secret(node.passphrase_file) if node.passphrase_file else None


def broker_password(settings: Settings) -> SecretStr | None:
    """From the environment, else from password_file, else None."""
    broker = settings.broker
    if broker.password is not None:
        return broker.password
    return read_secret(broker.password_file) if broker.password_file else None
