"""`wattpact init`: data folder, keystore, identity and config file; all of them or none.

Everything is made in a folder beside its place. The config file is put down first and the keystore last, by one rename:
a crash in between leaves no identity whose words nobody has seen, and the same command can be given again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from channels.errors import FolderLocked
from channels.guard import FolderLock
from keys.errors import EntryExists
from keys.files import create_file, make_folder
from keys.identity import Identity
from keys.keystore import MNEMONIC as MNEMONIC_KIND
from keys.keystore import Keystore
from keys.phrase import check_mnemonic, generate_mnemonic
from node.app.commands.configfile import config_text
from node.app.commands.faults import keys_errors
from node.app.datadir import MNEMONIC, DataDir
from node.cli.factories import InitOptions, InitResult
from node.config import CONFIG_NAME
from node.errors import Busy, ConfigError, Conflict
from node.types import address_to_text

__all__ = ["initialize", "put_identity"]

_STAGING: Final = ".init-"


def initialize(options: InitOptions) -> InitResult:
    """Raises InvalidInput for a phrase that is none, Conflict where there is an identity, ConfigError, Busy."""
    text = config_text(options.settings)
    given = options.mnemonic
    with keys_errors():
        words = generate_mnemonic() if given is None else check_mnemonic(given.get_secret_value())
    root = options.data_dir
    fresh = not root.exists()
    try:
        with keys_errors():
            make_folder(root)
            with FolderLock(root):
                addresses = _Place(root).make(text, words, options.passphrase)
    except FolderLocked as error:
        raise Busy(f"The data folder {root} is in use.", remedy="Stop the node that runs there.") from error
    except OSError as error:
        raise ConfigError(
            f"{error.filename or root} cannot be written ({error.strerror}).",
            remedy="Name another data folder with --data-dir, or make room there.",
        ) from error
    finally:
        if fresh:
            _forget_empty(root)
    return InitResult(root / CONFIG_NAME, addresses, SecretStr(words) if given is None else None)


def put_identity(root: Path, words: str, passphrase: SecretStr) -> dict[str, str]:
    """A new identity in a folder that has a config file and no keystore; the accounts. The caller holds the lock."""
    with keys_errors():
        return _Place(root).renew(words, passphrase)


def _forget_empty(root: Path) -> None:
    """A folder that was made for nothing goes again; one with an identity in it stays, as rmdir refuses it."""
    if root.is_dir() and {path.name for path in root.iterdir()} <= {"lock"}:
        (root / "lock").unlink(missing_ok=True)
        with suppress(OSError):
            root.rmdir()


class _Place:
    """One data folder, locked by the caller."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._keystore = DataDir(root).keystore
        self._config = root / CONFIG_NAME
        self._staging = root / f"{_STAGING}{os.urandom(8).hex()}"

    def make(self, text: str, words: str, passphrase: SecretStr) -> dict[str, str]:
        self._refuse_existing(text)
        self._sweep()
        wrote = done = False
        try:
            self._staging.mkdir(mode=0o700)
            identity = self._stage_keys(words, passphrase)
            wrote = self._put_config(text)
            self._put_keystore()
            done = True
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            if wrote and not done:
                self._config.unlink(missing_ok=True)
        return self._accounts(identity)

    def renew(self, words: str, passphrase: SecretStr) -> dict[str, str]:
        try:
            self._staging.mkdir(mode=0o700)
            identity = self._stage_keys(words, passphrase)
            self._put_keystore()
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
        return self._accounts(identity)

    @staticmethod
    def _accounts(identity: Identity) -> dict[str, str]:
        signers = {"wallet": identity.wallet(), "device": identity.device(), "sender": identity.sender()}
        return {name: address_to_text(signer.address) for name, signer in signers.items()}

    def _refuse_existing(self, text: str) -> None:
        if DataDir(self._root).reset_marker.exists():
            raise Conflict(
                f"A reset of the gateway in {self._root} has begun and is not finished. Nothing was changed.",
                remedy="Run `wattpact gateway reset` again.",
            )
        if self._keystore.is_symlink() or (self._keystore.exists() and any(self._keystore.iterdir())):
            raise Conflict(
                f"There is an identity in {self._root}. Nothing was changed.",
                remedy="Start it with `wattpact run`, or name another folder with --data-dir.",
            )
        if self._config.exists() and not self._is_same(text):
            raise Conflict(
                f"There is a config file {self._config} without an identity. Nothing was changed.",
                remedy="Move it away, run the command again, and take over from it what you need.",
            )

    def _is_same(self, text: str) -> bool:
        """What an interrupted run of the same command left behind."""
        return self._config.read_bytes() == text.encode()

    def _sweep(self) -> None:
        """What killed runs left: keys that never became anybody's."""
        for leftover in self._root.glob(f"{_STAGING}*"):
            shutil.rmtree(leftover)

    def _stage_keys(self, words: str, passphrase: SecretStr) -> Identity:
        keystore = Keystore.create(self._staging / "keystore", passphrase.get_secret_value())
        keystore.put(MNEMONIC, MNEMONIC_KIND, words.encode())
        identity = Identity.from_mnemonic(keystore.get(MNEMONIC).decode())
        keystore.close()
        return identity

    def _put_config(self, text: str) -> bool:
        """Whether this call wrote it."""
        if self._config.exists():
            self._config.chmod(0o600)
            return False
        try:
            create_file(self._config, text.encode())
        except EntryExists as error:
            raise Conflict(f"{self._config} appeared meanwhile. Nothing was changed.") from error
        return True

    def _put_keystore(self) -> None:
        # Fails where a keystore with anything in it stands: rename replaces empty folders only.
        (self._staging / "keystore").rename(self._keystore)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
