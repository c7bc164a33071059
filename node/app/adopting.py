"""The writer of a stream that another gateway wrote: opened once the household has said where that one stopped."""

from __future__ import annotations

import structlog

from channels.gate import Gate
from channels.masters import Masters
from channels.position import Position
from channels.stores.base import ChannelStore
from channels.writer import Writer
from channels.writer_state import WriterState
from node.app.core import Core
from node.app.streamspec import StreamSpec
from node.projection.device import Device
from node.projection.stream import Stream
from node.wire.streams import Handover, StreamTake

__all__ = ["HANDOVER", "TAKEN", "adopt_stream", "adopted_base", "handover_of", "taken_name", "taken_streams"]

_log = structlog.get_logger(__name__)

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

    What the meter said before the former writer's last reading was sealed by that one: it is dropped here, once.
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
    await store.record_seal(spec.sid, (), double, writer.snapshot())
    _log.info("stream_taken_over", category=spec.category, epoch=handover.epoch, seq=handover.last_seq)
    return writer
