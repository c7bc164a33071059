"""Known answers of the primitives under CKT-1 (channels.md 6)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from hypothesis import given
from hypothesis import strategies as st

from channels.errors import CommitRejected
from channels.kdf import kdf, kdf_info, kdf_with, sha256
from channels.wrapping import CommitKeys

# RFC 5869 appendix A: PRK, info, first 32 bytes of OKM (one block of expand).
RFC5869 = [
    (
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
    ),
    (
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        bytes(range(0xB0, 0x100)).hex(),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
    ),
    (
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
    ),
]


@pytest.mark.parametrize(("prk", "info", "okm"), RFC5869)
def test_one_block_of_hkdf_expand_is_rfc5869(prk: str, info: str, okm: str) -> None:
    assert kdf_with(bytes.fromhex(prk), bytes.fromhex(info) + b"\x01").hex() == okm


@given(st.binary(min_size=32, max_size=32), st.sampled_from([b"ggm", b"wrap", b"evolve"]), st.binary(max_size=90))
def test_kdf_is_the_library_hkdf_expand(key: bytes, label: bytes, ctx: bytes) -> None:
    library = HKDFExpand(hashes.SHA256(), 32, b"ckt1 " + label + b"\x00" + ctx).derive(key)
    assert kdf(key, label, ctx) == library
    assert kdf_with(key, kdf_info(label, ctx)) == library


def test_aes_key_wrap_is_rfc3394() -> None:
    """RFC 3394 section 4.6: 256 bits of key data under a 256-bit key."""
    kek = bytes(range(32))
    data = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    wrapped = bytes.fromhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")
    assert aes_key_wrap(kek, data) == wrapped
    assert aes_key_unwrap(kek, wrapped) == data


def test_a_wrap_belongs_to_one_stream_epoch_and_node() -> None:
    key, secret = sha256(b"key"), sha256(b"secret")
    tools = CommitKeys(sha256(b"sid"), 7)
    wrapped = tools.wrap(key, 2, 3, secret)
    assert tools.unwrap(key, 2, 3, wrapped) == secret
    for other, level, index in [
        (CommitKeys(sha256(b"sid"), 8), 2, 3),
        (CommitKeys(sha256(b"other"), 7), 2, 3),
        (tools, 1, 3),
        (tools, 2, 2),
    ]:
        with pytest.raises(CommitRejected):
            other.unwrap(key, level, index, wrapped)
