"""A gateway takes over a stream of which its store holds something: it wrote it before, or reads it as a home."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from channels.gate import Gate
from channels.stores.memory import MemoryStore
from channels.stores.records import LeafRecord
from channels.writer_state import WriterState
from node.app.core import Core
from node.app.streams.adopting import adopt_stream, kept_record
from node.app.streams.streamspec import StreamSpec
from node.app.streams.takeover import last_words
from node.projection.stream import Stream
from tests.conformance.entries import capsule, checkpoint, commit, envelope
from tests.unit.channels.world import STREAM_KEY, World, hashed, masters


async def test_what_the_store_had_of_the_former_writer_is_neither_published_nor_a_member() -> None:
    world = World.start(readers=2)
    world.seal(1, b"a", b"b")
    sid, store = world.writer.params.sid, MemoryStore()
    leaves = [LeafRecord(leaf, hashed("grant", leaf), 9, b"") for leaf in range(3)]
    await store.record_commit(sid, commit(1), [capsule(1)], leaves, b"", world.writer.progress())
    await store.append_envelopes(sid, [envelope(1), envelope(2)])
    await store.append_checkpoints(sid, [checkpoint(1, 2)])
    await store.save_writer(sid, world.writer.snapshot())

    async def said(_namespace: str, _name: str) -> Any:
        return last_words(world.writer).to_json()

    kept: list[Any] = []

    async def keep(_events: Any, facts: Any) -> None:
        kept.extend(facts)

    facts = SimpleNamespace(get=said)
    storage = SimpleNamespace(channels=store, memory=SimpleNamespace(facts=facts, keep=keep))
    core = cast(Core, SimpleNamespace(storage=storage, clock=SimpleNamespace(now=lambda: 1_000)))
    spec = cast(StreamSpec, SimpleNamespace(params=world.writer.params, sid=sid, stream_key=STREAM_KEY, category="x"))
    head = SimpleNamespace(commit_hash=world.writer.head)
    chain = cast(Stream, SimpleNamespace(head=head, epoch=world.writer.epoch))
    assert await kept_record(core, sid, 1) is None, "the state of the former time is not gone on with"
    adopted = await adopt_stream(core, spec, chain, masters("new"), hashed("new")[:16], Gate())
    assert adopted is not None
    assert kept == [("writer_began", sid.hex(), 1_000)]
    assert await store.unpublished(sid) == ()
    assert await store.leaves(sid) == ()
    record = await kept_record(core, sid, 1)
    assert record is not None
    state = WriterState.from_record(record)
    assert (state.adopted, state.log.origin, state.position.seq) == (True, 2, 2)
    assert state.tree.key(0, 0) is None, "no key of the former time is left"
