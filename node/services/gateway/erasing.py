"""Erasure of what a stream's writer has written (channels.md 4, rule 11): what of it, and the step that does it.

A present epoch that has something of the past in it is ended by a commit first, which changes no reader. Then, under
the lock of the engine: new masters that cannot derive the past are kept outside the database, the former ones
destroyed, and in one transaction of the store the log goes, the capsules are emptied, those of the present members
that open the past made anew from what is left, and one state takes the place of all former ones. Any of it may be done
again after a crash: what the masters still derive says whether they were exchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from channels.capsule import CapsuleHeader, CapsuleKind
from channels.ggm import LEAVES
from channels.history import EpochLog
from channels.issuer import Member
from channels.kdf import sha256
from channels.masters import Masters
from channels.stores.records import Capsule, Erased, Past
from node.services.gateway.engine import StreamEngine
from node.services.gateway.errors import EpochOpen
from node.services.gateway.ports import ErasingPorts, PastStore

__all__ = ["Bound", "bound_of", "erase_past"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """An erasure reaches to slots below `before_slot` under the epochs up to `epoch`; 2**32 slots are all there are."""

    epoch: int
    before_slot: int


def bound_of(log: EpochLog, before_slot: int | None) -> Bound:
    """How far an erasure reaches that was asked for now: before a slot, or with None everything that was sealed."""
    if before_slot is None:
        return Bound(log.newest, LEAVES)
    return Bound(log.last_before(before_slot), before_slot)


async def erase_past(
    engine: StreamEngine, ports: ErasingPorts, past: Past, exchange: Callable[[Masters, bytes], None]
) -> Erased:
    """Destroys the keys and the log of the past; returns the store's record.

    `exchange` keeps new masters with a snapshot of the tree and destroys all others; it is called again after a crash.
    Raises EpochOpen while an epoch of the past is in use.
    """
    async with engine.lock:
        writer = engine.writer
        if engine.recorder.stale or writer.active_epoch != writer.epoch or writer.epoch <= past.epoch:
            raise EpochOpen(f"epoch {writer.epoch} is still in use", remedy="it ends by itself")
        masters, snapshot = writer.masters, writer.snapshot()
        with engine.recorder.all_or_stale():
            if not _is_erased(masters, past):
                masters = masters.erased(past.epoch, ports.fresh(), writer.params.sid, past.before_slot)
            await asyncio.to_thread(exchange, masters, snapshot)
            writer.erase(masters)
            capsules = await _capsules(engine, ports.store, past)
            erased = await ports.store.erase_past(writer.params.sid, past, snapshot, capsules)
            engine.recorder.folded(len(snapshot))
        engine.closing = 0
    _log.info("past_erased", epoch=past.epoch, envelopes=erased.envelopes, capsules=len(capsules))
    return erased


def _is_erased(masters: Masters, past: Past) -> bool:
    """Whether nothing of the past can be derived any more."""
    if any(node.first <= past.epoch for node in masters.epochs):
        return False
    part = masters.part
    return part is None or part.epoch > past.epoch or part.slots[0].first >= past.before_slot


async def _capsules(engine: StreamEngine, store: PastStore, past: Past) -> list[Capsule]:
    """Another Welcome for whoever may not have taken the one that opens the past; the others throw it away. What opens
    nothing of the past stays as it is, for nobody is given it twice."""
    keys, starts = await engine.reader_keys(), await engine.first_slots()
    found = [
        kept
        for kept in await store.capsules(engine.sid)
        if kept.data and _stays(kept, engine.member(kept.grant_id), starts.get(kept.grant_id, 0), past)
    ]
    for member in engine.members():
        if member.joined_epoch > past.epoch and member.start_slot >= past.before_slot:
            continue
        public = keys.get(member.reader_key_hash)
        if public is None:
            _log.warning("capsule_not_renewed", grant=member.grant_id.hex()[:16])
            continue
        capsule = engine.writer.welcome(member, public)
        found.append(Capsule(member.grant_id, engine.writer.epoch, sha256(capsule), capsule))
    return found


def _stays(kept: Capsule, member: Member | None, start: int, past: Past) -> bool:
    """Whether a capsule opens nothing of the past. That of a former member may hold secrets of whole epochs; a History
    holds covers of its grant's slots, from `start` on."""
    if member is not None:
        return member.joined_epoch > past.epoch and member.start_slot >= past.before_slot
    return start >= past.before_slot and CapsuleHeader.decode(kept.data).kind is CapsuleKind.HISTORY
