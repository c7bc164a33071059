"""Capsules: what one reader gets sealed to its own key (channels.md 3).

::

    ver u16 | kind u8 | epoch u64 | leaf u32 | HPKE(X-Wing) of the plaintext | Ed25519 sig 64
    Welcome, Resync:  leaf u32 | epoch u64 | depth u8 | (depth + 1) x 32 path keys | S_e 32 | covers
    History:          covers                                              (its leaf is 2**32 - 1: it has none)

HPKE base mode says nothing about the sender and takes no additional data here, so everything that the capsule belongs
to is in `info`, and the stream key signs info and capsule together: a capsule cannot be moved to another stream,
grant, key or request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from channels.codec import LAST_EPOCH, ByteReader, ByteWriter, require
from channels.commit import MAX_DEPTH
from channels.errors import CapsuleRejected, SignatureRejected, UnknownVersion
from channels.history import Covers
from channels.kdf import KEY_BYTES, sha256
from keys.errors import KeysError
from keys.messages import Domain
from keys.sealing import SealingKey, open_sealed, reader_key_hash, seal
from keys.stream_key import verify_stream_signature

__all__ = [
    "NO_LEAF",
    "NO_REQUEST",
    "CapsuleHeader",
    "CapsuleKind",
    "Membership",
    "Recipient",
    "StreamSigner",
    "open_capsule",
    "seal_capsule",
]

CAPSULE_VERSION = 1
NO_LEAF = 0xFFFFFFFF
NO_REQUEST = bytes(32)
_HEADER_BYTES = 2 + 1 + 8 + 4
_SIGNATURE_BYTES = 64


class StreamSigner(Protocol):
    """The part of `keys.stream_key.StreamKey` that is used here."""

    public_bytes: bytes

    def sign(self, message: bytes) -> bytes: ...

    def sign_ml_dsa(self, message: bytes) -> bytes: ...


class CapsuleKind(IntEnum):
    """What a capsule is for; the name is part of the HPKE info."""

    WELCOME = 1
    HISTORY = 2
    RESYNC = 3


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom and what a capsule belongs to. Ids 32 bytes; `request_id` zero unless it answers a Resync request."""

    domain: Domain
    sid: bytes
    grant_id: bytes
    reader_key_hash: bytes
    request_id: bytes = NO_REQUEST

    def info(self, header: CapsuleHeader, commit_hash: bytes) -> bytes:
        """The HPKE info: label and H over every fixed-width field."""
        bound = (
            self.domain.separator()
            + self.sid
            + self.grant_id
            + header.epoch.to_bytes(8, "big")
            + header.leaf.to_bytes(4, "big")
            + self.reader_key_hash
            + commit_hash
            + self.request_id
        )
        return b"ckt1 " + header.kind.name.lower().encode() + sha256(bound)


@dataclass(frozen=True, slots=True)
class CapsuleHeader:
    """The open part of a capsule."""

    kind: CapsuleKind
    epoch: int
    leaf: int

    def encode(self) -> bytes:
        return ByteWriter().u16(CAPSULE_VERSION).u8(self.kind).u64(self.epoch).u32(self.leaf).done()

    @classmethod
    def decode(cls, data: bytes) -> CapsuleHeader:
        """Read the open part; FormatError for anything but the canonical encoding."""
        require(len(data) > _HEADER_BYTES + _SIGNATURE_BYTES, "the capsule is truncated")
        reader = ByteReader(data[:_HEADER_BYTES])
        version, kind = reader.u16(), reader.u8()
        if version != CAPSULE_VERSION:
            raise UnknownVersion(f"capsule version {version}")
        require(kind in {k.value for k in CapsuleKind}, f"no capsule kind {kind}")
        header = cls(CapsuleKind(kind), reader.u64(), reader.u32())
        require(header.epoch <= LAST_EPOCH, "epoch out of range")
        require((header.leaf == NO_LEAF) == (header.kind is CapsuleKind.HISTORY), "only a History has no leaf")
        return header


@dataclass(frozen=True, slots=True)
class Membership:
    """A leaf's place in the tree at one epoch: path keys from leaf to root, and the epoch's secret."""

    leaf: int
    epoch: int
    path_keys: tuple[bytes, ...] = field(repr=False)
    epoch_secret: bytes = field(repr=False)


def _encode_plain(membership: Membership | None, covers: Covers) -> bytes:
    out = ByteWriter()
    if membership is not None:
        out.u32(membership.leaf).u64(membership.epoch).u8(len(membership.path_keys) - 1)
        out.raw(b"".join(membership.path_keys)).raw(membership.epoch_secret)
    covers.write(out)
    return out.done()


def _decode_plain(plain: bytes, header: CapsuleHeader) -> tuple[Membership | None, Covers]:
    reader = ByteReader(plain)
    membership = None
    if header.kind is not CapsuleKind.HISTORY:
        leaf, epoch, depth = reader.u32(), reader.u64(), reader.u8()
        require((leaf, epoch) == (header.leaf, header.epoch), "the capsule contradicts its header")
        require(depth <= MAX_DEPTH and leaf >> depth == 0, "the leaf is outside the tree")
        keys = tuple(reader.raw(KEY_BYTES) for _ in range(depth + 1))
        membership = Membership(leaf, epoch, keys, reader.raw(KEY_BYTES))
    covers = Covers.read(reader)
    reader.end()
    return membership, covers


def _signed_message(info: bytes, data: bytes) -> bytes:
    return b"ckt1 capsule\x00" + info + data


def seal_capsule(
    header: CapsuleHeader,
    recipient: Recipient,
    public: bytes,
    commit_hash: bytes,
    content: tuple[Membership | None, Covers],
    signer: StreamSigner,
) -> bytes:
    """Seal and sign. CapsuleRejected when `public` (1,216 bytes) is not the key that the recipient's hash names."""
    try:
        if reader_key_hash(public) != recipient.reader_key_hash:
            raise CapsuleRejected("the public key is not the one that the grant names")
        info = recipient.info(header, commit_hash)
        data = header.encode() + seal(public, _encode_plain(*content), info)
    except KeysError as error:
        raise CapsuleRejected("the reader's public key is not usable") from error
    return data + signer.sign(_signed_message(info, data))


def open_capsule(
    data: bytes, recipient: Recipient, key: SealingKey, commit_hash: bytes, stream_public: bytes
) -> tuple[CapsuleHeader, Membership | None, Covers]:
    """Check the signature, then open, then decode.

    `commit_hash` is the one that the *chain* shows for the capsule's epoch (read it with `CapsuleHeader.decode`).
    SignatureRejected, CapsuleRejected or FormatError; which one tells a sender nothing about the reader's key.
    """
    header = CapsuleHeader.decode(data)
    body, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    info = recipient.info(header, commit_hash)
    try:
        verify_stream_signature(stream_public, _signed_message(info, body), signature)
    except KeysError as error:
        raise SignatureRejected(
            "the capsule is not signed by the stream key for this reader, epoch and commit"
        ) from error
    try:
        plain = open_sealed(key, body[_HEADER_BYTES:], info)
    except KeysError as error:
        raise CapsuleRejected("the capsule does not open with this key") from error
    return header, *_decode_plain(plain, header)
