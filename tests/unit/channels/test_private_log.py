"""The private log (channels.md 7): sealed, chained, replicated; tampering, cuts and forks are noticed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from channels.errors import ChannelError, FormatError, RejectedError, StoreConflict, UnknownVersion
from channels.kdf import sha256
from channels.private_log import PrivateLog, Tip
from channels.stores.memory import MemoryStore
from channels.stores.records import LogEntry

KEY = b"\x55" * 32
WORDS = [b"granted to the grid operator", b"", b"\x00" * 1000, b"granted to the grid operator"]


async def written(words: list[bytes] | None = None) -> tuple[MemoryStore, PrivateLog]:
    store = MemoryStore()
    log = await PrivateLog.open(store, KEY)
    for word in WORDS if words is None else words:
        await log.append(word)
    return store, log


def log_id(store: MemoryStore) -> bytes:
    (found,) = store._logs
    return found


async def rows(store: MemoryStore) -> list[LogEntry]:
    return list(await store.read_log(log_id(store), 0, 10_000))


async def a_store_with(source: MemoryStore, entries: list[LogEntry]) -> MemoryStore:
    """What an untrusted store may hand out: anything."""
    store = MemoryStore()
    store._logs[log_id(source)] = entries
    return store


async def contents(log: PrivateLog, first: int = 0) -> list[tuple[int, bytes]]:
    return [row async for row in log.entries(first)]


async def test_what_was_appended_is_replayed() -> None:
    store, log = await written()
    assert await contents(log) == list(enumerate(WORDS))
    again = await PrivateLog.open(store, KEY)
    assert await contents(again, 2) == list(enumerate(WORDS))[2:]
    assert again.tip == log.tip
    assert await again.append(b"more") == len(WORDS)


async def test_a_store_sees_no_content_and_no_repetition() -> None:
    store, _ = await written()
    entries = await rows(store)
    assert not any(b"grid operator" in entry.data for entry in entries)
    assert entries[0].data[-30:] != entries[3].data[-30:]
    assert KEY not in log_id(store)


async def test_many_entries_and_concurrent_appends_keep_one_chain() -> None:
    store, log = await written([])
    await asyncio.gather(*(log.append(b"%d" % i) for i in range(1203)))
    assert len(await contents(await PrivateLog.open(store, KEY))) == 1203


async def test_another_key_reads_nothing() -> None:
    store, _ = await written()
    other = await PrivateLog.open(store, b"\x56" * 32)
    assert await contents(other) == []


async def test_every_flipped_bit_is_noticed() -> None:
    store, _ = await written([b"one", b"two"])
    entries = await rows(store)
    for at in range(len(entries[0].data)):
        data = entries[0].data[:at] + bytes([entries[0].data[at] ^ 1]) + entries[0].data[at + 1 :]
        for digest in (entries[0].hash, sha256(data)):
            forged = await a_store_with(store, [LogEntry(0, digest, data), entries[1]])
            with pytest.raises((RejectedError, UnknownVersion)):
                await PrivateLog.open(forged, KEY)


@pytest.mark.parametrize("cut", ["first", "middle", "swapped", "repeated", "short", "hash"])
async def test_drops_reorderings_and_repetitions_are_noticed(cut: str) -> None:
    store, _ = await written()
    entries = await rows(store)
    if cut == "first":
        entries = [replace(entry, seq=entry.seq - 1) for entry in entries[1:]]
    elif cut == "middle":
        del entries[2]
    elif cut == "swapped":
        entries[1], entries[2] = replace(entries[2], seq=1), replace(entries[1], seq=2)
    elif cut == "repeated":
        entries[2] = replace(entries[1], seq=2)
    elif cut == "short":
        entries[1] = replace(entries[1], data=entries[1].data[:20])
    else:
        entries[1] = replace(entries[1], hash=bytes(32))
    with pytest.raises((RejectedError, FormatError)):
        await PrivateLog.open(await a_store_with(store, entries), KEY)


async def test_a_cut_end_is_noticed_with_a_tip_from_elsewhere() -> None:
    """architecture.md: the newest checkpoint of the private log is in the emergency kit."""
    store, log = await written()
    kit = Tip.from_bytes(log.tip.to_bytes())
    await log.append(b"after the kit was printed")
    assert (await PrivateLog.open(store, KEY, kit)).tip.count == 5
    cut = await a_store_with(store, (await rows(store))[:3])
    await PrivateLog.open(cut, KEY)
    with pytest.raises(RejectedError):
        await PrivateLog.open(cut, KEY, kit)
    other, _ = await written()
    with pytest.raises(RejectedError):
        await PrivateLog.open(other, KEY, kit)
    with pytest.raises(FormatError):
        Tip.from_bytes(kit.to_bytes() + b"\x00")


async def test_a_mirror_gets_what_it_lacks() -> None:
    _, log = await written()
    mirror = MemoryStore()
    assert await log.mirror(mirror) == 4
    await log.append(b"later")
    assert await log.mirror(mirror) == 1
    assert await log.mirror(mirror) == 0
    assert await contents(await PrivateLog.open(mirror, KEY)) == await contents(log)


async def test_a_restored_log_is_noticed_by_its_mirror() -> None:
    """An old backup was put back and written to: two entries with one number, both shown."""
    store, log = await written()
    mirror = MemoryStore()
    await log.mirror(mirror)
    old = await PrivateLog.open(await a_store_with(store, (await rows(store))[:3]), KEY)
    with pytest.raises(RejectedError):
        await old.mirror(mirror)
    await old.append(b"another story")
    with pytest.raises(StoreConflict) as caught:
        await old.mirror(mirror)
    assert caught.value.existing != caught.value.offered
    assert await contents(await PrivateLog.open(mirror, KEY)) == await contents(log)


async def test_a_lost_log_comes_back_from_its_mirror() -> None:
    """architecture.md: what the chain must not hold survives the loss of the node's own database."""
    store, log = await written()
    mirror = MemoryStore()
    await log.mirror(mirror)
    lost = MemoryStore()
    assert await PrivateLog.recover(lost, KEY, mirror) == 4
    assert await PrivateLog.recover(lost, KEY, mirror) == 0
    assert await contents(await PrivateLog.open(lost, KEY)) == await contents(log)
    cut = await a_store_with(store, (await rows(store))[:3])
    assert await PrivateLog.recover(cut, KEY, mirror) == 1
    assert await contents(await PrivateLog.open(cut, KEY)) == await contents(log)


async def test_a_mirror_cannot_slip_anything_into_a_lost_log() -> None:
    """Attack: the mirror is untrusted. It may hold entries back; it cannot change, swap or invent one."""
    store, log = await written()
    entries = await rows(store)
    changed = replace(entries[2], data=entries[2].data[:-1] + bytes([entries[2].data[-1] ^ 1]))
    rehashed = replace(changed, hash=sha256(changed.data))
    for bad in ([*entries[:2], changed, entries[3]], [*entries[:2], rehashed, entries[3]], entries[1:]):
        with pytest.raises((RejectedError, FormatError)):
            await PrivateLog.recover(MemoryStore(), KEY, await a_store_with(store, bad))
    forked = await PrivateLog.open(await a_store_with(store, entries[:3]), KEY)
    await forked.append(b"another story")
    await forked.append(b"that goes on")
    with pytest.raises(StoreConflict):
        await PrivateLog.recover(store, KEY, forked._store)
    assert [content for _, content in await contents(log)] == WORDS


async def test_what_a_mirror_is_known_to_hold_is_not_read_again() -> None:
    _, log = await written()
    mirror = MemoryStore()
    known = await log.mirror(mirror)
    await log.append(b"later")
    assert await log.mirror(mirror, known) == 1
    assert await log.mirror(mirror, known + 1) == 0
    assert await contents(await PrivateLog.open(mirror, KEY)) == await contents(log)


async def test_two_entries_with_one_number_share_no_key() -> None:
    """Attack: a store keeps the entry of before the restore and the one after it, and compares them."""
    one_store, _ = await written([b"A" * 64])
    two_store, _ = await written([b"A" * 64])
    one, two = (await rows(one_store))[0].data, (await rows(two_store))[0].data
    assert one[-80:] != two[-80:], "same key and nonce would give the same bytes for the same words"


async def test_a_failed_append_leaves_the_log_usable() -> None:
    class Failing(MemoryStore):
        broken = True

        async def append_log(self, log_id: bytes, entries: object) -> int:
            if self.broken:
                raise StoreConflict("the disk is full")
            return await super().append_log(log_id, entries)  # type: ignore[arg-type]

    store = Failing()
    log = await PrivateLog.open(store, KEY)
    with pytest.raises(ChannelError):
        await log.append(b"lost")
    store.broken = False
    assert await log.append(b"kept") == 0
    assert await contents(log) == [(0, b"kept")]
