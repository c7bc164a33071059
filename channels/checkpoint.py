"""Checkpoints: the stream key vouches for a run of envelopes (channels.md 3).

::

    ver u16 | sid 32 | epoch u64 | slot u32 | first_seq u64 | count u32 | last_hash 32 | key_confirm 32
    Ed25519 sig 64 | ML-DSA-65 sig 3,309 (in version 2 only)

Members share the keys and could forge each other's data; only the writer can sign. `key_confirm = KDF(K_{e,t},
"confirm", "")` commits the writer to one slot key, so that a reader of history cannot be given another one for the
same slot. A checkpoint with count 0 says that the slot holds nothing: dropping all of a slot does not go unnoticed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from channels.capsule import StreamSigner
from channels.codec import LAST_EPOCH, LAST_SEQ, require
from channels.errors import SignatureRejected, UnknownVersion
from channels.kdf import kdf
from channels.second_signature import (
    VERSIONS,
    check_second_signature,
    check_version,
    second_signature_bytes,
    version_for,
)
from keys.errors import KeysError
from keys.stream_key import ED25519_PUBLIC_SIZE, ED25519_SIGNATURE_SIZE, verify_stream_signature

__all__ = ["CHECKPOINT_BYTES", "Checkpoint", "slot_confirmation"]

_BODY = struct.Struct(">H32sQIQI32s32s")
_FIRST_END = _BODY.size + ED25519_SIGNATURE_SIZE
CHECKPOINT_BYTES = _FIRST_END  # without the second signature


def slot_confirmation(slot_key: bytes) -> bytes:
    """`KDF(K_{e,t}, "confirm", "")`."""
    return kdf(slot_key, b"confirm")


def _signed_message(body: bytes) -> bytes:
    return b"ckt1 checkpoint\x00" + body


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`count` envelopes from `first_seq` on, all of one epoch and slot; `last_hash` is H of the last one before its
    end.
    """

    sid: bytes
    epoch: int
    slot: int
    first_seq: int
    count: int
    last_hash: bytes
    key_confirm: bytes

    @property
    def last_seq(self) -> int:
        """The sequence number whose envelope has `last_hash`."""
        return self.first_seq + self.count - 1

    def sign(self, signer: StreamSigner) -> bytes:
        """The message with its signature, CHECKPOINT_BYTES long; with the second one if the signer has two keys."""
        second = signer.public_bytes[ED25519_PUBLIC_SIZE:]
        body = _BODY.pack(
            version_for(second),
            self.sid,
            self.epoch,
            self.slot,
            self.first_seq,
            self.count,
            self.last_hash,
            self.key_confirm,
        )
        message = _signed_message(body)
        return body + signer.sign(message) + (signer.sign_ml_dsa(message) if second else b"")

    @classmethod
    def decode(cls, data: bytes) -> Checkpoint:
        """Read without checking the signature; FormatError for anything but the canonical encoding."""
        require(len(data) >= CHECKPOINT_BYTES, "the checkpoint is truncated")
        version, *fields = _BODY.unpack_from(data)
        if version not in VERSIONS:
            raise UnknownVersion(f"checkpoint version {version}")
        require(len(data) == CHECKPOINT_BYTES + second_signature_bytes(version), "a checkpoint has another length")
        found = cls(*fields)
        require(found.first_seq >= 1 and found.last_seq <= LAST_SEQ, "the first envelope has seq 1")
        require(found.epoch <= LAST_EPOCH, "epoch out of range")
        return found

    @classmethod
    def verify(cls, data: bytes, stream_public: bytes) -> Checkpoint:
        """Decode and check the signatures by the public stream key (32 bytes, or 1,984 with its ML-DSA-65 half).

        FormatError or SignatureRejected.
        """
        found = cls.decode(data)
        second, message = stream_public[ED25519_PUBLIC_SIZE:], _signed_message(data[: _BODY.size])
        check_version(int.from_bytes(data[:2], "big"), second, "the checkpoint")
        try:
            verify_stream_signature(stream_public, message, data[_BODY.size : _FIRST_END])
        except KeysError as error:
            raise SignatureRejected("the checkpoint is not signed by the stream key") from error
        check_second_signature(second, message, data[_FIRST_END:], "the checkpoint")
        return found
