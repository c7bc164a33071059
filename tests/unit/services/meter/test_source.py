from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.services.meter.errors import RecordingUnreadable
from node.services.meter.source import FileSource, MeterSource
from tests.unit.services.meter.samples import telegram


async def read(source: MeterSource) -> list[bytes]:
    return [chunk async for chunk in source.chunks()]


async def test_a_file_comes_whole_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "recorded.txt"
    path.write_bytes(telegram() * 5)
    chunks = await read(FileSource(path, chunk_size=100))
    assert b"".join(chunks) == telegram() * 5
    assert all(0 < len(chunk) <= 100 for chunk in chunks)


async def test_pacing_stops_after_each_telegram(tmp_path: Path) -> None:
    path = tmp_path / "recorded.txt"
    path.write_bytes(telegram() * 3 + b"/rest")
    chunks = await read(FileSource(path, pace=0))
    assert chunks == [telegram(), telegram(), telegram(), b"/rest"]


async def test_pacing_really_waits(tmp_path: Path) -> None:
    path = tmp_path / "recorded.txt"
    path.write_bytes(telegram() * 2)
    arriving = FileSource(path, pace=3600).chunks()
    assert await anext(arriving) == telegram()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(arriving)
    await arriving.aclose()


async def test_a_missing_file_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(RecordingUnreadable, match="No such file"):
        await read(FileSource(tmp_path / "nothing"))


def test_senseless_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        FileSource(tmp_path, chunk_size=0)
