"""The optional second signature of commits and checkpoints: ML-DSA-65 by the stream key (channels.md 3).

A stream whose key has an ML-DSA-65 half (suite 2 of streamKeyHash) uses version 2 of both messages: version 1 with
3,309 bytes more at the end. The version is part of what both signatures cover and of the commit hash on chain, so
nobody can take the second signature off a message and pass the rest on as a message of the other version; and the
reader knows from the stream key, whose hash is on chain, which version it must see. There is nothing to negotiate.
"""

from __future__ import annotations

from channels.errors import SignatureRejected
from keys.errors import KeysError
from keys.stream_key import ML_DSA_65_SIGNATURE_SIZE, verify_ml_dsa

__all__ = ["VERSIONS", "check_second_signature", "check_version", "second_signature_bytes", "version_for"]

_ONE, _TWO = 1, 2
VERSIONS = (_ONE, _TWO)


def version_for(ml_dsa_public: bytes) -> int:
    """The version of commits and checkpoints of a stream with this ML-DSA-65 half (empty for none)."""
    return _TWO if ml_dsa_public else _ONE


def second_signature_bytes(version: int) -> int:
    """How many bytes the second signature takes in a message of this version."""
    return ML_DSA_65_SIGNATURE_SIZE if version == _TWO else 0


def check_version(version: int, ml_dsa_public: bytes, what: str) -> None:
    """SignatureRejected unless the message has exactly the signatures that the stream key asks for."""
    if version != version_for(ml_dsa_public):
        number = "a second signature" if ml_dsa_public else "no second signature"
        raise SignatureRejected(f"the stream key asks for {number}, and {what} has another number of them")


def check_second_signature(ml_dsa_public: bytes, message: bytes, signature: bytes, what: str) -> None:
    """SignatureRejected unless `signature` over `message` is by the ML-DSA-65 half; nothing to check without one."""
    if not ml_dsa_public:
        return
    try:
        verify_ml_dsa(ml_dsa_public, message, signature)
    except KeysError as error:
        raise SignatureRejected(f"{what} lacks the stream key's second signature") from error
