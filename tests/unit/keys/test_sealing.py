"""channels.md 3 and 6: X-Wing sealing against the draft's vector, context binding, tampering; the stream key."""

from __future__ import annotations

import hashlib
import hmac
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SealError, SecretLeak, SignatureError
from keys.sealing import OVERHEAD, PUBLIC_SIZE, SealingKey, open_sealed, reader_key_hash, seal
from keys.stream_key import (
    STREAM_PUBLIC_SIZES,
    StreamKey,
    stream_key_hash,
    verify_ml_dsa,
    verify_stream_signature,
)
from tests.unit.keys.builders import vector

XWING = vector("keys_xwing.json")
HPKE = vector("keys_hpke.json")
KEY = SealingKey(b"\x09" * 32)


def extract(salt: bytes, label: bytes, ikm: bytes, suite: bytes) -> bytes:
    return hmac.new(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def expand(prk: bytes, label: bytes, info: bytes, size: int, suite: bytes) -> bytes:
    data = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\x01"
    return hmac.new(prk, data, hashlib.sha256).digest()[:size]


def schedule(shared_secret: bytes, info: bytes, suite_id: str) -> tuple[bytes, bytes]:
    """RFC 9180 section 5.1, base mode, written from the text: key and base nonce."""
    suite = b"HPKE" + bytes.fromhex(suite_id)
    context = b"\x00" + extract(b"", b"psk_id_hash", b"", suite) + extract(b"", b"info_hash", info, suite)
    secret = extract(shared_secret, b"secret", b"", suite)
    return expand(secret, b"key", context, 32, suite), expand(secret, b"base_nonce", context, 12, suite)


def sealed_by_hand(shared_secret: bytes, encapsulation: bytes, plaintext: bytes, info: bytes) -> bytes:
    """RFC 9180 section 5.2 over a shared secret of the X-Wing draft's vector."""
    key, nonce = schedule(shared_secret, info, "647a00010003")
    return encapsulation + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def test_rfc9180_vector() -> None:
    """channels.md 6: HPKE with X25519 and ChaCha20Poly1305: the schedule written here is the RFC's and the library's.

    The library takes no additional data, so the RFC's ciphertext is opened by hand and the library's own with the same
    keys; the X-Wing vector below then rests on the same schedule.
    """
    case = {name: bytes.fromhex(value) for name, value in HPKE.items() if name not in ("source", "suite")}
    private = X25519PrivateKey.from_private_bytes(case["skRm"])
    assert private.public_key().public_bytes_raw() == case["pkRm"]
    kem = b"KEM" + bytes.fromhex(HPKE["suite"])[:2]

    def decapsulated(enc: bytes) -> bytes:
        shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
        return expand(extract(b"", b"eae_prk", shared, kem), b"shared_secret", enc + case["pkRm"], 32, kem)

    assert decapsulated(case["enc"]) == case["shared_secret"]
    key, nonce = schedule(case["shared_secret"], case["info"], HPKE["suite"])
    assert (key, nonce) == (case["key"], case["base_nonce"])
    assert ChaCha20Poly1305(key).decrypt(nonce, case["ct"], case["aad"]) == case["pt"]
    library = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    own = library.encrypt(case["pt"], private.public_key(), case["info"])
    key, nonce = schedule(decapsulated(own[:32]), case["info"], HPKE["suite"])
    assert ChaCha20Poly1305(key).decrypt(nonce, own[32:], b"") == case["pt"]
    by_hand = ChaCha20Poly1305(case["key"]).encrypt(case["base_nonce"], case["pt"], b"")
    assert library.decrypt(case["enc"] + by_hand, private, case["info"]) == case["pt"]


def test_xwing_vector() -> None:
    key = SealingKey.from_bytes(bytes.fromhex(XWING["seed"]))
    assert key.public_bytes == bytes.fromhex("".join(XWING["public"]))
    encapsulation, secret = bytes.fromhex("".join(XWING["ciphertext"])), bytes.fromhex(XWING["shared_secret"])
    sealed = sealed_by_hand(secret, encapsulation, b"a reading", b"context")
    assert open_sealed(key, sealed, b"context") == b"a reading"
    with pytest.raises(SealError):
        open_sealed(key, sealed, b"another context")


def test_key_hash_is_what_the_grant_names() -> None:
    assert (
        reader_key_hash(KEY.public_bytes) == hashlib.sha256(b"\x64\x7a" + KEY.public_bytes).digest() == KEY.key_hash()
    )
    for bad in (b"", KEY.public_bytes[1:], KEY.public_bytes + b"\x00", KEY.public_bytes.hex()):
        with pytest.raises(SealError):
            reader_key_hash(bad)  # type: ignore[arg-type]


@given(st.binary(max_size=300), st.binary(max_size=80))
def test_round_trip_binds_the_context(plaintext: bytes, info: bytes) -> None:
    sealed = seal(KEY.public_bytes, plaintext, info)
    assert len(sealed) == len(plaintext) + OVERHEAD
    assert open_sealed(KEY, sealed, info) == plaintext
    for other in (info + b"\x00", b"\x00" + info, info[:-1] if info else b"x"):
        with pytest.raises(SealError):
            open_sealed(KEY, sealed, other)
    with pytest.raises(SealError):
        open_sealed(SealingKey.generate(), sealed, info)


def test_size_of_a_sealed_secret() -> None:
    """toolchain.md: 1,168 bytes for 32."""
    assert len(seal(KEY.public_bytes, bytes(32), b"")) == 1168


def test_two_seals_of_one_text_differ() -> None:
    assert seal(KEY.public_bytes, b"x", b"") != seal(KEY.public_bytes, b"x", b"")


@given(st.integers(0, OVERHEAD + 9), st.integers(1, 255))
def test_tampering_is_found_in_every_region(position: int, flip: int) -> None:
    """ML-KEM ciphertext, X25519 point, ciphertext and tag alike. The top bit of the point is ignored by RFC 7748."""
    sealed = bytearray(seal(KEY.public_bytes, b"0123456789", b"context"))
    if position == 1119 and flip & 0x7F == 0:
        flip ^= 1
    sealed[position] ^= flip
    with pytest.raises(SealError):
        open_sealed(KEY, bytes(sealed), b"context")


@pytest.mark.parametrize("region", [0, 1087, 1088, 1118, 1120, 1129, 1130, 1145])
def test_region_edges(region: int) -> None:
    sealed = bytearray(seal(KEY.public_bytes, b"0123456789", b"context"))
    sealed[region] ^= 1
    with pytest.raises(SealError):
        open_sealed(KEY, bytes(sealed), b"context")


def test_the_ignored_bit_of_the_point_is_covered_too() -> None:
    """X-Wing hashes the point as sent, so even the bit that X25519 ignores cannot be flipped."""
    sealed = bytearray(seal(KEY.public_bytes, b"x", b""))
    sealed[1119] ^= 0x80
    with pytest.raises(SealError):
        open_sealed(KEY, bytes(sealed), b"")


@pytest.mark.parametrize("length", [0, 1, 1119, 1120, OVERHEAD - 1])
def test_truncated(length: int) -> None:
    with pytest.raises(SealError):
        open_sealed(KEY, seal(KEY.public_bytes, b"", b"")[:length], b"")


def test_unusable_public_keys() -> None:
    lattice, point = KEY.public_bytes[:1184], KEY.public_bytes[1184:]
    bad = [b"", KEY.public_bytes[:-1], KEY.public_bytes + b"\x00"]
    bad.append(b"\xff" * 1184 + point)  # coefficients not below the modulus: FIPS 203 asks to refuse
    bad += [lattice + bytes(32), lattice + b"\x01" + bytes(31)]  # points of small order: everybody's secret
    for public in bad:
        with pytest.raises(SealError):
            seal(public, b"x", b"")


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33, "x" * 32])
def test_seeds_have_one_length(seed: object) -> None:
    with pytest.raises(SealError):
        SealingKey.from_bytes(seed)  # type: ignore[arg-type]


def test_sealing_key_round_trip() -> None:
    again = SealingKey.from_bytes(KEY.to_bytes())
    assert again.public_bytes == KEY.public_bytes
    assert len(again.public_bytes) == PUBLIC_SIZE
    assert open_sealed(again, seal(KEY.public_bytes, b"x", b"i"), b"i") == b"x"


def test_ed25519_vector() -> None:
    case = vector("keys_bip.json")["ed25519"]
    key = StreamKey.from_bytes(bytes.fromhex(case["seed"]))
    assert key.public_bytes.hex() == case["public"]
    assert key.sign(bytes.fromhex(case["message"])).hex() == case["signature"]


@given(st.binary(max_size=100), st.integers(0, 63), st.integers(1, 255))
def test_stream_signatures(message: bytes, position: int, flip: int) -> None:
    key = StreamKey(b"\x05" * 32)
    signature = key.sign(message)
    verify_stream_signature(key.public_bytes, message, signature)
    changed = bytearray(signature)
    changed[position] ^= flip
    attacks = [
        (key.public_bytes, message, bytes(changed)),
        (key.public_bytes, message + b"x", signature),
        (StreamKey.generate().public_bytes, message, signature),
        (key.public_bytes, message, signature[:63]),
        (key.public_bytes, message, signature + b"\x00"),
        (key.public_bytes[:31], message, signature),
        (b"\xff" * 32, message, signature),
    ]
    for public, body, forged in attacks:
        with pytest.raises(SignatureError):
            verify_stream_signature(public, body, forged)


def test_two_keys_share_the_ed25519_half_and_each_signs() -> None:
    one, both = StreamKey(b"\x05" * 32), StreamKey(b"\x05" * 32 + b"\x06" * 32)
    assert (len(one.public_bytes), len(both.public_bytes)) == STREAM_PUBLIC_SIZES
    assert both.public_bytes == one.public_bytes + both.ml_dsa_public
    assert StreamKey.from_bytes(both.to_bytes()).public_bytes == both.public_bytes
    assert both.key_hash() == hashlib.sha256(b"\x02" + both.public_bytes).digest()
    verify_stream_signature(both.public_bytes, b"m", both.sign(b"m"))
    assert both.sign(b"m") == one.sign(b"m")
    second = both.sign_ml_dsa(b"m")
    verify_ml_dsa(both.ml_dsa_public, b"m", second)
    other = StreamKey(b"\x05" * 32 + b"\x07" * 32)
    attacks = [
        (both.ml_dsa_public, b"n", second),
        (other.ml_dsa_public, b"m", second),
        (b"", b"m", second),
        (both.ml_dsa_public[1:], b"m", second),
        (both.ml_dsa_public, b"m", second[1:]),
        (both.ml_dsa_public, b"m", second + b"\x00"),
        (both.ml_dsa_public, b"m", bytes([second[0] ^ 1]) + second[1:]),
        (both.ml_dsa_public, b"m", b""),
    ]
    for public, message, signature in attacks:
        with pytest.raises(SignatureError):
            verify_ml_dsa(public, message, signature)
    with pytest.raises(SignatureError):
        one.sign_ml_dsa(b"m")
    with pytest.raises(SignatureError):
        verify_stream_signature(both.public_bytes[:-1], b"m", both.sign(b"m"))
    assert both.to_bytes().hex() not in repr(both)
    with pytest.raises(SecretLeak):
        pickle.dumps(both)


def test_stream_key_hash_names_its_suite() -> None:
    key = StreamKey.generate()
    assert key.key_hash() == hashlib.sha256(b"\x01" + key.public_bytes).digest()
    both = stream_key_hash(key.public_bytes, b"d" * 1952)
    assert both == hashlib.sha256(b"\x02" + key.public_bytes + b"d" * 1952).digest()
    for public, dsa in ((key.public_bytes[1:], b""), (key.public_bytes, b"d"), (b"", b"d" * 1952)):
        with pytest.raises(SignatureError):
            stream_key_hash(public, dsa)
    with pytest.raises(SignatureError):
        StreamKey(b"short")


@pytest.mark.parametrize("public", [bytearray(1216), b"", bytes(1215), "x" * 1216, None])
def test_what_is_no_public_key_is_refused_with_the_packages_own_error(public: Any) -> None:
    with pytest.raises(SealError):
        seal(public, b"x", b"")
