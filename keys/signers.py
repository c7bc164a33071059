"""Accounts that sign, behind one protocol, opened by URI.

`keystore:NAME` is a key of the keystore (kind `wallet`), or with `keystore:NAME#ROLE` or `#ROLE/LABEL` a key derived
from a mnemonic there (kind `mnemonic`; roles of `paths`). `memory:` is a new random key for tests and devnets;
`memory:0x<64 hex>` a given one. Hardware and remote signers implement the same protocol.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol, final, runtime_checkable

from coincurve import PrivateKey
from eth_utils.exceptions import ValidationError

from keys.eip712 import keccak256
from keys.errors import SecretLeak, SignerError
from keys.messages import Domain, Message, digest
from keys.paths import Role, derive_key
from keys.phrase import seed_from_mnemonic
from keys.transactions import DynamicFee

__all__ = ["LocalSigner", "SecretStore", "Signer", "open_signer"]


@runtime_checkable
class Signer(Protocol):
    """An account that signs messages and transactions; the key may be elsewhere, so both may wait."""

    @property
    def address(self) -> bytes:
        """The account, 20 bytes."""

    async def sign_message(self, message: Message, domain: Domain) -> bytes:
        """The 65-byte EIP-712 signature r || s || v, v 27 or 28, s in the lower half."""

    async def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """The raw signed transaction; fields as in JSON-RPC, integers as int. SignerError if it cannot be signed."""


class SecretStore(Protocol):
    """What a signer needs of the keystore."""

    def get(self, name: str) -> bytes: ...

    def kind(self, name: str) -> str: ...


@final
class LocalSigner:
    """A secp256k1 key in this process's memory. Its text form and pickling never show the key."""

    __slots__ = ("_address", "_key")

    def __init__(self, secret: bytes) -> None:
        if not isinstance(secret, bytes) or len(secret) != 32:
            raise SignerError("a wallet key is 32 bytes")
        try:
            self._key = PrivateKey(secret)
        except ValueError as error:
            raise SignerError("the bytes are not a secp256k1 key (zero, or not below the group order)") from error
        self._address = keccak256(self._key.public_key.format(compressed=False)[1:])[12:]

    @classmethod
    def generate(cls) -> LocalSigner:
        """A new random key."""
        return cls(os.urandom(32))

    @property
    def address(self) -> bytes:
        return self._address

    def to_bytes(self) -> bytes:
        """The 32-byte key. Secret: for the keystore only."""
        return self._key.secret

    async def sign_message(self, message: Message, domain: Domain) -> bytes:
        # RFC 6979 nonces and low s by libsecp256k1.
        raw = self._key.sign_recoverable(digest(message, domain), hasher=None)
        return raw[:64] + bytes([raw[64] + 27])

    async def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        common = DynamicFee.of(transaction)
        if common is not None:
            return common.signed(self._key.sign_recoverable(common.hash, hasher=None))
        for name, value in transaction.items():
            # The library signs an overlong integer, which no node accepts, and trips over a negative one.
            if isinstance(value, int) and not 0 <= value < 1 << 256:
                raise SignerError(f"the transaction cannot be signed: {name} does not fit uint256")
        from keys.ethereum import Account

        try:
            signed = Account.sign_transaction(dict(transaction), self._key.secret)
        except (TypeError, ValueError, KeyError, ValidationError) as error:
            raise SignerError(f"the transaction cannot be signed: {error}") from error
        return bytes(signed.raw_transaction)

    def __repr__(self) -> str:
        return f"LocalSigner(address=0x{self._address.hex()})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("a signer is not pickled or copied; store its key in the keystore")


def open_signer(uri: str, keystore: SecretStore | None = None) -> Signer:
    """The signer that the URI names; SignerError or a keystore error says what to do and repeats no secret."""
    scheme, colon, rest = uri.partition(":")
    if not colon:
        raise SignerError("a signer is named scheme:rest, for example keystore:wallet")
    if scheme == "memory":
        return _memory(rest)
    if scheme == "keystore":
        if keystore is None:
            raise SignerError("a keystore: signer needs an open keystore")
        return _stored(rest, keystore)
    raise SignerError(f"unknown signer scheme {scheme[:20]!r}; known are keystore: and memory:")


def _memory(rest: str) -> LocalSigner:
    if not rest:
        return LocalSigner.generate()
    text = rest.removeprefix("0x")
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != 32 or len(text) != 64:
        raise SignerError("memory: is followed by nothing or by 0x and 64 hex digits")
    return LocalSigner(secret)


def _stored(rest: str, keystore: SecretStore) -> LocalSigner:
    name, hash_sign, fragment = rest.partition("#")
    kind = keystore.kind(name)
    if kind == "wallet":
        if hash_sign:
            raise SignerError(f"keystore:{name} holds one key; leave out #{fragment[:40]}")
        return LocalSigner(keystore.get(name))
    if kind != "mnemonic":
        raise SignerError(f"keystore:{name} is of kind {kind}; signers are of kind wallet or mnemonic")
    title, slash, label = fragment.partition("/")
    role = next((role for role in Role if role.title == title), None)
    if role is None:
        raise SignerError(f"keystore:{name} is a mnemonic; append #wallet, #device, #sender, #writer/.. or #reader/..")
    # Bytes that are no text must not end up in a decoding error, which would carry the secret along.
    phrase = keystore.get(name).decode("utf-8", "replace")
    return LocalSigner(derive_key(seed_from_mnemonic(phrase), role, label if slash else None))
