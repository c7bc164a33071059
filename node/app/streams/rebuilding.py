"""A writer whose channel log was lost: from its copy, its masters and the commits (channels.md 2 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from channels.errors import RebuildMismatch
from channels.gate import Gate
from channels.masters import Masters
from channels.position import START, Position
from channels.rebuild import rebuild_writer
from channels.stores.base import ChannelStore
from channels.writer import Writer
from channels.writer_state import WriterState
from node.app.streams.streamspec import StreamSpec
from node.errors import NeedsPerson
from node.services.gateway.members import by_grant

__all__ = ["Lost", "rebuilt_writer", "recorded_position"]

_log = structlog.get_logger(__name__)

PAGE = 1_000

REMEDY = "Restore the newest backup of the channel log, or name the store that has its copy in storage.replicas."


async def recorded_position(store: ChannelStore, sid: bytes) -> Position:
    """How far the log goes: its last envelope, and the last one that a checkpoint covers."""
    last = await store.last_envelope(sid)
    if last is None:
        return START
    covering = await store.last_checkpoint(sid)
    covered = 0 if covering is None else covering.first_seq + covering.count - 1
    return Position(last.epoch, last.slot, last.seq, last.hash, min(covered, last.seq))


@dataclass(frozen=True, slots=True)
class Lost:
    """What is known of a stream whose log was lost. `active`: the newest epoch on chain; `marked`: the high-water mark;
    `base`: the state in which a writer began that took the stream over from another one."""

    spec: StreamSpec
    masters: Masters
    active: int
    marked: Position
    base: WriterState | None = None


async def rebuilt_writer(store: ChannelStore, lost: Lost, instance: bytes, gate: Gate) -> Writer:
    """Re-makes every commit from T and compares; the state is kept. Raises NeedsPerson where log, masters and leaves do
    not belong together."""
    spec, masters, base = lost.spec, lost.masters, lost.base
    sid, before = spec.sid, 0 if base is None else base.epoch
    log: list[bytes] = []
    while page := await store.commits(sid, before + len(log) + 1, PAGE):
        log += [commit.data for commit in page]
    if before + len(log) < lost.active:
        raise NeedsPerson(
            f"The channel log of {spec.category} was lost; its copy has {before + len(log)} of {lost.active} commits.",
            remedy=REMEDY,
        )
    places = [lost.marked, await recorded_position(store, sid), START if base is None else base.position]
    position = max(places, key=lambda place: place.seq)
    members = by_grant(await store.leaves(sid)).values()
    try:
        made = rebuild_writer(
            spec.params, masters, spec.stream_key, instance, log, members, lost.active, position, base
        )
    except RebuildMismatch as error:
        raise NeedsPerson(f"{spec.category} cannot be rebuilt: {error}.", remedy=REMEDY) from error
    await store.save_writer(sid, made.snapshot())
    _log.warning("writer_rebuilt", category=spec.category, epoch=made.epoch, seq=position.seq, commits=len(log))
    return Writer(spec.params, masters, spec.stream_key, instance, made.state, gate)
