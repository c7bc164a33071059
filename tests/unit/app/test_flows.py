"""P-27: flows of a community from the quarter hours that it reads, over a real channel store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from channels.readings import Measurement, encode_batch
from channels.stores.records import OpenedReading, OpenRecord
from channels.stores.sql import SqlStore
from node.app.trading.flows import EXPORTED, IMPORTED, FlowBook, Unit
from node.errors import InvalidInput

DAY = 86_400
BEGIN = 1_767_225_600  # 2026-01-01
SUN, SHADE = b"\x01" * 32, b"\x02" * 32
ANN, BEN = b"\x0a" * 20, b"\x0b" * 20
UNITS = (Unit(SUN, (b"\x11" * 32, b"\x12" * 32), ANN), Unit(SHADE, (b"\x21" * 32,), BEN))


async def units() -> Sequence[Unit]:
    return UNITS


def row(start: int, imported: int | None, exported: int = 0, **more: int | bool) -> OpenedReading:
    values = {} if imported is None else {IMPORTED: imported, EXPORTED: exported}
    seconds, completeness = int(more.get("seconds", 900)), int(more.get("completeness", 1_000))
    payload = encode_batch([Measurement(start, start + seconds, 0, values, seconds, completeness)])
    return OpenedReading(start, 1, 1, b"\x01" * 16, start, 0, bool(more.get("provisional", False)), payload)


async def book(folder: Path, readings: dict[tuple[bytes, bytes], list[OpenedReading]]) -> FlowBook:
    store = await SqlStore.open(f"sqlite+aiosqlite:///{folder / 'channels.db'}", b"\x01" * 32)
    for (sid, grant), rows in readings.items():
        await store.record_open(sid, grant, OpenRecord(b"", readings=tuple(rows)))
    return FlowBook(store, units)


async def test_two_households_a_day(tmp_path: Path) -> None:
    """Every quarter Ann feeds in 100 Wh and Ben uses 60: 60 stay, 40 leave; Ann uses 10 in the evening."""
    quarters = range(BEGIN, BEGIN + DAY, 900)
    sun = [row(t, 0, 100) if t < BEGIN + DAY // 2 else row(t, 10) for t in quarters]
    shade = [row(t, 60) for t in quarters]
    flows = await book(tmp_path, {(SUN, UNITS[0].grants[0]): sun, (SHADE, UNITS[1].grants[0]): shade})
    (day,) = await flows.flows(BEGIN, BEGIN + DAY, "day")
    assert (day.totals.produced, day.totals.green, day.totals.exported) == (4_800, 2_880, 1_920)
    assert day.totals.imported == 48 * 70
    assert day.totals.members == {ANN: [4_800, 480, 0, 1_920], BEN: [0, 5_760, 2_880, 0]}
    assert (day.quarters, day.partial, day.missing) == (96, 0, 0)
    assert day.totals.pairs is None
    (told,) = await flows.flows(BEGIN, BEGIN + DAY, "day", pairs=True)
    assert told.totals.pairs == {(ANN, BEN): 2_880}
    halves = await flows.flows(BEGIN, BEGIN + DAY, "quarter")
    assert len(halves) == 96
    assert sum(each.totals.green for each in halves) == 2_880
    (month,) = await flows.flows(BEGIN, BEGIN + 31 * DAY, "month")
    (year,) = await flows.flows(BEGIN, BEGIN + 365 * DAY, "year")
    assert month.totals == year.totals == day.totals
    assert month.missing == 30 * 96 * 2


async def test_two_consents_for_one_household_count_its_energy_once(tmp_path: Path) -> None:
    one, two = UNITS[0].grants
    flows = await book(
        tmp_path, {(SUN, one): [row(BEGIN, 5, 7)], (SUN, two): [row(BEGIN, 5, 7), row(BEGIN + 900, 1, 0)]}
    )
    (day,) = await flows.flows(BEGIN, BEGIN + DAY, "day")
    assert (day.totals.consumed, day.totals.produced) == (6, 7)


async def test_gaps_and_what_is_no_quarter_are_missing_and_not_guessed(tmp_path: Path) -> None:
    rows = [
        row(BEGIN, None), row(BEGIN + 900, 5, seconds=600), row(BEGIN + 1_801, 5),
        row(BEGIN + 2_700, 8, completeness=400), row(BEGIN + 3_600, 9, provisional=True),
    ]  # fmt: skip
    flows = await book(tmp_path, {(SHADE, UNITS[1].grants[0]): rows})
    (day,) = await flows.flows(BEGIN, BEGIN + 4_500, "day")
    assert (day.totals.consumed, day.quarters, day.partial) == (17, 2, 2)
    assert day.missing == 5 * 2 - 2


async def test_an_answer_has_its_bounds(tmp_path: Path) -> None:
    flows = await book(tmp_path, {})
    assert await flows.flows(BEGIN, BEGIN + DAY, "day") == ()
    with pytest.raises(InvalidInput):
        await flows.flows(0, 40 * DAY, "quarter")
    with pytest.raises(InvalidInput):
        await flows.flows(0, 20 * 366 * DAY, "year")
