"""contracts.md, rules for all messages: P-256 signatures of devices, low s only, under an address like any other."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SecretLeak, SignatureError
from keys.p256 import P256Key, recover_p256

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = P256Key(0xF1D0)
DIGEST = keccak(text="a digest")


def test_the_known_multiple_of_the_base_point() -> None:
    """The base point itself, as FIPS 186 prints it."""
    public = P256Key(1).public_bytes
    assert public[:32].hex() == "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    assert public[32:].hex() == "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    assert P256Key(1).address == keccak(public)[12:]


@given(st.binary(min_size=32, max_size=32), st.integers(1, ORDER - 1))
def test_what_is_signed_recovers_to_the_address(digest: bytes, scalar: int) -> None:
    key = P256Key(scalar)
    signature = key.sign(digest)
    assert len(signature) == 128
    assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
    assert recover_p256(digest, signature) == key.address
    assert key.sign(digest) == signature, "no chance in it"


def test_the_malleated_twin_is_refused() -> None:
    signature = KEY.sign(DIGEST)
    s = int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + (ORDER - s).to_bytes(32, "big") + signature[64:]
    public = ec.derive_private_key(0xF1D0, ec.SECP256R1()).public_key()
    # The mathematics takes it; the check raises nothing.
    public.verify(
        encode_dss_signature(int.from_bytes(signature[:32], "big"), ORDER - s), DIGEST, ec.ECDSA(Prehashed(SHA256()))
    )
    with pytest.raises(SignatureError, match="lower half"):
        recover_p256(DIGEST, twin)


@given(st.integers(0, 128 * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    signature = bytearray(KEY.sign(DIGEST))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureError):
        recover_p256(DIGEST, bytes(signature))


def test_other_shapes_are_refused() -> None:
    for signature in (b"", bytes(128), KEY.sign(DIGEST)[:-1], bytes(65)):
        with pytest.raises(SignatureError):
            recover_p256(DIGEST, signature)
    for scalar in (0, ORDER, -1):
        with pytest.raises(SignatureError):
            P256Key(scalar)
    with pytest.raises(SignatureError):
        KEY.sign(b"short")


def test_the_secret_stays_inside() -> None:
    key = P256Key.generate()
    assert key.address != P256Key.generate().address
    assert repr(key) == f"P256Key(0x{key.address.hex()})"
    for move in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SecretLeak):
            move(key)
