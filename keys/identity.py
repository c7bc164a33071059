"""All keys of one participant, derived from one mnemonic by the table in `paths`."""

from __future__ import annotations

from typing import NoReturn, final

from keys.errors import PhraseError, SecretLeak
from keys.paths import Kind, Role, derive_key, derive_secret
from keys.phrase import seed_from_mnemonic
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from keys.stream_key import StreamKey

__all__ = ["Identity"]


@final
class Identity:
    """Derives keys on demand; the same phrase, passphrase and label give the same key, on any machine and for ever.

    The three accounts that a node signs with all day are derived once: they lie in memory beside their seed.
    """

    __slots__ = ("_accounts", "_seed")

    def __init__(self, seed: bytes) -> None:
        if not isinstance(seed, bytes) or len(seed) != 64:
            raise PhraseError("a BIP-39 seed is 64 bytes")
        self._seed = seed
        self._accounts: dict[Role, LocalSigner] = {}

    @classmethod
    def from_mnemonic(cls, phrase: str, passphrase: str = "") -> Identity:
        """PhraseError if the words are not a BIP-39 phrase. The passphrase is BIP-39's, not the keystore's."""
        return cls(seed_from_mnemonic(phrase, passphrase))

    def wallet(self) -> LocalSigner:
        """The participant's account, where ordinary wallets look first (m/44'/60'/0'/0/0)."""
        return self._account(Role.WALLET)

    def device(self) -> LocalSigner:
        """The account of this machine, which pairs with an owner."""
        return self._account(Role.DEVICE)

    def sender(self) -> LocalSigner:
        """The account that pays for transactions; it is trusted with nothing else."""
        return self._account(Role.SENDER)

    def _account(self, role: Role) -> LocalSigner:
        if role not in self._accounts:
            self._accounts[role] = LocalSigner(derive_key(self._seed, role))
        return self._accounts[role]

    def writer(self, label: str) -> LocalSigner:
        """The writer of one stream; writers of one gateway are not linkable on chain."""
        return LocalSigner(derive_key(self._seed, Role.WRITER, label))

    def reader(self, label: str) -> LocalSigner:
        """The reader of one consent; readers of one provider are not linkable on chain."""
        return LocalSigner(derive_key(self._seed, Role.READER, label))

    def asset(self, label: str) -> LocalSigner:
        """The account of this asset in one market; its accounts in several markets are not linkable on chain."""
        return LocalSigner(derive_key(self._seed, Role.ASSET, label))

    def stream_key(self, label: str, post_quantum: bool = False) -> StreamKey:
        """The Ed25519 key of one stream; with `post_quantum` (suite 2) an ML-DSA-65 key beside the same one."""
        seed = derive_secret(self._seed, Kind.STREAM_KEY, label)
        return StreamKey(seed + derive_secret(self._seed, Kind.STREAM_KEY_ML_DSA, label) if post_quantum else seed)

    def sealing_key(self, label: str) -> SealingKey:
        """The sealing key of one purpose, for example `inbox` or one consent."""
        return SealingKey(derive_secret(self._seed, Kind.SEALING_KEY, label))

    def secret(self, label: str) -> bytes:
        """32 bytes for one purpose, for example the key of the private log."""
        return derive_secret(self._seed, Kind.SECRET, label)

    def __repr__(self) -> str:
        return f"Identity(wallet=0x{self.wallet().address.hex()})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("an identity is not pickled or copied; store its mnemonic in the keystore")
