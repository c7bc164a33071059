"""Messages of the ConsentRegistry: who may read which stream for which time, and who writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from keys.eip712 import Domain, Struct
from keys.messages.base import DEADLINE, Message

__all__ = [
    "OPEN_END",
    "Grant",
    "PairDevice",
    "RegisterKey",
    "RegisterStream",
    "Revoke",
    "SetWriter",
    "StreamCommit",
    "TransferStream",
    "UnpairDevice",
    "registry_domain",
]

OPEN_END = 2**40 - 1  # `end` of a grant that lasts until it is revoked


@dataclass(frozen=True, slots=True)
class RegisterStream(Message):
    """Registers a stream; signed by owner and writer."""

    STRUCT: ClassVar[Struct] = Struct(
        "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,"
        f"uint32 slotSeconds,{DEADLINE})"
    )

    owner: bytes
    name_hash: bytes
    writer: bytes
    stream_key_hash: bytes
    genesis: int
    slot_seconds: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class SetWriter(Message):
    """Hands a stream to a new writer; signed by owner and new writer."""

    STRUCT: ClassVar[Struct] = Struct(
        f"SetWriter(address owner,bytes32 sid,address writer,bytes32 streamKeyHash,{DEADLINE})"
    )

    owner: bytes
    sid: bytes
    writer: bytes
    stream_key_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class PairDevice(Message):
    """Pairs a device with its owner; signed by both. device_hash = keccak256(abi.encode(salt, owner, device))."""

    STRUCT: ClassVar[Struct] = Struct(f"PairDevice(address owner,bytes32 deviceHash,{DEADLINE})")

    owner: bytes
    device_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class UnpairDevice(Message):
    """Ends a pairing and the writer right of the named streams; signed by the owner alone or the device alone."""

    STRUCT: ClassVar[Struct] = Struct(f"UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,{DEADLINE})")

    account: bytes
    device_hash: bytes
    sids: tuple[bytes, ...]
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Grant(Message):
    """One consent for several streams; signed by the owner. Its id is its digest. `end` may be OPEN_END."""

    STRUCT: ClassVar[Struct] = Struct(
        "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,"
        f"uint32 purposeTag,bytes32 textHash,{DEADLINE})"
    )

    owner: bytes
    reader: bytes
    reader_key_hash: bytes
    sids: tuple[bytes, ...]
    start: int
    end: int
    purpose_tag: int
    text_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Revoke(Message):
    """Ends a grant for one stream, or for all with sid = 0; by owner or reader. Final, repeatable, no deadline."""

    STRUCT: ClassVar[Struct] = Struct("Revoke(address account,bytes32 grantId,bytes32 sid)")

    account: bytes
    grant_id: bytes
    sid: bytes


@dataclass(frozen=True, slots=True)
class RegisterKey(Message):
    """Replaces the reader's sealing key of a grant; signed by the reader."""

    STRUCT: ClassVar[Struct] = Struct(f"RegisterKey(address reader,bytes32 grantId,bytes32 readerKeyHash,{DEADLINE})")

    reader: bytes
    grant_id: bytes
    reader_key_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class StreamCommit(Message):
    """Anchors a commit of a channel; signed by the writer. The first epoch is 1."""

    STRUCT: ClassVar[Struct] = Struct("StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)")

    sid: bytes
    epoch: int
    commit_hash: bytes


@dataclass(frozen=True, slots=True)
class TransferStream(Message):
    """Gives a stream to a new owner; signed by both."""

    STRUCT: ClassVar[Struct] = Struct(f"TransferStream(address owner,address newOwner,bytes32 sid,{DEADLINE})")

    owner: bytes
    new_owner: bytes
    sid: bytes
    nonce: int
    deadline: int


def registry_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the ConsentRegistry at `address` (20 bytes) on a chain."""
    return Domain("Wattpact ConsentRegistry", "1", chain_id, address)
