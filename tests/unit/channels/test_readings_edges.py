"""Numbers in a batch of readings: the longest, and what an interval begins with."""

from __future__ import annotations

import pytest

from channels.codec import ByteReader
from channels.errors import FormatError
from channels.readings import Measurement, _read_signed, _read_varint, _signed, decode_batch, encode_batch

ENERGY = "1-0:1.8.0"


def test_a_number_has_at_most_ten_groups() -> None:
    assert _read_varint(ByteReader(b"\x80" * 9 + b"\x01")) == 1 << 63
    with pytest.raises(FormatError, match="too long"):
        _read_varint(ByteReader(b"\x80" * 10 + b"\x01"))


def test_signed_numbers_come_back() -> None:
    for value in (0, 1, -1, 2, -2, 63, -64, 64, -65, 2**63 - 1, -(2**63) + 1):
        assert _read_signed(ByteReader(_signed(value))) == value


def test_an_interval_keeps_the_values_that_it_began_with() -> None:
    readings = [
        Measurement(1_000, 1_001, 0, {ENERGY: 500}, 900, 998, {ENERGY: 400}),
        Measurement(1_900, 1_901, 0, {ENERGY: 700}, 900, 1_000, {ENERGY: 500}),
    ]
    data = encode_batch(readings)
    assert list(decode_batch(data)) == readings
    assert [dict(reading.first) for reading in decode_batch(data)] == [{ENERGY: 400}, {ENERGY: 500}]
