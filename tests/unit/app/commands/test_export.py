"""The facade's side of `wattpact verify`: what a store and a journal hold becomes an export."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from channels.checkpoint import Checkpoint
from channels.commit import Commit, Header
from channels.envelope import EnvelopeHeader
from channels.stores.base import ChannelStore
from channels.stores.records import StoredCheckpoint, StoredCommit, StoredEnvelope
from channels.stores.sql import SqlStore
from node.app.commands.export import build_export, events_of, heights_needed, read_log
from node.projection.base import Block
from node.projection.events import LoggedCommitted, LoggedRolledBack, LoggedWriterSet
from tests.unit.app.commands.streamfile import FIRST_BLOCK, SID, StreamFile, block_hash, header, judged, story


async def store_of(made: StreamFile, folder: Path) -> ChannelStore:
    store = await SqlStore.open(f"sqlite+aiosqlite:///{folder / 'channels.db'}", bytes(32))
    await store.append_commits(
        SID, [StoredCommit(Header.decode(data).epoch, Commit.hash_of(data), data) for data in made.world.commits]
    )
    envelopes = []
    for data in made.world.envelopes:
        found = EnvelopeHeader.decode(data)
        envelopes.append(StoredEnvelope(found.epoch, found.slot, found.inst, found.seq, sha256(data).digest(), data))
    # A reader may have recorded them in another order than they were sealed.
    await store.append_envelopes(SID, [*envelopes[1:3], envelopes[0], *envelopes[3:]])
    checkpoints = []
    for data in made.world.checkpoints:
        point = Checkpoint.decode(data)
        checkpoints.append(
            StoredCheckpoint(
                point.epoch, point.slot, bytes(16), point.first_seq, point.count, sha256(data).digest(), data
            )
        )
    await store.append_checkpoints(SID, checkpoints)
    return store


async def test_what_a_store_holds_is_read_whole_and_verifies(tmp_path: Path) -> None:
    made = story()
    store = await store_of(made, tmp_path)
    log = await read_log(store, made.params)
    await store.close()
    assert log == made.log()
    headers = [header(number) for number in range(FIRST_BLOCK, made.height)]
    export = build_export(made.params, headers, events_of(made.history), log)
    findings = judged(tmp_path, made.document() | {"log": [dict(entry) for entry in export.log]})
    assert all(finding.ok for finding in findings.values()), findings


async def test_the_newest_envelopes_alone_verify_too(tmp_path: Path) -> None:
    made = story()
    store = await store_of(made, tmp_path)
    log = await read_log(store, made.params, newest=6)
    await store.close()
    assert log.envelopes == tuple(made.world.envelopes[-6:])
    assert len(log.commits) == 3
    assert len(log.checkpoints) < len(made.world.checkpoints)
    export = build_export(
        made.params, [header(n) for n in range(FIRST_BLOCK, made.height)], events_of(made.history), log
    )
    findings = judged(tmp_path, made.document() | {"log": [dict(entry) for entry in export.log]})
    assert all(finding.ok for finding in findings.values()), findings


async def test_an_empty_store_gives_an_empty_log(tmp_path: Path) -> None:
    store = await SqlStore.open(f"sqlite+aiosqlite:///{tmp_path / 'channels.db'}", bytes(32))
    log = await read_log(store, StreamFile.start().params)
    await store.close()
    assert (log.commits, log.envelopes, log.checkpoints) == ((), (), ())
    assert len(log.keys) == 1


def test_what_a_reorganisation_took_away_is_left_out() -> None:
    """The journal keeps everything it was told; the export shows the chain as it stands."""
    first = LoggedCommitted(Block(10, block_hash(10)), SID, 1, bytes(32))
    gone = LoggedCommitted(Block(12, block_hash(12, "other")), SID, 2, b"\x01" * 32)
    again = LoggedCommitted(Block(13, block_hash(13)), SID, 2, b"\x02" * 32)
    halted = LoggedWriterSet(Block(14, block_hash(14)), SID, bytes(20), bytes(32))
    history = [first, gone, LoggedRolledBack(11), again, again, halted]
    assert events_of(history) == (first, again, halted)
    assert heights_needed(events_of(history)) == (10, 13, 14)


def test_headers_are_sorted_and_gaps_are_marked() -> None:
    made = StreamFile.start()
    numbers = (104, 101, 100, 104, 105)
    export = build_export(made.params, [header(number) for number in numbers], events_of(made.history), made.log())
    assert [(entry["number"], entry["linked"]) for entry in export.headers] == [
        (100, False), (101, True), (104, False), (105, True),
    ]  # fmt: skip
