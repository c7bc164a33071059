"""Readings of an energy community (P-11, P-13, P-17, P-18): the absolute counter, signed by the source's device."""

from __future__ import annotations

import pytest

from node.services.community.errors import ReadingRefused
from node.services.community.rules import (
    Counted,
    Limits,
    check_reading,
    exported_wh,
    imported_wh,
    reading_due,
    sent_again,
)

DEVICE = b"\x01" * 20
LIMITS = Limits(DEVICE, 5_000)
LAST = Counted(7, 100_000, 1_000_000)


def test_both_tariffs_count() -> None:
    """P-11: absolute energy."""
    values = {"1-0:1.8.1": 1, "1-0:1.8.2": 20, "1-0:2.8.1": 300, "1-0:2.8.2": 4_000}
    assert (imported_wh(values), exported_wh(values)) == (21, 4_300)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (Counted(0, 100_001, 1_000_900), True),
        (Counted(0, 100_001, 1_000_899), False),
        (Counted(0, 100_000, 1_009_000), False),
        (Counted(0, 99_000, 1_009_000), False),
    ],
)
def test_a_reading_is_signed_at_its_interval_and_only_if_there_is_something_to_say(now: Counted, due: bool) -> None:
    assert reading_due(LAST, now, 900) is due


def test_an_honest_reading_passes() -> None:
    check_reading(Counted(8, 101_000, 1_000_900), DEVICE, LAST, LIMITS)
    # The first one after the registration has no meter time before it.
    check_reading(Counted(1, 900_000, 1_000_900), DEVICE, Counted(0, 0, 0), LIMITS)


@pytest.mark.parametrize(
    ("reading", "signer", "field"),
    [
        (Counted(8, 101_000, 1_000_900), b"\x02" * 20, "signature"),
        (Counted(7, 101_000, 1_000_900), DEVICE, "index"),
        (Counted(8, 101_000, 1_000_000), DEVICE, "meterTime"),
        (Counted(8, 99_999, 1_000_900), DEVICE, "counterWh"),
        (Counted(8, 107_000, 1_000_900), DEVICE, "counterWh"),
    ],
)
def test_what_can_never_be_right_is_refused(reading: Counted, signer: bytes, field: str) -> None:
    """P-17: a foreign key, a replay, a late frame, a counter that goes back, more than the source can make."""
    with pytest.raises(ReadingRefused) as refused:
        check_reading(reading, signer, LAST, LIMITS)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("reading", "signer", "again"),
    [
        (LAST, DEVICE, True),
        (Counted(3, 40_000, 999_000), DEVICE, True),
        (LAST, b"\x02" * 20, False),
        (Counted(7, 101_000, 1_000_000), DEVICE, False),
        (Counted(8, 101_000, 1_000_900), DEVICE, False),
    ],
)
def test_what_a_rebuilt_gateway_sends_again_is_no_fault(reading: Counted, signer: bytes, again: bool) -> None:
    """A stranger's replay is one, and so are two readings of one index that differ."""
    assert sent_again(reading, signer, LAST, LIMITS) is again
