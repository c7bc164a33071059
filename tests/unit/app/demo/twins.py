"""Broken worlds: each breaks one part of the product, and names the check that must notice and what it says."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from channels.gate import Gate
from channels.issuer import Member
from channels.position import Position
from channels.rekey import TreeUpdate
from channels.slots import OPEN_END, StreamParams
from channels.stores.memory import MemoryStore
from channels.stores.records import StoredCheckpoint, StoredEnvelope, WriterRecord
from channels.transports.topics import Kind, Topic
from channels.tree import KeyTree
from channels.wrapping import CommitKeys, FreshSecrets
from channels.writer import Changes, Writer
from keys.messages import Grant, StreamCommit, digest
from node.app.demo.evidence import Evidence, Heard, Outage, Reading, WalletSignature
from node.projection.events import LoggedRevoked
from node.services.gateway.members import ActingGrant
from node.services.gateway.ports import StreamFacts
from tests.unit.app.demo.journalled import JournalWorld, Step
from tests.unit.app.demo.ledger import DOMAIN
from tests.unit.app.demo.world import EQUIPMENT, GENESIS, HISTORY, REVOKED, SLOT, Party, World

TWINS: list[tuple[str, type[World], str]] = []


def twin(name: str, says: str) -> Any:
    """Marks a broken world: the check that must fail, and a part of what it says."""

    def mark(world: type[World]) -> type[World]:
        TWINS.append((name, world, says))
        return world

    return mark


# Chain


@twin("pairing_on_chain", "does not show the pairing")
class PairsAnotherDevice(World):
    def pair(self) -> None:
        self.ledger.paired(self.owner.address, b"\x66" * 20)


@twin("pairing_on_chain", "is paired with")
class PairsAThief(World):
    def pair(self) -> None:
        super().pair()
        self.ledger.paired(b"\x66" * 20, self.device.address)


@twin("streams_registered", "slots of 120 s")
class RegistersOtherSlots(World):
    def register(self) -> None:
        self.ledger.registered(
            self.sid, self.owner.address, self.writer_key.address, self.name_hash, (GENESIS, 2 * SLOT)
        )


@twin("streams_registered", "do not give")
class RegistersAnotherName(World):
    def register(self) -> None:
        self.ledger.registered(self.sid, self.owner.address, self.writer_key.address, bytes(32), (GENESIS, SLOT))


@twin("consent_by_wallet", "no grant with the digest")
class GrantsOtherTermsThanSigned(World):
    """The wallet signed for history from genesis on; the home sends something else."""

    def grant_c(self) -> None:
        super().grant_c()
        signed = self.parties["C"]
        other = Grant(
            owner=self.owner.address, reader=signed.address, reader_key_hash=signed.key.key_hash(), sids=(self.sid,),
            start=GENESIS, end=GENESIS + 10**8, purpose_tag=0, text_hash=bytes(32), nonce=ord("C"), deadline=2**40 - 1,
        )  # fmt: skip
        self.wallet = WalletSignature(digest(other, DOMAIN), self.owner.address)


class _Twice(World):
    """A gateway that makes two different commits for one epoch."""

    async def publish(self, topic: Topic, payload: bytes) -> None:
        await super().publish(topic, payload)
        if topic.kind is Kind.COMMITS and len(self.submitted) == 2:
            again = Writer(self.params, self.masters, self.stream_key, bytes(16))
            other = again.prepare(Changes(first_slot=0, grant_block=1))
            forged = other.unsigned[:34] + payload[34:42] + other.unsigned[42:]
            signature = await self.sign(StreamCommit(self.sid, 2, hashlib.sha256(forged).digest()))
            await super().publish(topic, forged + signature)


twin("commits_match_chain", "different commits for epoch 2")(_Twice)


@twin("commits_match_chain", "another hash for epoch 2")
class ForgesTheChainHash(World):
    """What goes to the chain is not what goes to the readers."""

    forged = b"\x13" * 32

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        await super().submit(message, signature)
        if message.epoch == 2:
            due, _ = self.later.pop()
            self.later.append((due, replace(message, commit_hash=self.forged)))

    def chain_commits(self, pending: bool = False) -> list[tuple[int, bytes]]:
        """The gateway believes itself."""
        own = {message.epoch: message.commit_hash for message in self.submitted}
        return [(epoch, own.get(epoch, found)) for epoch, found in super().chain_commits(pending)]


@twin("commits_match_chain", "the chain has epochs")
class PublishesWhatTheChainNeverHad(World):
    """After the reorg nobody sends the lost commits again."""

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        if message not in self.submitted:
            await super().submit(message, signature)

    async def stream(self, sid: bytes) -> StreamFacts | None:
        """The gateway believes in what it has sent."""
        found = await super().stream(sid)
        newest = max(self.submitted, key=lambda message: message.epoch, default=None)
        if found is None or newest is None or not self.ledger.was_seen(newest):
            return found
        return replace(found, epoch=newest.epoch, commit_hash=newest.commit_hash)


class _WrapsToEverybody(TreeUpdate):
    """A flat design in a tree's clothes: every live leaf gets a wrap of its own."""

    def seal_epoch(self, secret: bytes) -> bytes:
        if self.wraps:
            taken = {(level, index) for level, index, _ in self.wraps}
            for leaf in self._tree.live_leaves():
                if (0, leaf) not in taken and self._end((0, leaf)) != 0xFFFFFFFF:
                    self.wraps.append((0, leaf, self._keys.wrap(self._key((0, leaf)), 0, leaf, secret)))
        return super().seal_epoch(secret)


class _FlatWriter(Writer):
    def _update(self, keys: CommitKeys, fresh: FreshSecrets) -> TreeUpdate:
        return _WrapsToEverybody(self._state.tree, keys, fresh)


@twin("commit_sizes", "wraps, at most")
class WrapsToEverybody(World):
    writer_class = _FlatWriter


@twin("revocation_survives_reorg", "does not show the revocation any more")
class ForgetsTheRevocation(World):
    def after_reorg(self) -> None:
        return


@twin("revocation_survives_reorg", "1 leaves were added after it, 0 grants are new")
class TakesARevocationBack(World):
    """A gateway that believes the chain of this moment alone, while the home takes three seconds to send it again."""

    due = 0

    def after_reorg(self) -> None:
        self.due = self.clock.now() + 3

    async def tick(self, meter: bool = True) -> None:
        if self.due and self.clock.now() >= self.due:
            self.due = 0
            self.revoke_a()
        await super().tick(meter)

    def is_revoked(self, party: Party) -> bool:
        logs = [log for block in self.ledger.chain for log in block.logs]
        return any(log.topics[:2] == (REVOKED, party.grant_id) for log in logs)


@twin("gas_is_recorded", "no receipt of a Revoke")
class TellsTheGatewayAlone(World):
    """The home hands the signed Revoke over and never pays for its transaction: the stream is re-keyed all the same."""

    told = 0

    def revoke_a(self) -> None:
        self.told = self.told or self.clock.now()

    def is_revoked(self, party: Party) -> bool:
        return bool(self.told) and party.letter == "A"


@twin("gas_is_recorded", "no receipt of a Revoke")
class SendsWithTooLittleGas(TellsTheGatewayAlone):
    """Each of its transactions is in a block, and reverted there."""

    def revoke_a(self) -> None:
        super().revoke_a()
        self.ledger.reverted()


# Who reads what


@twin("a_reads_its_slots", "sealed in slot")
@twin("a_keys_after_revocation", "envelopes of electricity/1s open")
class IgnoresTheRevocation(World):
    def is_revoked(self, party: Party) -> bool:
        return False


class _Endless(World):
    """A gateway that never lets B's grant end."""

    def acting_grant(self, party: Party) -> ActingGrant:
        return replace(super().acting_grant(party), end_slot=self.params.granted_slots(0, OPEN_END)[1])

    def present(self, ended: bool) -> list[ActingGrant]:
        return [*super().present(False), *super().present(True)] if not ended else []


twin("b_reads_its_slots", "sealed in slot")(_Endless)
twin("b_keys_after_end", "from slot")(_Endless)
twin("b_expired_by_itself", "no commit removed anybody")(_Endless)


class _OpenGate(Gate):
    def check_members(self, params: StreamParams, tree: KeyTree, starts: Any, last_slot: int, times: Any) -> None:
        return


@twin("b_expired_by_itself", "an epoch that B knows")
class SealsBeforeTheCommit(_Endless):
    """Expiry happens, but two seconds too late, and no gate stands in between."""

    gate = _OpenGate()

    def present(self, ended: bool) -> list[ActingGrant]:
        now = self.clock.now()
        late = [p for p in self.parties.values() if p.grant_id and p.end + 2 <= now]
        return [grant for grant in super().present(ended) if grant.grant_id not in {p.grant_id for p in late}]


@twin("b_expired_by_itself", "B was revoked")
class RevokesInsteadOfExpiring(World):
    def at_edge(self) -> None:
        self.ledger.revoked(self.parties["B"].grant_id or b"", self.owner.address)


class _Doubling(Party):
    def keep(self, found: Sequence[Reading]) -> None:
        self.readings += [reading for reading in found for _ in range(2)]


@twin("c_reads_its_slots", "more than once")
class StoresTwice(World):
    def new_party(self, letter: str) -> Party:
        party = super().new_party(letter)
        return _Doubling(letter, party.key) if letter == "C" else party


class _Losing(Party):
    def keep(self, found: Sequence[Reading]) -> None:
        super().keep([reading for reading in found if reading.time % 17])


@twin("c_reads_its_slots", "lacks the reading")
@twin("a_reads_its_slots", "lacks the reading")
class LosesReadings(World):
    def new_party(self, letter: str) -> Party:
        return _Losing(letter, super().new_party(letter).key)


class _Rounding(Party):
    def keep(self, found: Sequence[Reading]) -> None:
        super().keep([replace(r, values={c: v // 10 * 10 for c, v in r.values.items()}) for r in found])


@twin("b_reads_its_slots", "differs from the meter")
class RoundsValues(World):
    def new_party(self, letter: str) -> Party:
        return _Rounding(letter, super().new_party(letter).key)


@twin("d_reads_nothing", "has a grant")
@twin("d_reads_nothing", "readings of")
@twin("d_keys_open_nothing", "envelopes of electricity/1s open")
class GrantsTheDenied(World):
    def answer_d(self) -> None:
        self.grant("D", start=self.clock.now())


class _ShortHistory(Writer):
    def welcome(self, member: Member, public: bytes) -> bytes:
        return super().welcome(replace(member, start_slot=max(member.start_slot, 3)), public)


@twin("history_complete", "is missing")
class GivesShortHistory(World):
    writer_class = _ShortHistory


@twin("readers_change_by_consent", "leaves were removed")
@twin("readers_change_by_consent", "leaves were added")
class ForgetsConsentsAtRestart(World):
    """For three seconds after a restart it has not read the chain yet and takes everybody for revoked."""

    blind = 0

    async def restart_gateway(self) -> None:
        self.blind = self.clock.now() + 3
        await super().restart_gateway()

    def present(self, ended: bool) -> list[ActingGrant]:
        return [] if self.clock.now() < self.blind else super().present(ended)


# Keys: what a thief with A's disk opens


class _KeepsTheRoot(TreeUpdate):
    """The root is not renewed after a removal."""

    def _renew(self, node: tuple[int, int], secret: bytes) -> None:
        if node[0] != self.delta.depth:
            super()._renew(node, secret)


class _WrapsToTheRemoved(TreeUpdate):
    """The removed leaf gets its wrap as before."""

    def _keeps(self, child: tuple[int, int]) -> bool:
        return self._tree.key(*child) is not None

    def _empty(self, node: tuple[int, int]) -> None:
        key = self._tree.key(*node)
        super()._empty(node)
        if key is not None and node[0] == 0:
            self.delta.keys[node] = key


def _writer_with(update: type[TreeUpdate]) -> type[Writer]:
    class Broken(Writer):
        def _update(self, keys: CommitKeys, fresh: FreshSecrets) -> TreeUpdate:
            return update(self._state.tree, keys, fresh)

    return Broken


@twin("a_keys_after_revocation", "envelopes of electricity/1s open")
@twin("b_keys_after_end", "from slot")
class KeepsTheRoot(World):
    writer_class = _writer_with(_KeepsTheRoot)


@twin("a_keys_after_revocation", "envelopes of electricity/1s open")
class WrapsToTheRemoved(World):
    writer_class = _writer_with(_WrapsToTheRemoved)


@twin("a_keys_after_revocation", "nothing was proven")
class ThiefFindsNothing(World):
    """An attack without keys must not count as a defence."""

    def new_party(self, letter: str) -> Party:
        party = super().new_party(letter)
        party.steal = lambda: None  # type: ignore[method-assign]
        return party


# Times


@twin("rekey_in_time", "under the old epoch")
class SeesRevocationsLate(World):
    sees_revocation_after = 3


@twin("rekey_in_time", "came after")
class CommitsSlowly(World):
    commit_takes = 3


@twin("in_time", "s")
class TakesTooLong(World):
    async def play(self) -> World:
        await super().play()
        await self.ticks(120)
        self.moments["end"] = float(self.clock.now())
        return self


# Continuity


class _Remembering(MemoryStore):
    """A store that does not take sealed readings out of the buffer when the process dies in between."""

    async def record_seal(
        self,
        sid: bytes,
        envelopes: Sequence[StoredEnvelope],
        consumed_pending_ids: Sequence[int],
        progress: bytes,
        checkpoints: Sequence[StoredCheckpoint] = (),
    ) -> None:
        waiting = {row.id: row for row in await self.pending(sid)}
        await super().record_seal(sid, envelopes, consumed_pending_ids, progress, checkpoints)
        again = [waiting[i] for i in consumed_pending_ids if waiting[i].meter_time % 41 == 0]
        fresh = [row for row in again if (row.meter_time, row.slot) not in self.doubled]
        self.doubled |= {(row.meter_time, row.slot) for row in fresh}
        await self.add_pending(sid, fresh)

    def __init__(self) -> None:
        super().__init__()
        self.doubled: set[tuple[int, int]] = set()


@twin("nothing_lost_or_doubled", "stands in 2 places")
class SealsTwice(World):
    def __init__(self) -> None:
        super().__init__()
        self.store = _Remembering()


@twin("nothing_lost_or_doubled", "is lost")
class BuffersInMemory(World):
    """Readings reach the disk every ten seconds; what came since then dies with the process."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[tuple[int, dict[str, int]]] = []

    async def hear(self, at: int, values: dict[str, int]) -> None:
        self.memory.append((at, values))
        if at < GENESIS + HISTORY or len(self.memory) >= 10:
            for reading in self.memory:
                await super().hear(*reading)
            self.memory.clear()

    async def kill_gateway(self) -> None:
        while len(self.memory) < 8:
            await self.tick()
        self.memory.clear()
        await super().kill_gateway()


@twin("nothing_lost_or_doubled", "never said anything")
class InventsReadings(World):
    async def hear(self, at: int, values: dict[str, int]) -> None:
        await super().hear(at, values)
        if at == GENESIS + 50:
            await super().hear(at + 5, values)


@twin("outages_were_real", "not killed with signal 9")
class StopsPolitely(World):
    kill_signal = signal.SIGTERM


@twin("outages_were_real", "passed a broker that was stopped")
class BrokerNeverStops(World):
    async def stop_broker(self) -> None:
        began = self.clock.now() + 0.4
        await self.ticks(5)
        self.outages.append(Outage("broker", began, self.clock.now() + 0.2, 0))


@twin("chain_of_envelopes", "two envelopes")
class RestartsFromAnOldState(World):
    """A restored backup that does not look at the high-water mark."""

    old: WriterRecord = WriterRecord()

    async def kill_gateway(self) -> None:
        """The state of three seconds ago comes back."""
        self.old = await self.store.writer_record(self.sid) or self.old
        self.mark: Position | None = self.position
        await self.ticks(3)
        await super().kill_gateway()

    async def restart_gateway(self) -> None:
        await self.store.save_progress(self.sid, self.old.progress)
        self.position = self.mark
        await super().restart_gateway()


@twin("chain_of_envelopes", "a gap")
class LosesAnEnvelope(World):
    """A publisher that takes a message for sent which was not."""

    count = 0

    async def publish(self, topic: Topic, payload: bytes) -> None:
        self.count += topic.kind is Kind.DATA
        if topic.kind is not Kind.DATA or self.count != 40:
            await super().publish(topic, payload)


@twin("nothing_readable_on_the_wire", "a register value")
class LogsToTheBroker(World):
    """Somebody found it handy to debug over MQTT."""

    async def say(self, at: int) -> None:
        await super().say(at)
        if at == GENESIS + HISTORY + 30:
            text = f"read {self.household.at(at).registers}".encode()
            self.heard.append(Heard(float(at), "gateway", "other", b"", b"", text))


@twin("nothing_readable_on_the_wire", "equipment id")
class TellsItsSerialNumber(World):
    async def publish(self, topic: Topic, payload: bytes) -> None:
        extra = EQUIPMENT.encode().hex().upper().encode() if topic.kind is Kind.CHECKPOINTS else b""
        await super().publish(topic, payload + extra)


@twin("nothing_readable_on_the_wire", "a piece of a plaintext")
class SendsOnePlaintext(World):
    """One path past the cipher: the newest reading goes out bare, beside the sealed one."""

    async def hear(self, at: int, values: dict[str, int]) -> None:
        await super().hear(at, values)
        if at == GENESIS + HISTORY + 40:
            rows = await self.store.pending(self.sid)
            self.heard.append(Heard(float(at), "gateway", "replay", self.sid, b"", rows[-1].payload))


@twin("rebuilds_equal", "the home's consents differ")
class RebuildsWithoutRevocations(JournalWorld):
    """A replay that takes an event for over because a later one of the same grant was there before."""

    def replayed(self) -> list[Step]:
        return [[event for event in step if not isinstance(event, LoggedRevoked)] for step in super().replayed()]


@twin("rebuilds_equal", "the home's streams differ")
class RebuildsFromTheMiddle(JournalWorld):
    """The reading of the chain begins where the lost database had stopped once, not at the contract's first block."""

    def replayed(self) -> list[Step]:
        return super().replayed()[30:]


@twin("rebuilds_equal", "the home lacks")
class ReadsOnFromThePresent(JournalWorld):
    """The log is there; the rebuilt reader opens what comes from now on."""

    def log(self) -> list[bytes]:
        return super().log()[-20:]


@twin("rebuilds_equal", "was not deleted")
class NeverRebuilds(World):
    def evidence(self) -> Evidence:
        return replace(super().evidence(), rebuilds=())
