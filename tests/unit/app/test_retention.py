"""Retention: the owner's view keeps intervals 36 months and raw values 7 days; nothing else goes."""

from __future__ import annotations

from pathlib import Path

from channels.stores.records import LogEntry, OpenedReading, OpenRecord, StoredEnvelope
from channels.stores.sql import SqlStore
from node.app.streams.retention import Opened, Retention
from node.clock import ManualClock
from node.config.retention import RetentionSettings
from node.observability import Metrics
from node.services.gateway.members import OWNER

DAY = 86_400
NOW = 1_790_000_000
RAW, QUARTER, FOREIGN = (bytes([n]) * 32 for n in (1, 2, 3))
GRANT = bytes([9]) * 32
forgotten: dict[bytes, int] = {}


def opened(sid: bytes, grant: bytes, category: str) -> Opened:
    async def forget(before: int) -> int:
        forgotten[sid] = before
        return before // 900

    return Opened(sid, grant, category, forget)


OPENED = (
    opened(RAW, OWNER, "electricity/1s"),
    opened(QUARTER, OWNER, "electricity/15min"),
    opened(FOREIGN, GRANT, "electricity/1s"),
)
AGES = (0, 6, 8, 1_095, 1_097)


def retention(
    store: SqlStore, settings: RetentionSettings, horizon: int = 2**40, metrics: Metrics | None = None
) -> Retention:
    return Retention(store, settings, ManualClock(NOW), metrics or Metrics(), lambda: OPENED, lambda: horizon)


async def filled(path: Path) -> SqlStore:
    store = await SqlStore.open(f"sqlite+aiosqlite:///{path}/channels.db", bytes(32))
    for sid, grant, _, _ in OPENED:
        rows = tuple(
            OpenedReading(NOW - days * DAY, 1, 1, bytes(16), 9 - n, 0, False, b"value") for n, days in enumerate(AGES)
        )
        await store.record_open(sid, grant, OpenRecord(b"state", readings=rows))
    await store.append_log(RAW, [LogEntry(0, bytes(32), b"access")])
    return store


async def ages(store: SqlStore) -> list[list[int]]:
    found = [await store.readings(sid, grant, 0, 2**40) for sid, grant, _, _ in OPENED]
    return [sorted((NOW - row.meter_time) // DAY for row in rows) for rows in found]


async def test_each_kind_is_kept_as_long_as_the_settings_say_and_the_access_log_stays(tmp_path: Path) -> None:
    store, metrics = await filled(tmp_path), Metrics()
    try:
        await retention(store, RetentionSettings(), metrics=metrics).step()
        assert await ages(store) == [[0, 6], [0, 6, 8, 1_095], [0, 6, 8, 1_095, 1_097]]
        assert b"wattpact_readings_removed_total 4.0" in metrics.render()
        assert len(await store.read_log(RAW)) == 1
        await retention(store, RetentionSettings(consent_days=7)).step()
        assert (await ages(store))[2] == [0, 6]
    finally:
        await store.close()


async def test_after_a_restart_what_went_stays_away_and_what_is_younger_is_there(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    await retention(store, RetentionSettings()).step()
    await store.close()
    again = await SqlStore.open(f"sqlite+aiosqlite:///{tmp_path}/channels.db", bytes(32))
    try:
        assert await retention(again, RetentionSettings()).step() is False
        assert (await ages(again))[0] == [0, 6]
        assert await again.reader_snapshot(RAW, OWNER) == b"state"
    finally:
        await again.close()


async def test_a_clock_that_runs_ahead_of_the_chain_removes_nothing(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    try:
        for horizon in (0, NOW - 1_097 * DAY):
            await retention(store, RetentionSettings(), horizon).step()
        assert [len(each) for each in await ages(store)] == [5, 5, 5]
    finally:
        await store.close()


async def test_keys_and_envelopes_go_with_the_readings_unless_a_reader_keeps_all(tmp_path: Path) -> None:
    """A thief of the disk, who fetches old envelopes elsewhere, finds no key to them; what one reader wants stays."""
    forgotten.clear()
    store = await filled(tmp_path)
    for sid, _, _, _ in OPENED:
        log = [
            StoredEnvelope(1, (NOW - d * DAY) // 900, bytes(16), 9 - n, bytes([n]) * 32, b"")
            for n, d in enumerate(AGES)
        ]
        await store.append_envelopes(sid, log[::-1])
    try:
        await retention(store, RetentionSettings()).step()
        assert forgotten == {RAW: NOW - 7 * DAY, QUARTER: NOW - 1_096 * DAY}
        assert [len(await store.envelopes(sid)) for sid in (RAW, QUARTER, FOREIGN)] == [2, 4, 5]
        await store.append_envelopes(RAW, [StoredEnvelope(1, 0, bytes(16), 50, bytes([8]) * 32, b"")])
        both = (*OPENED, opened(RAW, GRANT, "electricity/1s"))
        kept = Retention(store, RetentionSettings(), ManualClock(NOW), Metrics(), lambda: both, lambda: 2**40)
        await store.append_envelopes(RAW, [StoredEnvelope(1, 1, bytes(16), 51, bytes([9]) * 32, b"")])
        await kept.step()
        assert len(await store.envelopes(RAW)) == 4, "another reader of the same stream keeps everything"
    finally:
        await store.close()
