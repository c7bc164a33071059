"""Parcels: sealed and signed node-to-node messages, and every way to forge, replay, redirect or bend one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from keys.eip712 import keccak256
from keys.errors import (
    KeysError,
    ParcelError,
    ParcelForeign,
    ParcelForged,
    ParcelMalformed,
    ParcelTooLarge,
    ParcelUntimely,
    SealError,
)
from keys.messages import ParcelSeal, digest, parcel_domain
from keys.parcel import (
    CLOCK_TOLERANCE,
    MAX_DEPTH,
    MAX_LIFETIME,
    MAX_SIZE,
    Parcel,
    _info,
    pack,
    unpack,
)
from keys.sealing import SealingKey, open_sealed, seal
from tests.unit.keys.builders import identity

KEY = SealingKey(b"\x21" * 32)
OTHER = SealingKey(b"\x22" * 32)
SENDER = identity().wallet()
CHAIN, NOW = 31337, 1_800_000_000
BODY: dict[str, Any] = {
    "streams": ["gas/1h", "caf\u00e9"],
    "count": 3,
    "ok": True,
    "none": None,
    "deep": {"b": [[]], "a": -1},
}


async def packed(**change: Any) -> bytes:
    given_ = {"chain_id": CHAIN, "now": NOW, "lifetime": 60, **change}
    return await pack(SENDER, KEY.public_bytes, given_.pop("kind", "ask"), given_.pop("body", BODY), **given_)


def opened(data: bytes, now: int = NOW) -> Parcel:
    return unpack(KEY, data, chain_id=CHAIN, now=now)


def fields_of(data: bytes) -> dict[str, Any]:
    plain = open_sealed(KEY, data[2:], _info(CHAIN, KEY.key_hash()))
    found: dict[str, Any] = json.loads(plain)
    return found


def resealed(fields: Any, key: SealingKey = KEY) -> bytes:
    """What an attacker sends who makes up the inside: anybody may seal to a public key."""
    plain = fields if isinstance(fields, bytes) else rfc8785.dumps(fields)
    return b"\x00\x01" + seal(key.public_bytes, plain, _info(CHAIN, key.key_hash()))


async def resigned(fields: dict[str, Any]) -> bytes:
    """What a sender sends who signs nonsense: the signature is right, the content may not be."""
    message = ParcelSeal(
        SENDER.address,
        bytes.fromhex(fields["recipient"]),
        bytes.fromhex(fields["nonce"]),
        fields["kind"],
        keccak256(rfc8785.dumps(fields["body"])),
        fields["sent_at"],
        fields["expires_at"],
    )
    return resealed({**fields, "signature": (await SENDER.sign_message(message, parcel_domain(CHAIN))).hex()})


async def test_round_trip() -> None:
    data = await packed()
    parcel = opened(data)
    assert (parcel.sender, parcel.kind, parcel.body) == (SENDER.address, "ask", BODY)
    assert (parcel.sent_at, parcel.expires_at) == (NOW, NOW + 60)
    assert parcel.forget_after == NOW + 60 + CLOCK_TOLERANCE
    assert BODY["streams"][1].encode() not in data
    assert SENDER.address not in data


async def test_id_is_the_digest_and_the_same_for_a_replay() -> None:
    first, second = await packed(), await packed()
    assert opened(first).id == opened(first).id
    assert opened(first).id != opened(second).id
    fields = fields_of(first)
    message = ParcelSeal(
        SENDER.address,
        KEY.key_hash(),
        bytes.fromhex(fields["nonce"]),
        "ask",
        keccak256(rfc8785.dumps(BODY)),
        NOW,
        NOW + 60,
    )
    assert opened(first).id == digest(message, parcel_domain(CHAIN))
    assert opened(resealed(fields)).id == opened(first).id, "sealing it again does not make it new"


async def test_another_key_or_chain_does_not_open() -> None:
    data = await packed()
    with pytest.raises(ParcelForeign):
        unpack(OTHER, data, chain_id=CHAIN, now=NOW)
    with pytest.raises(ParcelForeign):
        unpack(KEY, data, chain_id=CHAIN + 1, now=NOW)
    with pytest.raises(ParcelForeign):
        unpack(KEY, data, chain_id=0, now=NOW)


async def test_a_recipient_cannot_pass_it_on_as_if_written_to_another() -> None:
    fields = fields_of(await packed())
    with pytest.raises(ParcelForeign, match="passes on"):
        unpack(OTHER, resealed(fields, OTHER), chain_id=CHAIN, now=NOW)
    forged = {**fields, "recipient": OTHER.key_hash().hex()}
    with pytest.raises(ParcelForged):
        unpack(OTHER, resealed(forged, OTHER), chain_id=CHAIN, now=NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sender", "07" * 20),
        ("nonce", "07" * 32),
        ("kind", "tell"),
        ("body", {"count": 4}),
        ("sent_at", NOW + 1),
        ("expires_at", NOW + 61),
        ("signature", "07" * 64 + "1b"),
        ("signature", "00" * 65),
        ("signature", "ff" * 65),
    ],
)
async def test_a_changed_field_is_a_forgery(field: str, value: Any) -> None:
    with pytest.raises(ParcelForged):
        opened(resealed({**fields_of(await packed()), field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", "1"),
        ("sender", "07" * 19),
        ("sender", None),
        ("sender", "AB" * 20),
        ("nonce", " " + "07" * 31 + "7"),
        ("nonce", "\u0660" * 64),
        ("kind", 7),
        ("body", []),
        ("body", None),
        ("sent_at", "1"),
        ("sent_at", True),
        ("sent_at", -1),
        ("expires_at", 2**40),
        ("signature", ""),
        ("signature", 5),
        ("extra", 1),
    ],
)
async def test_ill_formed_fields(field: str, value: Any) -> None:
    with pytest.raises(ParcelMalformed):
        opened(resealed({**fields_of(await packed()), field: value}))


@pytest.mark.parametrize("field", ["version", "sender", "recipient", "nonce", "kind", "body", "signature"])
async def test_missing_fields(field: str) -> None:
    fields = fields_of(await packed())
    del fields[field]
    with pytest.raises(ParcelMalformed):
        opened(resealed(fields))


async def test_one_encoding_only() -> None:
    plain = rfc8785.dumps(fields_of(await packed()))
    opened(resealed(plain))
    for bent in (
        plain.replace(b'"kind":', b'"kind": '),
        plain + b" ",
        plain.replace(b'"ok":true', b'"ok":true,"ok":true'),
        plain.replace(b'"kind":"ask"', b'"kind":"\\u0061sk"'),
        plain.replace(b'"count":3', b'"count":3.0'),
        plain.replace(b'"count":3', b'"count":3e0'),
        plain.replace(b'"count":3', b'"count":NaN'),
        plain.replace(b'"count":3', b'"count":' + b"3" * 5000),
        plain.replace(b'"none":null', b'"none":"\\ud800"'),
        plain[::-1],
        b"[" * 30000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"\xff",
        b"",
        b"null",
    ):
        with pytest.raises(ParcelMalformed):
            opened(resealed(bent))


@given(st.integers(0, 10_000), st.integers(1, 255))
async def test_any_changed_byte_is_refused(position: int, flip: int) -> None:
    data = bytearray(await packed())
    data[position % len(data)] ^= flip
    with pytest.raises(ParcelError):
        opened(bytes(data))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1121, 1137, 1138])
async def test_truncated_and_extended(length: int) -> None:
    data = await packed()
    with pytest.raises(ParcelError):
        opened(data[:length])
    with pytest.raises(ParcelError):
        opened(data + bytes(length + 1))


async def test_unknown_version_is_refused_before_opening() -> None:
    data = await packed()
    with pytest.raises(ParcelMalformed, match="version"):
        opened(b"\x00\x02" + data[2:])


async def test_size_is_checked_before_any_cryptography() -> None:
    """A flood of junk must cost nothing: the size error comes even for bytes that no key could open."""
    with pytest.raises(ParcelTooLarge):
        opened(bytes(MAX_SIZE + 1))
    with pytest.raises(ParcelMalformed):
        opened(bytes(MAX_SIZE))


async def test_largest_parcel() -> None:
    overhead = len(await packed(body={"x": ""}))
    assert len(await packed(body={"x": "y" * (MAX_SIZE - overhead)})) == MAX_SIZE
    with pytest.raises(ParcelTooLarge):
        await packed(body={"x": "y" * (MAX_SIZE - overhead + 1)})
    with pytest.raises(ParcelTooLarge):
        await packed(body={"x": "y" * (2 * MAX_SIZE)})


async def test_times() -> None:
    data = await packed()
    opened(data, NOW - CLOCK_TOLERANCE)
    opened(data, NOW + 60 + CLOCK_TOLERANCE)
    for now, says in (
        (NOW - CLOCK_TOLERANCE - 1, "future"),
        (NOW + 61 + CLOCK_TOLERANCE, "expired"),
        (4_070_908_800, "expired"),
    ):
        with pytest.raises(ParcelUntimely, match=says):
            opened(data, now)


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1])
async def test_lifetime_is_bounded_on_both_sides(lifetime: int) -> None:
    """A receiver must be able to forget ids, so nobody may send a parcel that lives for ever."""
    with pytest.raises(ParcelUntimely):
        await packed(lifetime=lifetime)
    fields = fields_of(await packed())
    with pytest.raises(ParcelUntimely, match="lives"):
        opened(await resigned({**fields, "expires_at": NOW + lifetime}))


@pytest.mark.parametrize(
    "body",
    [
        {"x": 0.5},
        {"x": 2**53},
        {"x": b"raw"},
        {1: "x"},
        {"x": "\ud800"},
        {"\ud800": 1},
        {"x": float("nan")},
        {"x": {1}},
    ],
)
async def test_bodies_that_have_no_one_spelling(body: Any) -> None:
    with pytest.raises(ParcelMalformed):
        await packed(body=body)


async def test_arguments_that_cannot_be_packed() -> None:
    with pytest.raises(ParcelMalformed, match="kind"):
        await packed(kind=5)
    with pytest.raises(ParcelMalformed, match="sentAt"):
        await packed(now=-1)
    with pytest.raises(ParcelMalformed, match="chainId"):
        await packed(chain_id=0)
    with pytest.raises(SealError):
        await pack(SENDER, b"short", "ask", {}, chain_id=CHAIN, now=NOW, lifetime=60)


def nest(levels: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(levels - 1):
        nested = {"a": nested}
    return nested


async def test_depth_is_bounded_on_both_sides() -> None:
    """A parser that recurses must meet its limit here and not wherever the stack happens to end. Both sides have the
    same one: who writes a body that is too deep hears of it, and not who gets it."""
    body = nest(MAX_DEPTH - 1)
    assert opened(await packed(body=body)).body == body
    for levels in (MAX_DEPTH, MAX_DEPTH + 1, 3000):
        with pytest.raises(ParcelMalformed, match=f"deeper than {MAX_DEPTH - 1} levels"):
            await packed(body=nest(levels))
    with pytest.raises(ParcelMalformed, match=f"deeper than {MAX_DEPTH} levels"):
        opened(resealed({**fields_of(await packed()), "body": nest(MAX_DEPTH)}))
    with pytest.raises(ParcelMalformed, match="deeper"):
        opened(resealed({**fields_of(await packed()), "body": nest(200)}))


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, JSON, max_size=5))
async def test_any_body_survives(body: dict[str, Any]) -> None:
    assert opened(await packed(body=body)).body == body


@given(st.dictionaries(st.sampled_from(["version", "sender", "recipient", "nonce", "kind", "body", "sent_at"]), JSON))
async def test_any_inside_raises_only_our_errors(fields: dict[str, Any]) -> None:
    with pytest.raises(KeysError):
        opened(resealed({**fields_of(await packed()), **fields, "x": 1}))
