"""The cryptography of pairing: SPAKE2 over the code, keys bound to the transcript, and sealing under them.

    K           = SPAKE2 (Ed25519 group) with the code as password; ids name the side, the chain and the registry
    transcript  = SHA-256(label || length-prefixed hello of the home || length-prefixed hello of the gateway)
    key(name)   = HKDF-SHA256(K, salt = transcript, info = name)
    later(T, m) = SHA-256(T || length-prefixed m): the transcript once more messages have passed

The chain id, the registry, the attempt and the way the code was given are all in the home's hello, so they are in
every key. Each side proves that it has K before the other reveals anything; a wrong code and a changed hello look the
same. Sources: RFC 9382 (SPAKE2; the library's group encoding predates it), RFC 5869, RFC 8439.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from node.services.pairing.errors import ForgedMessage, MalformedMessage, StateDamaged
from node.services.pairing.models import Place
from node.services.pairing.wire import ELEMENT_SIZE

__all__ = ["Draw", "SharedKey", "agree_as_gateway", "agree_as_home", "begin_as_home", "later", "transcript_of"]

Draw = Callable[[int], bytes]  # n -> n unpredictable bytes

_NONCE = 12


def _ids(place: Place) -> tuple[bytes, bytes]:
    where = place.chain_id.to_bytes(8, "big") + place.registry
    return b"wattpact home\x00" + where, b"wattpact gateway\x00" + where


def begin_as_home(password: bytes, place: Place, draw: Draw) -> tuple[bytes, bytes]:
    """The home's SPAKE2 element and the secret state to finish with."""
    home, gateway = _ids(place)
    side = SPAKE2_A(password, idA=home, idB=gateway, entropy_f=draw)
    element = bytes(side.start())
    return element, bytes(side.serialize())


def agree_as_home(saved: bytes, element: bytes) -> bytes:
    """K from the saved state and the gateway's element; MalformedMessage for a point that nobody honest sends."""
    try:
        side = SPAKE2_A.from_serialized(saved)
    except (SPAKEError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateDamaged(f"the saved exchange cannot be read ({type(error).__name__})") from None
    return _finish(side, element)


def agree_as_gateway(password: bytes, place: Place, element: bytes, draw: Draw) -> tuple[bytes, bytes]:
    """The gateway's element and K."""
    home, gateway = _ids(place)
    side = SPAKE2_B(password, idA=home, idB=gateway, entropy_f=draw)
    own = bytes(side.start())
    return own, _finish(side, element)


def _finish(side: SPAKE2_A | SPAKE2_B, element: bytes) -> bytes:
    if len(element) != ELEMENT_SIZE:  # the library checks by assertion, which may be switched off
        raise MalformedMessage("a SPAKE2 element has 33 bytes")
    try:
        return bytes(side.finish(element))
    except (SPAKEError, ValueError, NotOnCurve) as error:
        # Includes our own element reflected, and points outside the group.
        raise MalformedMessage(f"not a SPAKE2 element of the other side ({type(error).__name__})") from None


def transcript_of(home_hello: bytes, gateway_hello: bytes) -> bytes:
    return later(later(hashlib.sha256(b"wattpact pairing transcript v1").digest(), home_hello), gateway_hello)


def later(transcript: bytes, message: bytes) -> bytes:
    """The transcript after one more message."""
    return hashlib.sha256(transcript + len(message).to_bytes(4, "big") + message).digest()


class SharedKey:
    """K with the transcript that it belongs to; makes and checks confirmations, seals and opens."""

    __slots__ = ("_root", "_transcript")

    def __init__(self, root: bytes, transcript: bytes) -> None:
        self._root = root
        self._transcript = transcript

    def _key(self, name: bytes) -> bytes:
        info = b"wattpact pairing " + name
        return HKDF(algorithm=SHA256(), length=32, salt=self._transcript, info=info).derive(self._root)

    def confirmation(self, side: bytes) -> bytes:
        """32 bytes that only a holder of K can make for this transcript; `side` keeps one from being sent back."""
        return hmac.digest(self._key(b"confirm " + side), self._transcript, "sha256")

    def check_confirmation(self, side: bytes, value: bytes) -> None:
        """ForgedMessage unless `value` was made with the same K and transcript; compared in constant time."""
        if not hmac.compare_digest(self.confirmation(side), value):
            raise ForgedMessage("the other side has another code, or somebody is between the two")

    def seal(self, name: bytes, bound: bytes, plain: bytes, draw: Draw) -> bytes:
        """ChaCha20-Poly1305 under a key for this message alone, bound to the transcript so far."""
        nonce = draw(_NONCE)
        return nonce + ChaCha20Poly1305(self._key(b"seal " + name)).encrypt(nonce, plain, bound)

    def open(self, name: bytes, bound: bytes, sealed: bytes) -> bytes:
        """ForgedMessage unless the other side sealed it in this very exchange."""
        try:
            return ChaCha20Poly1305(self._key(b"seal " + name)).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError):
            raise ForgedMessage("a message was changed on the way or is from another exchange") from None

    def __repr__(self) -> str:
        return "SharedKey()"
