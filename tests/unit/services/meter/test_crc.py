from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.services.meter.crc import crc16, is_compiled
from tests.unit.services.meter.samples import real, reference_crc


def test_known_answer() -> None:
    """The check value of CRC-16/ARC in every catalogue."""
    assert crc16(b"123456789") == 0xBB3D


@given(st.binary(max_size=300))
def test_agrees_with_the_bit_by_bit_definition(data: bytes) -> None:
    assert crc16(data) == reference_crc(data)


def test_is_the_compiled_one() -> None:
    """toolchain.md: the CRC comes from a C-backed library."""
    assert is_compiled()


def test_real_telegrams_carry_this_crc() -> None:
    for name in ("dsmr-v4.2.txt", "dsmr-v5.txt"):
        data = real(name)
        end = data.rindex(b"!") + 1
        assert crc16(data[:end]) == int(data[end : end + 4], 16)
