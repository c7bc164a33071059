"""Packed readings: the bytes that `EnergyToken.submitReadings` documents."""

from __future__ import annotations

import pytest

from contracts.errors import MalformedData
from contracts.readings import pack_reading
from keys.messages import Reading

READING = Reading(source=7, index=2, counter_wh=4_250, meter_time=1_760_000_900)
HEAD = bytes.fromhex("0000000000000007" + "00000002" + "000000000000109a" + "0068e77b84")


def test_a_secp256k1_reading_has_90_bytes() -> None:
    signature = b"\x11" * 32 + b"\x22" * 32 + b"\x1b"
    assert pack_reading(READING, signature) == HEAD + signature
    assert len(HEAD + signature) == 90


def test_a_p256_reading_has_154_bytes_and_says_so() -> None:
    signature = b"\x11" * 32 + b"\x22" * 32 + b"\x33" * 32 + b"\x44" * 32
    assert pack_reading(READING, signature) == HEAD + signature[:64] + b"\0" + signature[64:]


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), b"\x1b" * 66, bytes(127), bytes(129)])
def test_no_signature_of_another_shape_shifts_the_others(signature: bytes) -> None:
    with pytest.raises(MalformedData):
        pack_reading(READING, signature)


def test_the_largest_reading_fits() -> None:
    largest = Reading(2**64 - 1, 2**32 - 1, 2**64 - 1, 2**40 - 1)
    assert pack_reading(largest, b"\x1c" * 65) == b"\xff" * 25 + b"\x1c" * 65
