"""Writes one stream: takes readings in, changes readers by commits, seals what the gate lets through.

Each round compares what is with what should be, so a crash between any two lines is healed by the next round. The
order that keeps a secret: a revocation blocks sealing before anything else is looked at; a commit is stored before it
is sent to the chain; it is published, and its epoch used, once the chain includes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from channels.checkpoint import Checkpoint
from channels.commit import signature_of
from channels.envelope import EnvelopeHeader
from channels.errors import GateRefused
from channels.gate import Evidence, Gate
from channels.issuer import Member
from channels.kdf import sha256
from channels.plan import Backlog, CommitStep, GiveHistory, SealStep, plan
from channels.stores.records import (
    Capsule,
    LeafRecord,
    PendingReading,
    StoredCheckpoint,
    StoredCommit,
    StoredEnvelope,
)
from channels.writer import Changes, Join, Writer
from keys.messages import StreamCommit
from node.clock import Clock
from node.services.gateway.batching import Batch, batches
from node.services.gateway.errors import StreamNotOurs, WriterBehindChain
from node.services.gateway.members import (
    KEY_LASTS,
    OWNER,
    Demand,
    by_grant,
    demand,
    keyed_times,
    leaf_record,
    owner_grant,
)
from node.services.gateway.ports import ChainPort, CommitPort, ConsentPort, HighWaterPort, StreamFacts, WriterLog

__all__ = ["EngineStatus", "Ports", "StreamEngine"]

_log = structlog.get_logger(__name__)

ROUND = 2_000
"""Buffered readings that one round looks at."""

SLOT_GRACE = 2
"""Seconds after a slot's end before its checkpoint: the last telegram of the slot is still on its way."""

NOBODY = bytes(20)


@dataclass(frozen=True, slots=True)
class Ports:
    """The rest of the node, as far as a stream's writer needs it.

    `backlog_s`: seconds back from now from which a meter or logger may still deliver; the first epoch reaches that far.
    """

    store: WriterLog
    chain: ChainPort
    consents: ConsentPort
    commits: CommitPort
    high_water: HighWaterPort
    clock: Clock
    backlog_s: int = 0


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How the writing goes; `fault` is one sentence, or empty."""

    epoch: int
    active_epoch: int
    members: int
    pending: int
    fault: str
    waiting_keys: tuple[bytes, ...]


class StreamEngine:
    """One stream's writer with its store. `step` is one round; `lock` keeps rounds and questions apart. Envelopes up to
    `marked_seq` are under the high-water mark and may be published."""

    def __init__(self, writer: Writer, instance: bytes, ports: Ports, gate: Gate) -> None:
        self.lock = asyncio.Lock()
        self.fault = ""
        self.marked_seq = writer.position.seq
        self._writer = writer
        self._instance = instance
        self._ports = ports
        self._gate = gate
        self._members: dict[bytes, Member] = {}
        self._keyed: dict[bytes, int] = {}
        self._waiting: tuple[bytes, ...] = ()
        self._complained = False
        self._closed = -1

    @property
    def sid(self) -> bytes:
        return self._writer.params.sid

    @property
    def active_epoch(self) -> int:
        """What was published may go up to this epoch."""
        return self._writer.active_epoch

    @property
    def writer(self) -> Writer:
        return self._writer

    async def load(self) -> None:
        """Reads who is a member; once before the first round."""
        leaves = await self._ports.store.leaves(self.sid)
        self._members, self._keyed = by_grant(leaves), keyed_times(leaves)

    def member(self, grant_id: bytes) -> Member | None:
        return self._members.get(grant_id)

    async def status(self) -> EngineStatus:
        pending = await self._ports.store.pending_count(self.sid)
        return EngineStatus(
            self._writer.epoch, self._writer.active_epoch, len(self._members), pending, self.fault, self._waiting
        )

    async def step(self) -> bool:
        """One round; True when another one may find more to do at once.

        Raises WriterBehindChain or StreamNotOurs when only a person can decide; everything else waits and is told
        in `fault`.
        """
        async with self.lock:
            self._complained = False
            try:
                again = await self._round()
            except GateRefused as refused:
                self._say(str(refused))
                return False
            if not again and not self._waiting and not self._complained:
                self._say("")
            return again

    async def _round(self) -> bool:
        facts = await self._ports.chain.stream(self.sid)
        if facts is None:
            self._say("the stream is not registered on chain yet")
            return False
        wanted = await self._demand()
        await self._block(wanted)
        self._check(facts)
        await self._bring(facts)
        if self._writer.epoch > self._writer.active_epoch:
            return await self._settle(facts)
        number, block_time = self._ports.chain.block()
        now = self._ports.clock.now()
        # Fail closed (channels.md 4, rule 5): without a recent block nobody knows who was revoked.
        self._gate.check_clocks(now, now, Evidence(now, block_time))
        rows = await self._ports.store.pending(self.sid, ROUND)
        work = batches(rows, self._writer, block_time)
        params = self._writer.params
        # Before the first epoch nobody is a member, so it may begin where the oldest reading to come may lie.
        oldest = now if self._writer.epoch else max(now - self._ports.backlog_s, params.genesis)
        present = Backlog(
            max(self._floor(), params.clamped_slot(oldest)),
            params.clamped_slot(min(now, block_time)),
            params.clamped_slot(max(now, block_time)),
        )
        return await self._carry_out(wanted, work, present, (number, len(rows) == ROUND))

    async def _demand(self) -> Demand:
        consents, sid = self._ports.consents, self.sid
        acting = list(await consents.acting(sid))
        owner = await consents.owner_key_hash(sid)
        if owner is not None:
            acting.append(owner_grant(owner))
        ended = await consents.ended(sid)
        served = frozenset([g.grant_id for g in ended if await self._ports.store.capsule(sid, g.grant_id) is not None])
        now = self._ports.clock.now()
        lasting = frozenset(grant for grant, at in self._keyed.items() if now - at < KEY_LASTS)
        found = demand(self._members, acting, ended, await consents.reader_keys(sid), served, lasting)
        self._waiting = found.waiting
        return found

    async def _block(self, wanted: Demand) -> None:
        """From here on nothing is sealed to a revoked reader, whatever happens next."""
        new = [leaf for leaf in wanted.revoked_leaves if leaf not in self._writer.state.revoked]
        if new:
            self._writer.block_sealing(new)
            await self._ports.store.save_writer(self.sid, self._writer.snapshot())

    def _check(self, facts: StreamFacts) -> None:
        if facts.writer == NOBODY:
            raise StreamNotOurs("the owner has ended this gateway's right to write", remedy="pair the gateway again")
        if facts.writer != self._writer.params.writer:
            raise StreamNotOurs("the owner has set another writer for this stream", remedy="unpair this gateway")
        own = self._writer.epoch
        if facts.epoch > own or (facts.epoch == own and own and facts.commit_hash != self._writer.head):
            raise WriterBehindChain(
                f"the chain is at epoch {facts.epoch} of this stream and this gateway at {own}",
                remedy="stop the other copy of this gateway, or restore the newest backup of its channel log",
            )

    async def _settle(self, facts: StreamFacts) -> bool:
        """A stored commit is on its way: its epoch is used once it is there."""
        epoch = self._writer.epoch
        if facts.epoch == epoch:
            closing = self._writer.activate(epoch)
            await self._record((), (), closing)
            _log.info("epoch_active", epoch=epoch, members=len(self._members))
            return True
        self._say(f"waiting for the chain to include epoch {epoch}")
        return False

    async def _bring(self, facts: StreamFacts) -> None:
        """Every stored commit that the chain lacks goes there, the oldest first: a reorg may have removed several, and
        the registry takes none before its predecessor."""
        if facts.epoch >= self._writer.epoch:
            return
        for stored in await self._ports.store.commits(self.sid, facts.epoch + 1):
            message = StreamCommit(self.sid, stored.epoch, stored.hash)
            await self._ports.commits.submit(message, signature_of(stored.data))

    def _floor(self) -> int:
        """The first slot that may still be sealed under the active epoch."""
        state = self._writer.state
        sealed = state.position.slot if state.position.seq else 0
        if state.epoch < state.log.origin:
            return sealed
        return max(sealed, state.log.first_slot(state.epoch))

    async def _carry_out(
        self, wanted: Demand, work: Sequence[Batch], present: Backlog, context: tuple[int, bool]
    ) -> bool:
        block_number, more = context
        steps = plan(wanted.leaving, wanted.joining, [batch.backlog for batch in work], present)
        by_slot = {batch.backlog.slot: batch for batch in work}
        left = len(work)
        ready: list[Batch] = []
        for step in steps:
            if more and left == 0:
                break  # what lies behind this round's readings is not known yet, so nothing may be decided about it
            if isinstance(step, SealStep):
                ready.append(by_slot[step.slot])
                left -= 1
                continue
            await self._seal(ready)
            ready = []
            if isinstance(step, GiveHistory):
                await self._give_history(step)
            else:
                await self._commit(step, wanted, block_number)
                return True
        await self._seal(ready)
        if not more:
            await self._close_slots(present)
        return more

    async def _seal(self, ready: Sequence[Batch]) -> None:
        if not ready or self._writer.active_epoch == 0:
            return
        envelopes: list[bytes] = []
        checkpoints: list[bytes] = []
        consumed: list[int] = []
        try:
            for batch in ready:
                for part in batch.parts:
                    sealed = self._writer.seal([(part.seal_time, part.plaintext)], part.evidence)
                    envelopes += sealed.envelopes
                    checkpoints += sealed.checkpoints
                    consumed += part.ids
        finally:
            # What was sealed before a refusal has used its sequence numbers: it is kept, the rest stays buffered.
            await self._record(envelopes, consumed, checkpoints)

    async def _record(self, envelopes: Sequence[bytes], consumed: Sequence[int], checkpoints: Sequence[bytes]) -> None:
        if not envelopes and not checkpoints:
            await self._ports.store.save_writer(self.sid, self._writer.snapshot())
            return
        stored = [self._envelope(data) for data in envelopes]
        signed = [self._checkpoint(data) for data in checkpoints]
        await self._ports.store.record_seal(self.sid, stored, consumed, self._writer.snapshot(), signed)
        # After the record, or a crash in between would leave a number that nobody can ever show; before the publisher,
        # which goes no further than the mark.
        await asyncio.to_thread(self._ports.high_water.advance, self._writer.position)
        self.marked_seq = self._writer.position.seq

    def _envelope(self, data: bytes) -> StoredEnvelope:
        header = EnvelopeHeader.decode(data, self._writer.params.signed_envelopes)
        return StoredEnvelope(header.epoch, header.slot, header.inst, header.seq, sha256(data), data)

    def _checkpoint(self, data: bytes) -> StoredCheckpoint:
        found = Checkpoint.decode(data)
        return StoredCheckpoint(
            found.epoch, found.slot, self._instance, found.first_seq, found.count, sha256(data), data
        )

    async def _close_slots(self, present: Backlog) -> None:
        """Signs for slots that every clock has left behind."""
        params = self._writer.params
        last = params.clamped_slot(self._ports.clock.now() - SLOT_GRACE) - 1
        last = min(last, present.earliest - 1)
        first = max(self._closed + 1, self._floor() if self._closed < 0 else 0)
        if self._closed < 0:
            first = max(first, last)
        checkpoints: list[bytes] = []
        for slot in range(first, last + 1):
            checkpoints += self._writer.close_slot(slot)
        self._closed = max(self._closed, last)
        if checkpoints:
            await self._record((), (), checkpoints)

    async def _commit(self, step: CommitStep, wanted: Demand, block_number: int) -> None:
        joining = {grant.grant_id: grant for grant in wanted.joining}
        keys = await self._ports.consents.reader_keys(self.sid)
        hashes = await self._key_hashes()
        removed = [self._members[grant_id] for grant_id in step.remove]
        former = {member.grant_id: member for member in removed}
        added = [(joining[grant_id], former.get(grant_id)) for grant_id in step.add]
        joins = tuple(
            Join(grant.start_slot, grant.end_slot, 0 if grant.grant_id == OWNER else old.leaf if old else None)
            for grant, old in added
        )
        state = self._writer.state
        # A writer that this one replaced left leaves without a member here; the first commit removes them all.
        gone = tuple(state.tree.live_leaves() if state.adopted else [member.leaf for member in removed])
        changes = Changes(step.first_slot, block_number, gone, joins)
        prepared = self._writer.prepare(changes)
        data = self._writer.apply(prepared, await self._ports.commits.sign(prepared.message))
        records = [LeafRecord(member.leaf, None, 0, b"") for member in removed]
        capsules: list[Capsule] = []
        for member in removed:
            del self._members[member.grant_id]
        for (grant, old), leaf in zip(added, prepared.leaves, strict=True):
            joined, key_hash = old.joined_epoch if old else prepared.epoch, hashes[grant.grant_id]
            member = Member(grant.grant_id, key_hash, leaf, grant.start_slot, grant.end_slot, joined)
            self._members[grant.grant_id] = member
            if old is not None:
                self._keyed[grant.grant_id] = self._ports.clock.now()
            fresh = leaf_record(member, self._keyed.get(grant.grant_id, 0))
            records = [record for record in records if record.leaf != leaf] + [fresh]
            capsule = self._writer.welcome(member, keys[key_hash])
            capsules.append(Capsule(grant.grant_id, prepared.epoch, sha256(capsule), capsule))
        commit, snapshot = StoredCommit(prepared.epoch, prepared.commit_hash, data), self._writer.snapshot()
        await self._ports.store.record_commit(self.sid, commit, capsules, records, snapshot)
        _log.info("commit_stored", epoch=prepared.epoch, removed=len(removed), added=len(added), size=len(data))

    async def _key_hashes(self) -> dict[bytes, bytes]:
        consents, sid = self._ports.consents, self.sid
        grants = [*await consents.acting(sid), *await consents.ended(sid)]
        found = {grant.grant_id: grant.reader_key_hash for grant in grants}
        owner = await consents.owner_key_hash(sid)
        return found if owner is None else {**found, OWNER: owner}

    async def _give_history(self, step: GiveHistory) -> None:
        """A grant that lies wholly in the past needs no leaf: keys of its slots, once."""
        hashes = await self._key_hashes()
        keys = await self._ports.consents.reader_keys(self.sid)
        grants = [*await self._ports.consents.acting(self.sid), *await self._ports.consents.ended(self.sid)]
        grant = next(g for g in grants if g.grant_id == step.grant_id)
        slots = (grant.start_slot, grant.end_slot)
        capsule = self._writer.history(grant.grant_id, keys[hashes[grant.grant_id]], slots, step.first_unsealed)
        kept = Capsule(grant.grant_id, self._writer.epoch, sha256(capsule), capsule)
        await self._ports.store.put_capsule(self.sid, kept)

    async def resync(self, grant_id: bytes, public: bytes, request_id: bytes, since_epoch: int) -> bytes:
        """A Resync for a member who lost its state; the caller has checked the request (channels.md 4, rule 8)."""
        async with self.lock:
            member = self._members[grant_id]
            capsule = self._writer.resync(member, public, request_id, since_epoch)
            kept = Capsule(grant_id, self._writer.epoch, sha256(capsule), capsule)
            await self._ports.store.put_capsule(self.sid, kept)
            return capsule

    async def shutdown(self) -> None:
        """The last checkpoint: a reader that sees it knows that nothing was cut off."""
        async with self.lock:
            if closing := self._writer.shutdown():
                await self._record((), (), closing)

    async def take_in(self, readings: Sequence[PendingReading]) -> None:
        """Keeps readings until they may be sealed."""
        if readings:
            slotted = [replace(r, slot=max(0, self._writer.params.clamped_slot(r.meter_time))) for r in readings]
            await self._ports.store.add_pending(self.sid, slotted)

    def _say(self, fault: str) -> None:
        self._complained = bool(fault)
        if fault != self.fault:
            self.fault = fault
            if fault:
                _log.info("stream_waits", sid=self.sid.hex()[:8], reason=fault)
