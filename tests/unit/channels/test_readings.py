"""The plaintext of envelopes: compact, integers only, one encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.errors import FormatError, UnknownVersion, UsageError
from channels.readings import MAX_READINGS, OBIS_CODES, Measurement, code_of, decode_batch, encode_batch, id_of

VALUES = st.dictionaries(st.sampled_from(OBIS_CODES[1:]), st.integers(-(2**63) + 1, 2**63 - 1), max_size=8)
TIMES = st.integers(0, 2**40 - 1)
MOMENTS = st.builds(Measurement, TIMES, TIMES, st.integers(0, 255), VALUES)
INTERVALS = st.builds(
    Measurement, TIMES, TIMES, st.integers(0, 255), VALUES, st.integers(1, 2**32 - 1), st.integers(0, 1000), VALUES
)


def second(number: int) -> Measurement:
    """A DSMR 5 telegram's electricity at 1 Hz."""
    values = {
        "1-0:1.8.1": 4_123_456 + number // 4,
        "1-0:1.8.2": 5_234_567,
        "1-0:2.8.1": 1_345_678,
        "1-0:2.8.2": 2_456_789,
        "1-0:1.7.0": 850 + number % 7,
        "1-0:2.7.0": 0,
    }
    return Measurement(1_790_000_000 + number, 1_790_000_001 + number, 0, values)


def test_a_single_reading_takes_24_to_60_bytes_and_a_minute_much_less_each() -> None:
    assert 24 <= len(encode_batch([second(0)])) <= 60
    assert len(encode_batch([second(n) for n in range(60)])) <= 60 * 19


@given(st.lists(st.one_of(MOMENTS, INTERVALS), min_size=1, max_size=6))
def test_what_is_encoded_is_decoded(readings: list[Measurement]) -> None:
    data = encode_batch(readings)
    assert list(decode_batch(data)) == readings
    assert encode_batch(decode_batch(data)) == data


@given(st.binary(max_size=60))
def test_there_is_one_encoding(data: bytes) -> None:
    wrapped = b"\x00\x01" + data
    try:
        readings = decode_batch(wrapped)
    except FormatError:
        return
    assert encode_batch(readings) == wrapped


@given(st.integers(0, 400))
def test_truncated_and_extended_batches_are_refused(where: int) -> None:
    data = encode_batch([second(n) for n in range(5)])
    with pytest.raises(FormatError):
        decode_batch(data[: where % len(data)])
    with pytest.raises(FormatError):
        decode_batch(data + bytes(1 + where % 3))


def test_unknown_things_are_refused() -> None:
    with pytest.raises(UnknownVersion):
        decode_batch(b"\x00\x02\x01")
    for count in (0, MAX_READINGS + 1):
        with pytest.raises(UsageError):
            encode_batch([second(0)] * count)
    for wrong in (
        Measurement(-1, 0, 0, {}),
        Measurement(0, 2**40, 0, {}),
        Measurement(0, 0, 256, {}),
        Measurement(0, 0, 0, {"1-0:99.9.9": 1}),
        Measurement(0, 0, 0, {"1-0:1.8.1": 2**63}),
        Measurement(0, 0, 0, {}, 0, 999),
        Measurement(0, 0, 0, {}, 0, 1000, {"1-0:1.8.1": 1}),
    ):
        with pytest.raises(UsageError):
            encode_batch([wrong])
    with pytest.raises(FormatError):
        code_of(0)
    with pytest.raises(FormatError):
        code_of(len(OBIS_CODES))


def test_code_numbers_are_never_renumbered() -> None:
    """Numbers are on the wire and in stored logs: this list only ever grows at its end."""
    assert [id_of(code) for code in ("1-0:1.8.1", "1-0:2.7.0", "0-0:96.14.0", "0-n:24.2.1", "0-n:24.29.1")] == [
        1,
        6,
        7,
        20,
        25,
    ]
    assert len(set(OBIS_CODES)) == len(OBIS_CODES)
