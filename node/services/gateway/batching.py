"""Groups buffered readings into plaintexts: up to sixty of one slot and one minute in one envelope (channels.md 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channels.gate import Evidence
from channels.plan import Backlog
from channels.readings import MAX_READINGS, decode_batch, encode_batch
from channels.stores.records import PendingReading
from channels.writer import Writer

__all__ = ["Batch", "Part", "batches"]

SPAN = 60
"""Seconds that the readings of one envelope may be apart: the clocks of all must agree with one piece of evidence."""


@dataclass(frozen=True, slots=True)
class Part:
    """One envelope to be: the second that decides its slot, its plaintext, the clocks at intake, the buffer ids."""

    seal_time: int
    plaintext: bytes
    evidence: Evidence
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """All envelopes of one slot."""

    backlog: Backlog
    parts: tuple[Part, ...]


def batches(rows: Sequence[PendingReading], writer: Writer, block_time: int) -> list[Batch]:
    """Rows in order of slot and meter time become batches in order of slot.

    A reading that comes after its slot was closed by a commit goes into the first slot that is open: the reader who has
    left in between does not get it.
    """
    params, state = writer.params, writer.state
    floor = state.position.slot if state.position.seq else 0
    if state.active >= state.log.origin:
        floor = max(floor, state.log.first_slot(state.active))
    groups: list[tuple[int, list[PendingReading]]] = []
    for row in rows:
        slot = max(floor, row.slot)
        last = groups[-1] if groups else None
        apart = last is None or last[0] != slot or len(last[1]) >= MAX_READINGS
        if apart or last is None or abs(row.received_at - last[1][0].received_at) > SPAN:
            groups.append((slot, [row]))
        else:
            last[1].append(row)
    found: dict[int, list[Part]] = {}
    times: dict[int, tuple[int, int]] = {}
    for slot, members in groups:
        received = max(row.received_at for row in members)
        seal_time = max(*(row.meter_time for row in members), params.slot_start(slot))
        # A late reading is sealed as of the slot that takes it. The chain has been caught up to the newest block, so at
        # that moment its newest block was not older than the reading.
        clock = max(received, seal_time)
        evidence = Evidence(clock, min(clock, block_time))
        part = Part(seal_time, _plaintext(members), evidence, tuple(r.id for r in members))
        found.setdefault(slot, []).append(part)
        low, high = times.get(slot, (seal_time, seal_time))
        clocks = (evidence.gateway_clock, evidence.block_time, seal_time, *(row.meter_time for row in members))
        times[slot] = (min(low, *clocks), max(high, *clocks))
    return [
        Batch(Backlog(slot, params.clamped_slot(times[slot][0]), params.clamped_slot(times[slot][1])), tuple(parts))
        for slot, parts in sorted(found.items())
    ]


def _plaintext(rows: Sequence[PendingReading]) -> bytes:
    """Buffered rows hold one reading each; an envelope holds them together, which is shorter."""
    return encode_batch([reading for row in rows for reading in decode_batch(row.payload)])
