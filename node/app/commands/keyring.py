"""`wattpact keys`: the keystore of a node, and the accounts that follow from its mnemonic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr

from keys.ethereum import Account
from keys.identity import Identity
from keys.keystore import WALLET, Keystore
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from keys.stream_key import StreamKey
from node.app.commands.faults import keys_errors
from node.app.datadir import DataDir, open_identity
from node.cli.factories import KeyRow
from node.config import LoadedConfig
from node.errors import Conflict, InvalidInput
from node.types import address_to_text, to_hex

__all__ = ["DERIVED", "Keyring"]

DERIVED: Final = "derived"
"""Kind of the rows of accounts that have no entry: they follow from the mnemonic."""

_ACCOUNTS: Final[Mapping[str, Callable[[Identity], LocalSigner]]] = MappingProxyType(
    {"wallet": Identity.wallet, "device": Identity.device, "sender": Identity.sender}
)
# kind -> (a new secret, public part of a secret): an address, an Ed25519 key, the hash that a grant names
_KINDS: Final[Mapping[str, tuple[Callable[[], bytes], Callable[[bytes], str]]]] = MappingProxyType(
    {
        WALLET: (
            lambda: LocalSigner.generate().to_bytes(),
            lambda secret: address_to_text(LocalSigner(secret).address),
        ),
        "stream": (
            lambda: StreamKey.generate().to_bytes(),
            lambda secret: to_hex(StreamKey.from_bytes(secret).public_bytes),
        ),
        "sealing": (
            lambda: SealingKey.generate().to_bytes(),
            lambda secret: to_hex(SealingKey.from_bytes(secret).key_hash()),
        ),
    }
)


class Keyring:
    """Implements `node.cli.factories.KeyCommands`."""

    def new(self, config: LoadedConfig, name: str, kind: str, passphrase: SecretStr) -> KeyRow:
        """See KeyCommands.new."""
        if kind not in _KINDS:
            raise InvalidInput(
                f"{kind!r} is not a kind of key.", remedy=f"Kinds are {', '.join(_KINDS)}.", field="kind"
            )
        if name in _ACCOUNTS:
            raise Conflict(f"The {name} key follows from the mnemonic.", remedy="Choose another name.")
        generate, public = _KINDS[kind]
        with _opened(config, passphrase) as (keystore, _):
            secret = generate()
            keystore.put(name, kind, secret)
            return KeyRow(name, kind, public(secret))

    def show(self, config: LoadedConfig, passphrase: SecretStr) -> Sequence[KeyRow]:
        """The derived accounts, then every entry; entries that have no public part show none."""
        with _opened(config, passphrase) as (keystore, identity):
            rows = [KeyRow(name, DERIVED, address_to_text(of(identity).address)) for name, of in _ACCOUNTS.items()]
            for name in keystore.names():
                kind = keystore.kind(name)
                known = _KINDS.get(kind)
                rows.append(KeyRow(name, kind, known[1](keystore.get(name)) if known else ""))
            return rows

    def export(self, config: LoadedConfig, name: str, passphrase: SecretStr, target: SecretStr) -> Mapping[str, object]:
        """See KeyCommands.export. `wallet`, `device` and `sender` are derived; others must be wallet entries.

        Raises NotFound, InvalidInput for an entry of another kind, Refused for a wrong passphrase.
        """
        words = target.get_secret_value()
        if not words:
            raise InvalidInput("The new file needs a passphrase of its own.", remedy="Type one.")
        with _opened(config, passphrase) as (keystore, identity):
            derived = _ACCOUNTS.get(name)
            if derived is not None:
                return dict(Account.encrypt(derived(identity).to_bytes(), words, kdf="scrypt"))
            return keystore.export_v3(name, words)


@contextmanager
def _opened(config: LoadedConfig, passphrase: SecretStr) -> Iterator[tuple[Keystore, Identity]]:
    """Beside a running node too: entries are only ever added."""
    with keys_errors():
        keystore, identity = open_identity(DataDir.of(config.settings), passphrase)
        try:
            yield keystore, identity
        finally:
            keystore.close()
