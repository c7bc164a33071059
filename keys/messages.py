"""The EIP-712 messages as frozen types, in one table.

Addresses are 20 bytes, ids and hashes 32 bytes, times integer seconds UTC. A message checks every width when it is
made, so encoding cannot fail later. Signatures are 65 bytes r || s || v with v 27 or 28 and s in the lower half
(EIP-2). Sources: EIP-712, EIP-2; the messages are those of the ConsentRegistry contract, and the two that stay off
chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from coincurve import PublicKey

from keys.eip712 import Domain, Struct, digest_of, domain_document, domain_from_document, expect_keys, keccak256
from keys.errors import MessageError, SignatureError

__all__ = [
    "OPEN_END",
    "STRUCTS",
    "Domain",
    "Grant",
    "Message",
    "PairDevice",
    "ParcelSeal",
    "RegisterKey",
    "RegisterStream",
    "Revoke",
    "SetWriter",
    "Statement",
    "StreamCommit",
    "TransferStream",
    "UnpairDevice",
    "digest",
    "from_typed_data",
    "parcel_domain",
    "recover",
    "registry_domain",
    "struct_values",
    "typed_data",
    "verify",
]

OPEN_END = 2**40 - 1  # `end` of a grant that lasts until it is revoked

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1 (SEC 2)


@dataclass(frozen=True, slots=True)
class Message:
    """Base of the signed messages; making one with a wrong width or type raises MessageError naming the field."""

    def __post_init__(self) -> None:
        struct = STRUCTS.get(type(self))
        if struct is None:
            raise MessageError(f"{type(self).__name__} is not a message that is signed")
        struct.check(self)


@dataclass(frozen=True, slots=True)
class RegisterStream(Message):
    """Registers a stream; signed by owner and writer."""

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

    owner: bytes
    sid: bytes
    writer: bytes
    stream_key_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class PairDevice(Message):
    """Pairs a device with its owner; signed by both. device_hash = keccak256(abi.encode(salt, owner, device))."""

    owner: bytes
    device_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class UnpairDevice(Message):
    """Ends a pairing and the writer right of the named streams; signed by the owner alone or the device alone."""

    account: bytes
    device_hash: bytes
    sids: tuple[bytes, ...]
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Grant(Message):
    """One consent for several streams; signed by the owner. Its id is its digest. `end` may be OPEN_END."""

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

    account: bytes
    grant_id: bytes
    sid: bytes


@dataclass(frozen=True, slots=True)
class RegisterKey(Message):
    """Replaces the reader's sealing key of a grant; signed by the reader."""

    reader: bytes
    grant_id: bytes
    reader_key_hash: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class StreamCommit(Message):
    """Anchors a commit of a channel; signed by the writer. The first epoch is 1."""

    sid: bytes
    epoch: int
    commit_hash: bytes


@dataclass(frozen=True, slots=True)
class TransferStream(Message):
    """Gives a stream to a new owner; signed by both."""

    owner: bytes
    new_owner: bytes
    sid: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class ParcelSeal(Message):
    """Off chain: what the sender of a sealed node-to-node message signs. The parcel's id is this message's digest."""

    sender: bytes
    recipient_key_hash: bytes
    nonce: bytes
    kind: str
    body_hash: bytes
    sent_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Statement(Message):
    """Off chain: an account vouches for a document (a party card, a receipt, a request for a resync) by its hash."""

    account: bytes
    topic: str
    body_hash: bytes
    nonce: bytes
    signed_at: int
    expires_at: int


_DEADLINE = "uint256 nonce,uint40 deadline"
STRUCTS: Mapping[type[Message], Struct] = MappingProxyType(
    {
        RegisterStream: Struct(
            "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,"
            f"uint32 slotSeconds,{_DEADLINE})"
        ),
        SetWriter: Struct(f"SetWriter(address owner,bytes32 sid,address writer,bytes32 streamKeyHash,{_DEADLINE})"),
        PairDevice: Struct(f"PairDevice(address owner,bytes32 deviceHash,{_DEADLINE})"),
        UnpairDevice: Struct(f"UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,{_DEADLINE})"),
        Grant: Struct(
            "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,"
            f"uint32 purposeTag,bytes32 textHash,{_DEADLINE})"
        ),
        Revoke: Struct("Revoke(address account,bytes32 grantId,bytes32 sid)"),
        RegisterKey: Struct(f"RegisterKey(address reader,bytes32 grantId,bytes32 readerKeyHash,{_DEADLINE})"),
        StreamCommit: Struct("StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)"),
        TransferStream: Struct(f"TransferStream(address owner,address newOwner,bytes32 sid,{_DEADLINE})"),
        ParcelSeal: Struct(
            "ParcelSeal(address sender,bytes32 recipientKeyHash,bytes32 nonce,string kind,bytes32 bodyHash,"
            "uint40 sentAt,uint40 expiresAt)"
        ),
        Statement: Struct(
            "Statement(address account,string topic,bytes32 bodyHash,bytes32 nonce,uint40 signedAt,uint40 expiresAt)"
        ),
    }
)
_BY_NAME: Mapping[str, type[Message]] = MappingProxyType({struct.name: cls for cls, struct in STRUCTS.items()})


def registry_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the ConsentRegistry at `address` (20 bytes) on a chain."""
    return Domain("Wattpact ConsentRegistry", "1", chain_id, address)


def parcel_domain(chain_id: int) -> Domain:
    """The domain of messages between nodes, which no contract ever sees."""
    return Domain("Wattpact Parcel", "1", chain_id)


def _struct(message: Message) -> Struct:
    struct = STRUCTS.get(type(message))
    if struct is None:
        raise MessageError(f"{type(message).__name__} is not a message that is signed")
    return struct


def struct_values(message: Message) -> tuple[Any, ...]:
    """The field values in the order of the Solidity struct, for calls and abi.encode."""
    return _struct(message).values(message)


def digest(message: Message, domain: Domain) -> bytes:
    """The 32 bytes that are signed; also the message's id."""
    return digest_of(_struct(message), message, domain)


def typed_data(message: Message, domain: Domain) -> dict[str, Any]:
    """The JSON document for eth_signTypedData_v4: any wallet signs it. Integers wider than 53 bits are decimal text."""
    struct = _struct(message)
    domain_types, domain_values = domain_document(domain)
    return {
        "types": {"EIP712Domain": domain_types, struct.name: struct.type_document()},
        "primaryType": struct.name,
        "domain": domain_values,
        "message": struct.dump(message),
    }


def from_typed_data(document: object) -> tuple[Message, Domain]:
    """The inverse of typed_data, for documents that come from outside.

    The caller must compare the returned domain with the one it expects: a valid message for another chain or contract
    is somebody else's message. Raises MessageError for an unknown type, a type that differs from ours, a missing,
    extra or ill-formed field, naming it.
    """
    if not isinstance(document, Mapping):
        raise MessageError("typed data: expected an object")
    expect_keys("typed data", document, ["types", "primaryType", "domain", "message"])
    name = document["primaryType"]
    cls = _BY_NAME.get(name) if isinstance(name, str) else None
    if cls is None:
        raise MessageError(f"primaryType: unknown message type {str(name)[:40]!r}")
    struct = STRUCTS[cls]
    types = document["types"]
    if not isinstance(types, Mapping):
        raise MessageError("types: expected an object")
    expect_keys("types", types, ["EIP712Domain", struct.name])
    if types[struct.name] != struct.type_document():
        raise MessageError(f"types.{struct.name}: differs from {struct.type_string}")
    domain = domain_from_document(types["EIP712Domain"], document["domain"])
    return cls(**struct.load(document["message"])), domain


def recover(message: Message, domain: Domain, signature: bytes) -> bytes:
    """The address (20 bytes) whose key made the signature; SignatureError if it is not canonical or recovers none."""
    if not isinstance(signature, bytes) or len(signature) != 65:
        raise SignatureError(f"{type(message).__name__}: a signature is 65 bytes r || s || v")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (27, 28):
        raise SignatureError(f"{type(message).__name__}: v must be 27 or 28, got {v}")
    # A high s is the same signature spelled differently; two spellings of one message would pass a filter by signature.
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        raise SignatureError(f"{type(message).__name__}: r or s is out of range or s is not in the lower half")
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([v - 27]), digest(message, domain), hasher=None
        )
    except ValueError as error:
        raise SignatureError(f"{type(message).__name__}: the signature recovers no key") from error
    return keccak256(key.format(compressed=False)[1:])[12:]


def verify(message: Message, domain: Domain, signature: bytes, signer: bytes) -> None:
    """Raise SignatureError unless `signer` (20 bytes) made the signature."""
    found = recover(message, domain, signature)
    if found != signer:
        raise SignatureError(f"{type(message).__name__}: signed by 0x{found.hex()}, expected 0x{signer.hex()}")
