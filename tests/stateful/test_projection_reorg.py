"""architecture.md: after any reorgs the states are those of the canonical chain alone, except that a revocation stays.

The machine plays a chain: it mines blocks of logs that the contract could emit, finalises, and removes blocks from the
top, also below finality. The world under test is told everything as it happens. The reference is told, once and in
order, only the chain as it stands in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.projection import effects as f
from node.projection import events as e
from node.projection.aggregates import index_of
from node.projection.base import ADDRESS_ZERO, AggregateId, Block, Effect, Event
from node.projection.codec import CODEC
from node.projection.consent import Consent
from node.projection.device import Device
from node.projection.replay import World, replay
from node.projection.stream import Stream
from node.projection.submission import Submission
from node.types import OPEN_END

OWNER, READER, STRANGER, WRITER = (letter * 20 for letter in (b"o", b"r", b"x", b"w"))
SIDS = tuple(bytes([number]) * 32 for number in (1, 2))
GRANTS = tuple(bytes([number]) * 32 for number in (11, 12, 13))
DEVICE = b"\x21" * 32
DIGESTS = tuple(bytes([number]) * 32 for number in (31, 32))


@dataclass
class Chain:
    """The canonical chain: for each block the logs in it and whether it was told to be final."""

    blocks: list[tuple[Block, list[Event]]] = field(default_factory=list)
    final: int = -1
    branch: int = 0

    @property
    def logs(self) -> list[Event]:
        return [log for _, logs in self.blocks for log in logs]

    def next_block(self) -> Block:
        number = len(self.blocks)
        return Block(number, number.to_bytes(28, "big") + self.branch.to_bytes(4, "big"))


class Reorgs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.world = World()
        self.told: list[Event] = []
        self.effects: list[Effect] = []
        self.revoked: set[tuple[bytes, bytes]] = set()  # (grant, sid or zero) that a party has ever revoked
        self.unpaired = False
        for digest in DIGESTS:
            self.tell(e.RequestedSubmission(digest, "Grant", "{}", (b"\x01" * 65,), None, 1))
        self.mine([(0, 0), (0, 1), (5, 0)])

    def tell(self, event: Event) -> None:
        self.told.append(event)
        self.effects.extend(self.world.apply(event))

    def log(self, block: Block, what: int, which: int) -> Event | None:
        """The log that the contract would emit for this wish; None where it would revert."""
        sid, grant = SIDS[which % 2], GRANTS[which % 3]
        seen = self.chain.logs
        if what == 0:
            known = any(isinstance(each, e.LoggedStreamRegistered) and each.sid == sid for each in seen)
            made = e.LoggedStreamRegistered(block, sid, OWNER, WRITER, b"n" * 32, b"k" * 32, 0, 60)
            return None if known else made
        if what == 1:
            epochs = [each.epoch for each in seen if isinstance(each, e.LoggedCommitted) and each.sid == sid]
            return e.LoggedCommitted(block, sid, max(epochs, default=0) + 1, block.hash)
        if what == 2:
            return e.LoggedWriterSet(block, sid, ADDRESS_ZERO if which > 2 else WRITER, b"k" * 32)
        if what == 3:
            if any(isinstance(each, e.LoggedGranted) and each.grant_id == grant for each in seen):
                return None
            return e.LoggedGranted(block, grant, OWNER, READER, b"k" * 32, SIDS, 0, OPEN_END, 1, b"t" * 32)
        if what == 4:
            account = (OWNER, READER, STRANGER)[which % 3]
            return e.LoggedRevoked(block, grant, account, (bytes(32), *SIDS)[(which // 2) % 3])
        if what == 5:
            known = any(isinstance(each, e.LoggedDevicePaired) for each in seen)
            return None if known else e.LoggedDevicePaired(block, OWNER, DEVICE, b"d" * 20)
        if what == 6:
            return e.LoggedDeviceUnpaired(block, OWNER, DEVICE) if which == 0 else None
        digest = DIGESTS[which % 2]
        known = any(isinstance(each, e.LoggedMessageIncluded) and each.digest == digest for each in seen)
        return None if known else e.LoggedMessageIncluded(block, digest)

    def mine(self, wishes: list[tuple[int, int]]) -> None:
        block = self.chain.next_block()
        logs: list[Event] = []
        self.chain.blocks.append((block, logs))
        for what, which in wishes:
            log = self.log(block, what, which)
            if log is not None:
                logs.append(log)
                self.note(log)
                self.tell(log)

    def note(self, log: Event) -> None:
        if isinstance(log, e.LoggedRevoked) and log.account != STRANGER:
            self.revoked.add((log.grant_id, log.sid))
        if isinstance(log, e.LoggedDeviceUnpaired):
            device = self.world.states.get(AggregateId("device", DEVICE))
            self.unpaired |= isinstance(device, Device) and device.paired is not None

    @rule(wishes=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 5)), max_size=4))
    def mined(self, wishes: list[tuple[int, int]]) -> None:
        self.mine(wishes)
        self.finalise(3)

    @rule(depth=st.integers(0, 3))
    def finalise(self, depth: int) -> None:
        height = max(self.chain.final, len(self.chain.blocks) - 1 - depth)
        self.chain.final = height
        if height >= 0:
            self.tell(e.LoggedFinalized(height, height))

    @rule(depth=st.integers(1, 6), wishes=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 5)), max_size=4))
    def reorganised(self, depth: int, wishes: list[tuple[int, int]]) -> None:
        ancestor = max(0, len(self.chain.blocks) - 1 - depth)
        del self.chain.blocks[ancestor + 1 :]
        self.chain.branch += 1
        self.chain.final = min(self.chain.final, ancestor)
        self.tell(e.LoggedRolledBack(ancestor))
        self.mine(wishes)

    @rule(which=st.integers(0, 2))
    def revocation_in_hand(self, which: int) -> None:
        self.revoked.add((GRANTS[which], bytes(32)))
        self.tell(e.ReceivedRevocation(GRANTS[which], READER, bytes(32), 1))

    def reference(self) -> World:
        world = World()
        for digest in DIGESTS:
            world.apply(e.RequestedSubmission(digest, "Grant", "{}", (b"\x01" * 65,), None, 1))
        for log in self.chain.logs:
            world.apply(log)
        if self.chain.final >= 0:
            world.apply(e.LoggedFinalized(self.chain.final, self.chain.final))
        return world

    @invariant()
    def the_states_are_those_of_the_canonical_chain(self) -> None:
        reference = self.reference()
        for sid in SIDS:
            mine: Any = self.world.get(AggregateId("stream", sid))
            other: Any = reference.get(AggregateId("stream", sid))
            assert isinstance(mine, Stream)
            assert (mine.status, mine.owner, mine.writer) == (other.status, other.owner, other.writer)
            assert (mine.epoch, mine.head) == (other.epoch, other.head)
        for digest in DIGESTS:
            sent: Any = self.world.get(AggregateId("submission", digest))
            assert isinstance(sent, Submission)
            assert sent == reference.get(AggregateId("submission", digest))
        device = self.world.get(AggregateId("device", DEVICE))
        if self.unpaired:
            assert isinstance(device, Device)
            assert device.status.value == "unpaired"
        else:
            assert device == reference.get(AggregateId("device", DEVICE))

    @invariant()
    def a_consent_gives_what_the_chain_gives_less_what_was_ever_revoked(self) -> None:
        reference = self.reference()
        for grant in GRANTS:
            mine: Any = self.world.get(AggregateId("consent", grant))
            other: Any = reference.get(AggregateId("consent", grant))
            assert isinstance(mine, Consent)
            shut = {sid for each, sid in self.revoked if each == grant}
            gone = bytes(32) in shut or set(SIDS) <= shut
            expected = () if gone else tuple(sid for sid in other.live_sids if sid not in shut)
            assert mine.live_sids == expected
            if not shut:
                assert mine.status == other.status

    @invariant()
    def each_effect_of_finality_follows_a_final_block(self) -> None:
        told = [each.grant_id for each in self.effects if isinstance(each, f.NotifyGrantFinal)]
        undone = [each.grant_id for each in self.effects if isinstance(each, f.NotifyGrantUndone) and each.was_final]
        for grant in GRANTS:
            assert told.count(grant) - undone.count(grant) in (0, 1)

    @invariant()
    def the_index_agrees_with_the_chain(self) -> None:
        top = len(self.chain.blocks) - 1
        for state in self.world.states.values():
            index = index_of(state)
            assert index.top_block is None or index.top_block <= top
            assert index.unsettled is None or index.unsettled > self.chain.final

    def teardown(self) -> None:
        """Replay equals live, also through the stored form of every event."""
        assert replay(self.told) == self.world.states
        stored = [CODEC.decode(CODEC.encode(event), Event) for event in self.told]
        assert replay(stored) == self.world.states
        super().teardown()


TestReorgs = Reorgs.TestCase
TestReorgs.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
