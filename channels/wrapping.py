"""Key steps that the writer's tree and a reader's path share (channels.md 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from channels.errors import CommitRejected
from channels.kdf import kdf, kdf_info, kdf_with, sha256

__all__ = ["CommitKeys", "FreshSecrets", "evolve", "node_key", "parent_secret"]

_PATH = kdf_info(b"path")
_NODE = kdf_info(b"node")
_EVOLVE = kdf_info(b"evolve")


def parent_secret(secret: bytes) -> bytes:
    """`p_parent = KDF(p_child, "path", "")`."""
    return kdf_with(secret, _PATH)


def node_key(secret: bytes) -> bytes:
    """`k_v = KDF(p_v, "node", "")`."""
    return kdf_with(secret, _NODE)


def evolve(key: bytes) -> bytes:
    """`KDF(k_v, "evolve", "")`: what a key becomes once it has wrapped. Nobody can go back."""
    return kdf_with(key, _EVOLVE)


@dataclass(frozen=True, slots=True)
class CommitKeys:
    """Wraps and unwraps under tree nodes for one epoch of one stream."""

    sid: bytes
    epoch: int

    def _wrap_key(self, key: bytes, level: int, index: int) -> bytes:
        ctx = self.sid + self.epoch.to_bytes(8, "big") + bytes((level,)) + index.to_bytes(4, "big")
        return kdf(key, b"wrap", ctx)

    def wrap(self, key: bytes, level: int, index: int, secret: bytes) -> bytes:
        """40 bytes of AES-256-KW (RFC 3394) under a key that exists for this one use."""
        return aes_key_wrap(self._wrap_key(key, level, index), secret)

    def unwrap(self, key: bytes, level: int, index: int, wrapped: bytes) -> bytes:
        """The 32 wrapped bytes; CommitRejected when they do not belong under this key."""
        try:
            return aes_key_unwrap(self._wrap_key(key, level, index), wrapped)
        except InvalidUnwrap as error:
            raise CommitRejected(f"the wrap under node ({level}, {index}) does not open") from error


@dataclass(frozen=True, slots=True)
class FreshSecrets:
    """Secrets of one commit, all from T and from what the commit does.

    A commit is re-made byte for byte after a crash, the tree follows from T and the log, and a commit with another
    predecessor, slot or membership shares no secret with it.
    """

    master: bytes = field(repr=False)
    epoch: int
    digest: bytes

    @classmethod
    def of(cls, master: bytes, epoch: int, prev_commit_hash: bytes, first_slot: int, changes: bytes) -> FreshSecrets:
        """`changes` is `removed || added` in wire encoding."""
        return cls(master, epoch, sha256(prev_commit_hash + first_slot.to_bytes(8, "big") + changes))

    def secret(self, level: int, index: int) -> bytes:
        """The fresh 32 bytes of node (level, index)."""
        ctx = self.epoch.to_bytes(8, "big") + bytes((level,)) + index.to_bytes(4, "big") + self.digest
        return kdf(self.master, b"fresh", ctx)
