"""The writer of a stream that another gateway wrote: opened once the household has said where that one stopped."""

from __future__ import annotations

import structlog

from channels.gate import Gate
from channels.masters import Masters
from channels.position import Position
from channels.stores.base import ChannelStore
from channels.stores.records import LeafRecord, LogKind, StoredCheckpoint, StoredCommit, StoredEnvelope, WriterRecord
from channels.writer import Writer
from channels.writer_state import WriterState
from node.app.core import Core
from node.app.streams.streamspec import StreamSpec, stream_spec
from node.app.streams.writers import terms_of
from node.projection.device import Device
from node.projection.stream import Stream
from node.wire.streams import Handover, StreamTake

__all__ = [
    "BEGAN",
    "HANDOVER",
    "TAKEN",
    "adopt_stream",
    "adopted_base",
    "former_epoch",
    "handover_of",
    "kept_record",
    "taken_name",
    "taken_streams",
    "tenure_spec",
]

_log = structlog.get_logger(__name__)

BEGAN = "writer_began"
"""Namespace of facts: when this gateway took a stream over, seconds UTC, by stream."""

TAKEN = "taken_stream"
"""Namespace of facts: what the owner asked this gateway to take over, by pairing and category."""

HANDOVER = "handover"
"""Namespace of facts: where the former writer stopped, by stream id."""

MANY = 100_000


def taken_name(pairing: Device, category: str) -> str:
    """Another owner's streams are not taken over with a new pairing."""
    return f"{pairing.device_hash.hex()}/{category}"


async def taken_streams(core: Core, pairing: Device) -> dict[str, StreamTake]:
    """What this gateway took over under a pairing, by category."""
    found = await core.storage.memory.facts.all(TAKEN)
    bodies = [StreamTake.model_validate(body) for body in found.values()]
    return {body.category: body for body in bodies if taken_name(pairing, body.category) in found}


async def tenure_spec(core: Core, category: str, pairing: Device, genesis: int, taken: StreamTake | None) -> StreamSpec:
    """The stream with the newest keys, or, while the chain still names a writer of an earlier generation, with its."""
    newest = stream_spec(core, category, pairing, genesis, taken)
    if taken is not None and taken.generation:
        stream = await core.storage.views.one(Stream, newest.sid)
        for generation in range(taken.generation):
            earlier = taken.model_copy(update={"generation": generation})
            spec = stream_spec(core, category, pairing, genesis, earlier)
            if stream.writer == spec.writer.address:
                return spec
    return newest


async def kept_record(core: Core, sid: bytes, before: int) -> WriterRecord | None:
    """The writer's state in the store, if it is of the time that began after epoch `before`."""
    record = await core.storage.channels.writer_record(sid)
    if record is None or WriterState.from_record(record).log.origin != before + 1:
        return None
    return record


async def former_epoch(core: Core, sid: bytes) -> int:
    """The last epoch of the writer before the present one; 0 for a stream's first writer."""
    ended = [term.last_epoch for term in await terms_of(core, sid) if term.last_epoch is not None]
    return ended[-1] if ended else 0


async def handover_of(core: Core, sid: bytes) -> Handover | None:
    """Where the former writer of a stream stopped; None where there is none, or nothing was said yet."""
    body = await core.storage.memory.facts.get(HANDOVER, sid.hex())
    return None if body is None else Handover.model_validate(body)


def adopted_base(handover: Handover) -> WriterState:
    """The state of a new writer before its first commit.

    The old writer's envelopes count as covered: only its own key can sign for them.
    """
    live = [leaf for start, count in handover.live for leaf in range(start, start + count)]
    seq = handover.last_seq
    position = Position(handover.last_epoch, handover.last_slot, seq, handover.last_hash, seq)
    return WriterState.after_writer_change(handover.epoch, handover.head, handover.depth, live, position)


async def adopt_stream(
    core: Core, spec: StreamSpec, stream: Stream, masters: Masters, instance: bytes, gate: Gate
) -> Writer | None:
    """The new writer with its state kept; None while the handover has not come, or does not fit the chain's head.

    What this node has of the former writer, be it its own former time or what it read, was published by that one, and
    whoever had a leaf then is no member of ours. What the meter said before the former writer's last reading was sealed
    by that one: it is dropped here, once.
    """
    handover = await handover_of(core, spec.sid)
    if handover is None or stream.head is None:
        return None
    if (handover.epoch, handover.head) != (stream.epoch, stream.head.commit_hash):
        _log.warning("handover_does_not_fit", category=spec.category, epoch=handover.epoch, chain=stream.epoch)
        return None
    writer = Writer(spec.params, masters, spec.stream_key, instance, adopted_base(handover), gate)
    store: ChannelStore = core.storage.channels
    pending = await store.pending(spec.sid, MANY)
    double = [row.id for row in pending if row.meter_time <= handover.through]
    await _count_as_published(store, spec.sid)
    emptied = [LeafRecord(leaf.leaf, None, 0, b"") for leaf in await store.leaves(spec.sid)]
    await core.storage.memory.keep((), [(BEGAN, spec.sid.hex(), core.clock.now())])
    await store.save_writer(spec.sid, writer.snapshot(), double, emptied)
    _log.info("stream_taken_over", category=spec.category, epoch=handover.epoch, seq=handover.last_seq)
    return writer


async def _count_as_published(store: ChannelStore, sid: bytes) -> None:
    newest: dict[LogKind, StoredCommit | StoredEnvelope | StoredCheckpoint | None] = {
        LogKind.COMMITS: await store.last_commit(sid),
        LogKind.DATA: await store.last_envelope(sid),
        LogKind.CHECKPOINTS: await store.last_checkpoint(sid),
    }
    for kind, last in newest.items():
        if last is not None:
            await store.mark_published(sid, kind, last.position)
    capsules = await store.capsules(sid)
    if capsules:
        await store.mark_published(sid, LogKind.CAPSULE, capsules[-1].position)
