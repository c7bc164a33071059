"""What a node keeps in its data folder, and opening the keys in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from keys.errors import KeystoreMissing, WrongPassphrase
from keys.identity import Identity
from keys.keystore import Keystore
from node.config import Settings
from node.errors import ConfigError, NeedsPerson

__all__ = ["MNEMONIC", "DataDir", "open_identity"]

MNEMONIC = "mnemonic"
"""Name of the keystore entry that everything else is derived from."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below the data folder. The high-water files are not part of any database, by design (channels.md 4, 10)."""

    root: Path

    @property
    def keystore(self) -> Path:
        return self.root / "keystore"

    @property
    def high_water(self) -> Path:
        return self.root / "high-water"

    @property
    def trees(self) -> Path:
        """Sealed snapshots of writers' key trees, one beside the T that an erasure made (channels.md 4, rule 11)."""
        return self.root / "trees"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def reset_marker(self) -> Path:
        """There while a reset has begun and is not finished."""
        return self.root / "reset.json"

    @property
    def channels_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.root / 'channels.db'}"

    @classmethod
    def of(cls, settings: Settings) -> DataDir:
        return cls(settings.node.data_dir)


def open_identity(folder: DataDir, passphrase: SecretStr) -> tuple[Keystore, Identity]:
    """Opens the keystore and derives the identity. Raises ConfigError with what to do, NeedsPerson during a reset."""
    if folder.reset_marker.exists():
        raise NeedsPerson(
            f"A reset of the gateway in {folder.root} has begun and is not finished.",
            remedy="Run `wattpact gateway reset` again.",
        )
    try:
        keystore = Keystore.open(folder.keystore, passphrase.get_secret_value())
    except KeystoreMissing as missing:
        raise ConfigError(f"There are no keys in {folder.root}.", remedy="Make them with `wattpact init`.") from missing
    except WrongPassphrase as wrong:
        raise ConfigError(
            "The passphrase does not open the keystore.", remedy="Check node.passphrase_file.", field="passphrase"
        ) from wrong
    return keystore, Identity.from_mnemonic(keystore.get(MNEMONIC).decode())
