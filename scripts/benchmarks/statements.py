"""A statement of a million lines, from the database's pages to the file, and how much memory that takes."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from node.services.settlement.document import Heading
from node.services.settlement.export import Format, exported
from node.services.settlement.lines import Delivery
from node.services.settlement.tariff import GridFee, Tariff, Tariffs
from node.storage.database import Database
from node.storage.deliveries import Deliveries, DeliveryRow, Position, Span
from scripts.benchmarks.rows import Row, at_most, resident_mb

__all__ = ["measure"]

OPERATOR, GRID, AREA = b"\x01" * 20, b"\x02" * 20, "10YNL----------L"
PER_CONTRACT = 4
"""Lines of each contract here: energy, a shortfall, an excess of the buyer, a grid fee."""
LARGE, SMALL = 1_000_000, 100_000
PARTIES = 2_000
ALL = Span(0, 2**40)


def measure() -> list[Row]:
    """Seconds for a million lines as CSV and as a market document; growth of memory from 100,000 to 1,000,000 lines."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Row]:
    # The small one first: it pays for what is loaded once, and the large one must not need more.
    small = await _once(folder, SMALL, Format.CSV)
    large = await _once(folder, LARGE, Format.CSV)
    document = await _once(folder, LARGE, Format.XML)
    note = f"{LARGE // PER_CONTRACT} contracts from SQLite, {large[2] / 1e6:.0f} MB"
    # SQLite's own page cache fills up to 4 MB for a reader and no further.
    growth = f"peak {small[1]:.0f} MB at {SMALL} lines, {large[1]:.0f} MB at {LARGE}, {document[1]:.0f} MB as document"
    return [
        at_most("statement_1m_lines_s", large[0], "s", 10, note),
        at_most("statement_1m_lines_xml_s", document[0], "s", None, f"{document[2] / 1e6:.0f} MB"),
        at_most("statement_memory_growth_mb", max(large[1], document[1]) - small[1], "MB", 40, growth),
    ]


async def _once(folder: Path, lines: int, kind: Format) -> tuple[float, float, int]:
    """Seconds, peak of resident memory in MB while it was written, bytes of the file."""
    path = folder / f"{lines}.db"
    if not path.exists():
        # In another process: what filling leaves in memory is no part of what is measured.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(_fill, path, lines // PER_CONTRACT).result()
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    rows = Deliveries(database)
    gc.collect()
    tariff = Tariff(0, shortfall=300_000, overdraw=400_000, fees={AREA: GridFee(GRID, per_kwh=50_000)})
    heading = Heading(b"\x03" * 32, OPERATOR, OPERATOR, AREA, 0, 2**31, 0)
    target = folder / f"{lines}.{kind}"
    with _Peak() as peak, target.open("wb") as file:
        began = time.perf_counter()
        async for piece in exported(rows.pages(ALL, Delivery), Tariffs(OPERATOR, [tariff], AREA), kind, heading, None):
            file.write(piece)
        spent = time.perf_counter() - began
    await database.close()
    size = target.stat().st_size
    if kind is Format.CSV:
        with target.open("rb") as file:
            count = sum(1 for _ in file) - 1
        if count != lines:
            raise AssertionError(f"{count} lines, not {lines}")
    target.unlink()
    return spent, peak.megabytes, size


def _fill(path: Path, contracts: int) -> None:
    """A year and more of quarter hours, some thousand parties; both sides differ from what was agreed."""
    asyncio.run(_write(path, contracts))


async def _write(path: Path, contracts: int) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    rows = Deliveries(database)
    for begin in range(0, contracts, 10_000):
        some = [_row(number) for number in range(begin, min(begin + 10_000, contracts))]
        await rows.put(some, Position(begin, b""))
    await database.close()


def _row(number: int) -> DeliveryRow:
    start = 1_700_000_100 + number // 20 * 900
    seller, buyer = (number % PARTIES).to_bytes(20, "big"), (PARTIES + number % (PARTIES - 1)).to_bytes(20, "big")
    contract = (number * 0x9E3779B97F4A7C15 % 2**256).to_bytes(32, "big")
    return DeliveryRow(contract, start, start + 900, seller, buyer, 1_000, 200_000, 900, 180_000, 900, 1_100)


class _Peak:
    """The largest resident memory between enter and exit, looked at fifty times a second."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.megabytes = max(self.megabytes, resident_mb())

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
