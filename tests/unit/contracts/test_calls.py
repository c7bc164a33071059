"""The shortest call for a message (contracts.md, Gas to reach), and what the event of a grant packs."""

from __future__ import annotations

import dataclasses

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from contracts.bindings import consent_registry as registry
from contracts.calls import grant_call, granted_terms, revoke_call

A, B, H, K = b"\xaa" * 20, b"\xbb" * 20, b"\x11" * 32, b"\x22" * 32
GRANT = registry.Grant(A, B, H, (H, K), 1_760_000_000, 2**40 - 1, 7, K, 5, 1_760_086_400)
SHORT = registry.encode_grant_short(registry.ShortGrant(0, 0, H, H, 0, H, H), [])[:4]
TYPES = ["(uint256,uint256,bytes32,bytes32,uint256,bytes32,bytes32)", "bytes32[]"]

word = st.binary(min_size=32, max_size=32)


@given(
    word,
    st.integers(1, 2**255 - 1),
    st.sampled_from([27, 28]),
    st.binary(min_size=20, max_size=20),
    st.integers(0, 2**40 - 1),
    st.integers(0, 2**32 - 1),
)
def test_a_keys_signature_goes_the_short_way_with_every_field(
    r: bytes, s: int, v: int, account: bytes, time: int, tag: int
) -> None:
    m = dataclasses.replace(GRANT, owner=account, reader=account[::-1], start=time, end=time, purpose_tag=tag)
    m = dataclasses.replace(m, deadline=time)
    data = grant_call(m, r + s.to_bytes(32, "big") + bytes([v]))
    assert data[:4] == SHORT
    (terms, origin, key_hash, text_hash, nonce, first, vs), sids = decode(TYPES, data[4:])
    assert (key_hash, text_hash, nonce, sids) == (H, K, 5, (H, K))
    assert terms.to_bytes(32, "big") == bytes(2) + time.to_bytes(5, "big") * 2 + m.reader
    assert origin.to_bytes(32, "big") == bytes(3) + tag.to_bytes(4, "big") + time.to_bytes(5, "big") + m.owner
    assert first == r
    assert int.from_bytes(vs, "big") == s + (2**255 if v == 28 else 0)


@pytest.mark.parametrize(
    "sig",
    [
        b"",
        b"password",
        H + K,
        H + K + b"\x00",
        H + K + b"\x1d",
        H + b"\x80" + bytes(31) + b"\x1b",
        H + K + b"\x1b\x00",
    ],
    ids=["the sender", "a wallet's", "64 bytes", "v 0", "v 29", "s too high for the form", "66 bytes"],
)
def test_any_other_signature_goes_the_long_way(sig: bytes) -> None:
    assert grant_call(GRANT, sig) == registry.encode_grant(GRANT, sig)


def test_the_short_way_is_shorter() -> None:
    sig = H + K + b"\x1b"
    assert len(grant_call(GRANT, sig)) < len(registry.encode_grant(GRANT, sig)) * 2 / 3


def test_a_revocation_by_the_sender_takes_two_words() -> None:
    m = registry.Revoke(A, H, K)
    assert revoke_call(m, b"", A) == registry.encode_revoke_direct(H, K)
    assert len(revoke_call(m, b"", A)) == 68


@pytest.mark.parametrize(("sig", "sender"), [(b"sig", A), (b"sig", B), (b"", B), (b"", b"")])
def test_nobody_revokes_as_another_sender(sig: bytes, sender: bytes) -> None:
    """Without a signature and from somebody else the registry must see whom the message names, and refuse."""
    m = registry.Revoke(A, H, K)
    assert revoke_call(m, sig, sender) == registry.encode_revoke(m, sig)


@given(st.integers(0, 2**40 - 1), st.integers(0, 2**40 - 1), st.integers(0, 2**32 - 1))
def test_the_event_of_a_grant_is_unpacked(start: int, end: int, tag: int) -> None:
    packed = int.from_bytes(tag.to_bytes(4, "big") + end.to_bytes(5, "big") + start.to_bytes(5, "big"), "big")
    assert granted_terms(registry.Granted(H, A, B, K, H, packed, (H,))) == (start, end, tag)
