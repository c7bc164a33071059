"""Envelopes: sealed readings in one hash chain (channels.md 3).

::

    ver u16 | sid 32 | epoch u64 | slot u32 | inst 16 | seq u64 | prev_hash 32      102 bytes, all of it AAD
    ciphertext | tag 16 | Ed25519 sig 64 (only in streams that sign every envelope)

The key depends on epoch, slot and `inst`, the nonce on these and seq: two copies of a writer draw different `inst`
and can never use one (key, nonce) twice. prev_hash is H of the whole previous envelope, its signature included.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.capsule import StreamSigner
from channels.codec import LAST_EPOCH, LAST_SEQ, require
from channels.errors import EnvelopeRejected, UnknownVersion, UsageError
from channels.kdf import kdf
from keys.errors import KeysError

__all__ = [
    "ENVELOPE_OVERHEAD",
    "FIRST_HASH",
    "HEADER_BYTES",
    "INSTANCE_BYTES",
    "MAX_PLAINTEXT",
    "PLACE",
    "PREV_HASH",
    "EnvelopeHeader",
    "Lane",
    "SlotCipher",
    "signed_message",
]

ENVELOPE_VERSION = 1
HEADER_BYTES = 102
INSTANCE_BYTES = 16
SIGNATURE_BYTES = 64
TAG_BYTES = 16
ENVELOPE_OVERHEAD = HEADER_BYTES + TAG_BYTES
MAX_PLAINTEXT = 65_536
FIRST_HASH = bytes(32)  # prev_hash of the first envelope of a stream
_HEADER = struct.Struct(">H32sQI16sQ32s")
_PREFIX = struct.Struct(">H32sQI16s")
PREFIX_BYTES = _PREFIX.size
PLACE = slice(34, 46)  # epoch and slot, as bytes in the order of time
PREV_HASH = slice(70, HEADER_BYTES)  # where an envelope names the hash of the one before
_LONGEST = ENVELOPE_OVERHEAD + MAX_PLAINTEXT


class EnvelopeHeader(NamedTuple):
    """The authenticated fields of an envelope."""

    sid: bytes
    epoch: int
    slot: int
    inst: bytes
    seq: int
    prev_hash: bytes

    @classmethod
    def decode(cls, envelope: bytes, signed: bool = False) -> EnvelopeHeader:
        """Read the header; FormatError when the envelope is too short, too long or of another version."""
        tail = TAG_BYTES + (SIGNATURE_BYTES if signed else 0)
        require(HEADER_BYTES + tail <= len(envelope), "the envelope is truncated")
        require(len(envelope) <= HEADER_BYTES + tail + MAX_PLAINTEXT, "the envelope is too long")
        version, *fields = _HEADER.unpack_from(envelope)
        if version != ENVELOPE_VERSION:
            raise UnknownVersion(f"envelope version {version}")
        header = cls(*fields)
        # A member can seal any number; one that no epoch tree and no database has would be trouble further on.
        require(header.epoch <= LAST_EPOCH and header.seq <= LAST_SEQ, "epoch or seq out of range")
        return header


@dataclass(frozen=True, slots=True)
class Lane:
    """Epoch, slot and instance: envelopes of one lane share a message key."""

    sid: bytes
    epoch: int
    slot: int
    inst: bytes

    def prefix(self) -> bytes:
        """The first 62 bytes of every envelope of this lane."""
        return _PREFIX.pack(ENVELOPE_VERSION, self.sid, self.epoch, self.slot, self.inst)


def signed_message(envelope: bytes) -> bytes:
    """What the stream key signs for one envelope (without its signature)."""
    return b"ckt1 envelope\x00" + envelope


@dataclass(frozen=True, slots=True)
class SlotCipher:
    """Message key and nonce base of one lane: `KDF(K, "aead", inst)` and `KDF(K, "nonce", inst)[:12]`.

    mark: all of `KDF(K, "nonce", inst)`, which names the lane and its key among those who hold it.
    """

    prefix: bytes
    mark: bytes = field(repr=False)
    base: int = field(repr=False)
    aead: AESGCM = field(repr=False)

    @classmethod
    def of(cls, slot_key: bytes, lane: Lane) -> SlotCipher:
        if len(lane.inst) != INSTANCE_BYTES:
            raise UsageError("a writer instance has 16 bytes")
        mark = kdf(slot_key, b"nonce", lane.inst)
        base = int.from_bytes(mark[:12], "big")
        return cls(lane.prefix(), mark, base, AESGCM(kdf(slot_key, b"aead", lane.inst)))

    def seal_chain(
        self, plaintexts: Sequence[bytes], seq: int, prev_hash: bytes, signer: StreamSigner | None = None
    ) -> tuple[list[bytes], bytes]:
        """Seal with sequence numbers from `seq` on, each naming the hash of the one before; (envelopes, last hash)."""
        prefix, base, encrypt = self.prefix, self.base, self.aead.encrypt
        envelopes: list[bytes] = []
        append = envelopes.append
        for plaintext in plaintexts:
            header = prefix + seq.to_bytes(8, "big") + prev_hash
            envelope = header + encrypt((base ^ seq).to_bytes(12, "big"), plaintext, header)
            if signer is not None:
                envelope += signer.sign(b"ckt1 envelope\x00" + envelope)
            prev_hash = sha256(envelope).digest()
            append(envelope)
            seq += 1
        return envelopes, prev_hash

    def open(self, envelope: bytes, seq: int, signed: bool) -> bytes:
        """The plaintext of one envelope of this lane; EnvelopeRejected when its tag does not hold."""
        end = len(envelope) - SIGNATURE_BYTES if signed else len(envelope)
        try:
            return self.aead.decrypt(
                (self.base ^ seq).to_bytes(12, "big"), envelope[HEADER_BYTES:end], envelope[:HEADER_BYTES]
            )
        except InvalidTag as error:
            raise EnvelopeRejected(f"envelope {seq} fails its tag") from error

    def open_chain(
        self,
        envelopes: Sequence[bytes],
        start: int,
        seq: int,
        prev_hash: bytes,
        verify: Callable[[bytes, bytes], None] | None = None,
    ) -> tuple[list[bytes], bytes]:
        """Open envelopes from `envelopes[start]` on while they continue the chain in this lane.

        `verify` raises KeysError unless the stream key signed (message, signature); None where the stream does not
        sign each envelope. Returns the plaintexts and the hash of the last one opened (`prev_hash` when none was).
        Stops before the first envelope of another lane, another place in the chain, or with a wrong tag or signature,
        and leaves it to be looked at closely.
        """
        prefix, base, decrypt = self.prefix, self.base, self.aead.decrypt
        longest = _LONGEST if verify is None else _LONGEST + SIGNATURE_BYTES
        plaintexts: list[bytes] = []
        append = plaintexts.append
        for at in range(start, len(envelopes)):
            envelope = envelopes[at]
            header = prefix + seq.to_bytes(8, "big") + prev_hash
            if not envelope.startswith(header) or len(envelope) > longest:
                break
            try:
                if verify is None:
                    sealed = envelope[HEADER_BYTES:]
                else:
                    verify(b"ckt1 envelope\x00" + envelope[:-SIGNATURE_BYTES], envelope[-SIGNATURE_BYTES:])
                    sealed = envelope[HEADER_BYTES:-SIGNATURE_BYTES]
                append(decrypt((base ^ seq).to_bytes(12, "big"), sealed, header))
            except (InvalidTag, ValueError, KeysError):
                break
            prev_hash = sha256(envelope).digest()
            seq += 1
        return plaintexts, prev_hash
