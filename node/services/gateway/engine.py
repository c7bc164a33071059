"""Writes one stream: takes readings in, changes readers by commits, seals what the gate lets through.

Each round compares what is with what should be, so a crash between any two lines is healed by the next round. The
order that keeps a secret: a revocation blocks sealing before anything else is looked at; a commit is stored before it
is sent to the chain; it is published, and its epoch used, once the chain includes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from channels.commit import signature_of
from channels.errors import EpochErased, GateRefused
from channels.gate import Evidence, Gate
from channels.issuer import Member
from channels.kdf import sha256
from channels.plan import Backlog, CommitStep, GiveHistory, Joining, SealStep, plan
from channels.stores.records import Capsule, LeafRecord, PendingReading
from channels.writer import Changes, Join, PreparedCommit, Writer
from keys.messages import StreamCommit
from node.services.gateway.batching import Batch, batches
from node.services.gateway.errors import StreamNotOurs, WriterBehindChain, WriterStale
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
from node.services.gateway.ports import EngineStatus, Ports, StreamFacts
from node.services.gateway.recorder import Recorder

__all__ = ["EngineStatus", "Ports", "StreamEngine"]

_log = structlog.get_logger(__name__)

ROUND = 2_000
"""Buffered readings that one round looks at."""

SLOT_GRACE = 2
"""Seconds after a slot's end before its checkpoint: the last telegram of the slot is still on its way."""

NOBODY = bytes(20)


class StreamEngine:
    """One stream's writer with its store. `step` is one round; `lock` keeps rounds and questions apart. Once its
    recorder is stale a writer is of no use any more: another one is opened from the store."""

    def __init__(self, writer: Writer, instance: bytes, ports: Ports, gate: Gate) -> None:
        self.lock = asyncio.Lock()
        self.fault = ""
        self.recorder = Recorder(writer, instance, ports.store, ports.high_water)
        self._writer = writer
        self._ports = ports
        self._gate = gate
        self.left: dict[bytes, tuple[Member, int]] = {}  # since the start: who left, and the last epoch it could read
        self._members: dict[bytes, Member] = {}
        self._keyed: dict[bytes, int] = {}
        self._waiting: tuple[bytes, ...] = ()
        self._complained = False
        self._closed = -1
        self.closing = 0  # an epoch that a commit has to end, whether or not somebody comes or goes

    @property
    def sid(self) -> bytes:
        return self._writer.params.sid

    @property
    def active_epoch(self) -> int:
        """What was published may go up to this epoch."""
        return self._writer.active_epoch

    @property
    def marked_seq(self) -> int:
        """Envelopes up to here are under the high-water mark and may be published."""
        return self.recorder.marked_seq

    @property
    def writer(self) -> Writer:
        return self._writer

    async def load(self) -> None:
        """Reads who is a member; once before the first round."""
        leaves = await self._ports.store.leaves(self.sid)
        self.recorder.begin(await self._ports.store.writer_record(self.sid))
        self._members, self._keyed = by_grant(leaves), keyed_times(leaves)

    def member(self, grant_id: bytes) -> Member | None:
        return self._members.get(grant_id)

    def members(self) -> tuple[Member, ...]:
        """Everybody who has a leaf."""
        return tuple(self._members.values())

    async def reader_keys(self) -> dict[bytes, bytes]:
        """Public sealing keys by their hash, as far as they arrived."""
        return await self._ports.consents.reader_keys(self.sid)

    async def first_slots(self) -> dict[bytes, int]:
        """Where the grants begin that stand or ran out by themselves, by their ids."""
        consents = self._ports.consents
        grants = [*await consents.acting(self.sid), *await consents.ended(self.sid)]
        return {grant.grant_id: grant.start_slot for grant in grants}

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
            self._check_fresh()
            self._complained = False
            try:
                again = await self._round()
            except GateRefused as refused:
                self._say(str(refused))
                return False
            if not again and not self._waiting and not self._complained:
                self._say("")
            return again

    def _check_fresh(self) -> None:
        if self.recorder.stale:
            raise WriterStale("the store did not keep what this writer did last", remedy="it is opened anew by itself")

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
        owner, since = await consents.owner_key_hash(sid), await consents.owned_since(sid)
        if owner is not None and since is not None:
            acting.append(owner_grant(owner, since))
        member = self._members.get(OWNER)
        # Who was a member before the present owner's time is another household, whatever became of the transfer since.
        former = since is None or (member is not None and member.start_slot < since)
        put_out = frozenset([OWNER]) if former else frozenset[bytes]()
        ended = await consents.ended(sid)
        served = frozenset([g.grant_id for g in ended if await self._ports.store.capsule(sid, g.grant_id) is not None])
        now = self._ports.clock.now()
        lasting = frozenset(grant for grant, at in self._keyed.items() if now - at < KEY_LASTS)
        found = demand(self._members, acting, ended, await consents.reader_keys(sid), served, lasting, put_out)
        self._waiting = found.waiting
        return found

    async def _block(self, wanted: Demand) -> None:
        """From here on nothing is sealed to a revoked reader, whatever happens next."""
        new = [leaf for leaf in wanted.revoked_leaves if leaf not in self._writer.state.revoked]
        if new:
            self._writer.block_sealing(new)
            await self.recorder.progress()

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
            await self.recorder.seal((), (), closing)
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
        if more:
            return True
        await self._close_slots(present)
        if self.closing >= self._writer.epoch > 0:
            await self._commit(CommitStep(max(present.slot, self._floor()), (), ()), wanted, block_number)
            return True
        return False

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
            await self.recorder.seal(envelopes, consumed, checkpoints)

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
            await self.recorder.seal((), (), checkpoints)

    async def _commit(self, step: CommitStep, wanted: Demand, block_number: int) -> None:
        joining = {grant.grant_id: grant for grant in wanted.joining}
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
        with self.recorder.all_or_stale():
            await self._keep_commit(
                prepared, data, removed, [(grant, old, hashes[grant.grant_id]) for grant, old in added]
            )
        _log.info("commit_stored", epoch=prepared.epoch, removed=len(removed), added=len(added), size=len(data))

    async def _keep_commit(
        self,
        prepared: PreparedCommit,
        data: bytes,
        removed: Sequence[Member],
        added: Sequence[tuple[Joining, Member | None, bytes]],
    ) -> None:
        """The commit with its leaves and capsules; `added` are the grant, its former leaf and its key's hash."""
        keys = await self._ports.consents.reader_keys(self.sid)
        records = {member.leaf: LeafRecord(member.leaf, None, 0, b"") for member in removed}
        capsules: list[Capsule] = []
        for member in removed:
            del self._members[member.grant_id]
            self.left[member.grant_id] = (member, prepared.epoch - 1)
            self._keyed.pop(member.grant_id, None)
        for (grant, old, key_hash), leaf in zip(added, prepared.leaves, strict=True):
            joined = old.joined_epoch if old else prepared.epoch
            member = Member(grant.grant_id, key_hash, leaf, grant.start_slot, grant.end_slot, joined)
            self._members[grant.grant_id] = member
            if old is not None:
                self._keyed[grant.grant_id] = self._ports.clock.now()
            records[leaf] = leaf_record(member, self._keyed.get(grant.grant_id, 0))
            capsule = self._writer.welcome(member, keys[key_hash])
            capsules.append(Capsule(grant.grant_id, prepared.epoch, sha256(capsule), capsule))
        await self.recorder.commit(prepared, data, capsules, list(records.values()))

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
        try:
            capsule = self._writer.history(grant.grant_id, keys[hashes[grant.grant_id]], slots, step.first_unsealed)
        except EpochErased as erased:
            # An empty one says that this grant was answered; its reader is told by the household.
            _log.warning("history_refused", grant=grant.grant_id.hex()[:16], reason=str(erased))
            capsule = b""
        kept = Capsule(grant.grant_id, self._writer.epoch, sha256(capsule), capsule)
        await self._ports.store.put_capsule(self.sid, kept)

    async def resync(self, grant_id: bytes, public: bytes, request_id: bytes, since_epoch: int) -> bytes:
        """A Resync for a member who lost its state; the caller has checked the request (channels.md 4, rule 8)."""
        async with self.lock:
            self._check_fresh()
            member = self._members[grant_id]
            capsule = self._writer.resync(member, public, request_id, since_epoch)
            kept = Capsule(grant_id, self._writer.epoch, sha256(capsule), capsule)
            await self._ports.store.put_capsule(self.sid, kept)
            return capsule

    async def shutdown(self) -> None:
        """The last checkpoint: a reader that sees it knows that nothing was cut off."""
        async with self.lock:
            if not self.recorder.stale and (closing := self._writer.shutdown()):
                await self.recorder.seal((), (), closing)

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
