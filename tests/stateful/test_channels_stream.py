"""channels.md 6: every reader opens exactly the slots of its grant, however the stream was run.

Grants come and go, clocks move, readers are away, the writer restarts, is restored and is rebuilt. At the end the
raw keys of every reader, and of all together, are tried on every envelope that was ever published.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from channels.envelope import EnvelopeHeader
from channels.errors import GateRefused, LeafExpired, LeafRevoked, ReaderRemoved
from channels.ggm import CoverNode
from channels.reader import Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.rebuild import rebuild_writer
from channels.slots import OPEN_SLOT
from channels.writer import Writer
from keys.sealing import SealingKey
from tests.support.raw_keys import raw_keys, raw_open
from tests.unit.channels.world import STREAM_KEY, World, at, evidence, hashed, masters

MAX_ENVELOPES = 12
MAX_GRANTS = 5


@dataclass
class Granted:
    """What the model knows about one grant: slots `[start, end)`, and the epoch that removed its leaf."""

    start: int
    end: int
    reader: Reader
    leaf: int | None = None
    removed_in: int | None = None
    online: bool = True
    seen: set[int] = field(default_factory=set)

    def may_read(self, header: EnvelopeHeader) -> bool:
        inside = self.start <= header.slot < self.end
        return inside and (self.removed_in is None or header.epoch < self.removed_in)


class ConsentMachine(RuleBasedStateMachine):
    @initialize(readers=st.integers(0, 2))
    def start(self, readers: int) -> None:
        self.world = World.start(0)
        self.slot = 0
        self.instances = 0
        self.grants: list[Granted] = []
        for _ in range(readers):
            self.join(0, 0)

    @rule(back=st.integers(0, 3), length=st.integers(0, 4))
    def join(self, back: int, length: int) -> None:
        """A grant that began `back` slots ago and lasts `length` more, 0 for ever."""
        if len(self.grants) >= MAX_GRANTS:
            return
        start, end = max(0, self.slot - back), self.slot + length if length else OPEN_SLOT
        leaf, reader = self.world.join(self.slot, end, start)
        self.grants.append(Granted(start, end, reader, leaf))
        self._tell()

    @rule(first=st.integers(0, 6), length=st.integers(1, 4))
    def history(self, first: int, length: int) -> None:
        """A grant wholly in the past: covers, no leaf."""
        if first + length > self.slot or len(self.grants) >= MAX_GRANTS:
            return
        self.instances += 1
        key = SealingKey.from_bytes(hashed("history", self.instances))
        grant_id = hashed("history grant", self.instances)
        reader = Reader(self.world.writer.params, grant_id)
        capsule = self.world.writer.history(grant_id, key.public_bytes, (first, first + length), self.slot)
        reader.receive_capsule(capsule, key, self.world.registry)
        self.grants.append(Granted(first, first + length, reader))

    @rule(which=st.integers(0, 9))
    def revoke(self, which: int) -> None:
        live = [grant for grant in self.grants if grant.leaf is not None]
        if not live:
            return
        grant = live[which % len(live)]
        assert grant.leaf is not None
        self.world.writer.block_sealing([grant.leaf])
        with pytest.raises(LeafRevoked):
            self.world.seal(self.slot, b"not sealed")
        self._remove([grant])

    @rule(count=st.integers(1, 2))
    def tick(self, count: int) -> None:
        """Time passes; whoever's grant has ended is removed before anything is sealed."""
        self.slot += count
        due = [grant for grant in self.grants if grant.leaf is not None and grant.end <= self.slot]
        if due:
            with pytest.raises(LeafExpired):
                self.world.seal(self.slot, b"not sealed")
            self._remove(due)
        self.world.checkpoints.extend(self.world.writer.close_slot(self.slot - 1))

    @rule(count=st.integers(1, 2), second=st.integers(0, 59), late=st.booleans())
    @precondition(lambda self: len(self.world.envelopes) < MAX_ENVELOPES)
    def seal(self, count: int, second: int, late: bool) -> None:
        """Readings of now, or a late one of the slot before: it goes into the last sealed slot, never behind it."""
        time = at(self.slot, second) - (60 if late and self.slot else 0)
        try:
            sealed = self.world.writer.seal([(time, b"reading %d" % time)] * count, evidence(time))
        except GateRefused:
            # The clock showed a second before somebody's start, or before the epoch: refusing is right.
            assert late
            return
        self.world.envelopes.extend(sealed.envelopes)
        self.world.checkpoints.extend(sealed.checkpoints)

    @rule(which=st.integers(0, 9))
    def go_offline_or_return(self, which: int) -> None:
        if self.grants:
            grant = self.grants[which % len(self.grants)]
            grant.online = not grant.online
            self._tell()

    @rule(which=st.integers(0, 9))
    def resync(self, which: int) -> None:
        """A reader that lost everything gets the same keys as one that followed every commit."""
        members = [grant for grant in self.grants if grant.leaf is not None]
        if not members:
            return
        grant = members[which % len(members)]
        assert grant.leaf is not None
        self.instances += 1
        key = SealingKey.from_bytes(hashed("resync", self.instances))
        request = hashed("request", self.instances)
        fresh = Reader(self.world.writer.params, grant.reader.grant_id)
        capsule = self.world.writer.resync(self.world.members[grant.leaf], key.public_bytes, request, 0)
        fresh.receive_capsule(capsule, key, self.world.registry, request)
        grant.online = True
        self._tell()
        assert fresh.follower is not None
        assert grant.reader.follower is not None
        assert fresh.follower.path.keys == grant.reader.follower.path.keys
        grant.reader = fresh

    @rule()
    def restart_reader(self) -> None:
        for grant in self.grants:
            stored = snapshot_reader(grant.reader)
            grant.reader = restore_reader(self.world.writer.params, stored)
            assert snapshot_reader(grant.reader) == stored

    @rule()
    def restart_writer(self) -> None:
        """A crash restart: snapshot and high-water mark, a new instance."""
        self.instances += 1
        old = self.world.writer
        self.world.writer = Writer.restore(
            old.params, masters(), STREAM_KEY, hashed("inst", self.instances)[:16], old.snapshot(), old.position
        )

    @rule()
    def rebuild_writer(self) -> None:
        """The tree rebuilt from T and the log equals the live one."""
        self.instances += 1
        old = self.world.writer
        self.world.writer = rebuild_writer(
            old.params,
            masters(),
            STREAM_KEY,
            hashed("inst", self.instances)[:16],
            self.world.commits,
            list(self.world.members.values()),
            old.active_epoch,
            old.position,
        )
        assert self.world.writer.state.tree.dump() == old.state.tree.dump()
        assert self.world.writer.head == old.head

    def _remove(self, grants: list[Granted]) -> None:
        self.world.commit(self.slot, removed=[grant.leaf for grant in grants if grant.leaf is not None])
        for grant in grants:
            grant.leaf, grant.removed_in = None, self.world.writer.epoch
        self._tell()

    def _tell(self) -> None:
        for grant in self.grants:
            self._catch_up(grant, only_online=True)

    def _catch_up(self, grant: Granted, only_online: bool) -> None:
        if grant.reader.follower is None or grant.reader.removed_in or (only_online and not grant.online):
            return
        if grant.removed_in is None:
            self.world.catch_up(grant.reader)
        else:
            with pytest.raises(ReaderRemoved) as gone:
                self.world.catch_up(grant.reader)
            assert gone.value.epoch == grant.removed_in

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        everything: dict[int, list[CoverNode]] = {}
        paths: set[bytes] = set()
        allowed: set[bytes] = set()
        for grant in self.grants:
            self._catch_up(grant, only_online=False)
            path, nodes = raw_keys(grant.reader)
            expected = [e for e in self.world.envelopes if grant.may_read(EnvelopeHeader.decode(e))]
            opened = [e for e in self.world.envelopes if raw_open(path, nodes, e) is not None]
            assert opened == expected, "raw keys open other envelopes than the grant's"
            progress = grant.reader.open(self.world.envelopes)
            assert [r.seq for r in progress.readings] == [EnvelopeHeader.decode(e).seq for e in expected]
            assert not progress.alarms
            allowed.update(expected)
            paths |= path
            for epoch, held in nodes.items():
                everything.setdefault(epoch, []).extend(held)
        if self.grants:
            pooled = {e for e in self.world.envelopes if raw_open(paths, everything, e) is not None}
            assert pooled == allowed, "together they open more than each may"
        lanes = [(h.epoch, h.slot, h.inst, h.seq) for h in map(EnvelopeHeader.decode, self.world.envelopes)]
        assert len(set(lanes)) == len(lanes), "a key and a nonce were used twice"


class LongConsentMachine(ConsentMachine):
    """The same with many more and longer runs."""


ConsentMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
LongConsentMachine.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStream = ConsentMachine.TestCase
TestStreamLong = pytest.mark.long(LongConsentMachine.TestCase)
