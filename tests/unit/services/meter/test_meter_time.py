from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.meter.errors import MalformedTelegram
from node.services.meter.meter_time import is_summer, read_meter_time

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def utc(*parts: int) -> int:
    year, month, day, hour, minute, second = parts
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        (b"170102192002W", utc(2017, 1, 2, 18, 20, 2)),
        (b"260701120000S", utc(2026, 7, 1, 10, 0, 0)),
        # The repeated hour: the letter alone tells the two apart.
        (b"261025023000S", utc(2026, 10, 25, 0, 30, 0)),
        (b"261025023000W", utc(2026, 10, 25, 1, 30, 0)),
        # Around the skipped hour.
        (b"260329015959W", utc(2026, 3, 29, 0, 59, 59)),
        (b"260329030000S", utc(2026, 3, 29, 1, 0, 0)),
        (b"240229235959W", utc(2024, 2, 29, 22, 59, 59)),
        (b"990101000000W", utc(2098, 12, 31, 23, 0, 0)),
    ],
)
def test_stamps(stamp: bytes, seconds: int) -> None:
    found = read_meter_time(stamp)
    assert (found.seconds, found.plausible) == (seconds, True)


@pytest.mark.parametrize("stamp", [b"260329023000S", b"260701120000W", b"261225120000S"])
def test_a_letter_against_the_calendar_is_taken_at_its_word_and_told(stamp: bytes) -> None:
    assert read_meter_time(stamp).plausible is False


@pytest.mark.parametrize(
    "stamp",
    [b"", b"170102192002", b"170102192002X", b"170102192002w", b"250229000000W", b"261301000000W", b"260101240000W",
     b"260101006000W", b"260101000060W", b"26010100000 W", b"632525252525S", b"1701021920021W", b"17010219200\xb2W"],
)  # fmt: skip
def test_what_is_no_time_is_refused(stamp: bytes) -> None:
    with pytest.raises(MalformedTelegram):
        read_meter_time(stamp)


def test_another_zone() -> None:
    """Meters in eastern Europe: two hours ahead in winter."""
    assert read_meter_time(b"260115120000W", 7200).seconds == utc(2026, 1, 15, 10, 0, 0)


@given(st.integers(utc(2000, 1, 2, 0, 0, 0), utc(2037, 12, 30, 0, 0, 0)))
def test_agrees_with_the_zone_database(seconds: int) -> None:
    """Every second of 38 years, the hours of change included, comes back from its local spelling."""
    local = datetime.fromtimestamp(seconds, AMSTERDAM)
    letter = "S" if local.dst() else "W"
    found = read_meter_time(f"{local:%y%m%d%H%M%S}{letter}".encode())
    assert (found.seconds, found.plausible) == (seconds, True)
    assert is_summer(seconds, local.astimezone(UTC).year) == bool(local.dst())
