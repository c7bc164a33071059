"""The hash chain of envelopes as one reader has received it: what fits, what is missing, what contradicts.

Nothing here opens anything. The chain takes envelopes that passed their tag (or that this reader has no key for), and
checkpoints that passed their signature; it answers with alarms and with the ranges that became final.

A member has the keys and can forge envelopes that pass their tag. So what was received is kept as runs: inside a run
each envelope names the hash of the one before. Between two runs there is a gap, of missing envelopes or, where two runs
meet that do not name each other, of none: a seam. A checkpoint makes final what it reaches within its own run, down the
hashes, and never across a gap. A gap that closes joins two runs only if the hashes meet there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from channels.alarms import Alarm, Dropped, Forked, Reordered, Replayed
from channels.checkpoint import Checkpoint
from channels.codec import ByteReader, ByteWriter
from channels.envelope import PLACE, PREV_HASH, EnvelopeHeader
from channels.kdf import sha256

__all__ = ["EnvelopeChain", "Gap", "Placed"]

_RECENT = 4096  # envelopes kept to tell a replay from a fork and to prove it
_HELD = 1024  # late envelopes of one gap that wait for their successor
_GAPS = 256
_PENDING = 256  # checkpoints that came before their envelopes
_UNKNOWN = bytes(32)


@dataclass(slots=True)
class Gap:
    """Missing seqs `first..last`; in a seam, where nothing is missing, `last` is `first - 1`.

    expected: the hash of the envelope `last`, as its successor or a checkpoint says. before: the hash of the envelope
    `first - 1` that was received, empty if it is not known any more. vouched: a checkpoint reaches the run above, so it
    reaches what fills the gap from its end.
    """

    first: int
    last: int
    expected: bytes
    before: bytes = b""
    vouched: bool = False
    held: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """`taken`: envelopes that now have their place, in ascending order; the last checkpoint may cover them already.

    `withdrawn`: seqs whose envelopes were taken before and are not the ones that the writer signed for.
    """

    taken: tuple[bytes, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    final: tuple[tuple[int, int], ...] = ()
    withdrawn: tuple[tuple[int, int], ...] = ()


class Recent:
    """The last envelopes by seq: between _RECENT and twice as many. Two generations, so that nothing is deleted
    singly.
    """

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}

    def get(self, seq: int) -> bytes:
        """The envelope, or nothing when it is not known (any more)."""
        return self._young.get(seq) or self._old.get(seq, b"")

    def extend(self, seq: int, envelopes: list[bytes]) -> None:
        """Remember consecutive envelopes from `seq` on."""
        skipped = max(len(envelopes) - _RECENT, 0)
        fresh = envelopes[skipped:] if skipped else envelopes
        if len(self._young) + len(fresh) > _RECENT:
            self._old, self._young = self._young, {}
        self._young.update(zip(range(seq + skipped, seq + len(envelopes)), fresh, strict=True))

    def forget(self, first: int, last: int) -> None:
        """Forget what stands at `first..last`."""
        for known in (self._young, self._old):
            for seq in [seq for seq in known if first <= seq <= last]:
                del known[seq]


class EnvelopeChain:
    """One run through the stream; a reader that reads history beside the present uses two."""

    __slots__ = ("gaps", "next_seq", "pending", "recent", "start", "tip")

    def __init__(self) -> None:
        self.start = 0  # first seq ever taken; 0 before
        self.next_seq = 0
        self.tip = b""
        self.recent = Recent()
        self.gaps: list[Gap] = []
        self.pending: dict[int, tuple[Checkpoint, bytes]] = {}

    def extend(self, envelopes: list[bytes], tip: bytes) -> None:
        """Take envelopes that are known to continue the chain; `tip` is the hash of the last one."""
        seq = self.next_seq
        self.next_seq = seq + len(envelopes)
        self.tip = tip
        self.recent.extend(seq, envelopes)

    def place(self, header: EnvelopeHeader, envelope: bytes) -> Placed:
        """Find the place of one envelope. What contradicts the chain is not taken."""
        if not self.start:
            self.start = header.seq
            self._append(header.seq, envelope)
            return Placed((envelope,))
        if header.seq == self.next_seq:
            if header.prev_hash == self.tip:
                self._append(header.seq, envelope)
                return Placed((envelope,))
            return self._beside(header, envelope)
        if header.seq > self.next_seq:
            missing = (self.next_seq, header.seq - 1)
            self.gaps.append(Gap(*missing, header.prev_hash, self.tip))
            self._bound_gaps()
            before = self.recent.get(self.next_seq - 1)
            self._append(header.seq, envelope)
            return Placed((envelope,), (Dropped(*missing, _whole(before, envelope)),))
        for gap in self.gaps:
            if gap.first <= header.seq <= gap.last:
                return self._fill(gap, header, envelope)
        known = self.recent.get(header.seq)
        if known and known != envelope:
            return Placed(alarms=(Forked("envelope", header.seq, (known, envelope)),))
        return Placed(alarms=(Replayed(header.seq, (envelope,)),))

    def expects(self, header: EnvelopeHeader, envelope: bytes) -> bool:
        """Whether exactly this envelope comes next, or is the last one missing in a gap: its hash says so."""
        if header.seq == self.next_seq:
            return header.prev_hash == self.tip
        digest = sha256(envelope)
        return any(gap.first <= header.seq == gap.last and gap.expected == digest for gap in self.gaps)

    def goes_back(self, header: EnvelopeHeader, envelope: bytes) -> bool:
        """Whether it is of an epoch or slot before that of the envelope in front of it: no writer seals so."""
        before = self.recent.get(header.seq - 1)
        return before is not None and envelope[PLACE] < before[PLACE]

    def _bound_gaps(self) -> None:
        """The oldest gaps give way; what lies below them is not linked to anything above any more."""
        while len(self.gaps) > _GAPS:
            self.start = max(self.start, self.gaps.pop(0).last + 1)

    def _beside(self, header: EnvelopeHeader, envelope: bytes) -> Placed:
        """The next envelope follows another one than was taken: not taken, unless the writer has signed for it."""
        before = self.recent.get(header.seq - 1)
        fork = Placed(alarms=(Forked("envelope", header.seq - 1, _whole(before, envelope)),))
        signed = self.pending.get(header.seq)
        if signed is None or signed[0].last_hash != sha256(envelope):
            return fork
        seam = Gap(header.seq, header.seq - 1, header.prev_hash, self.tip, True)
        self.gaps.append(seam)
        self._append(header.seq, envelope)
        self._bound_gaps()
        return _both(fork, _both(Placed((envelope,)), self._reopen(seam)))

    def _append(self, seq: int, envelope: bytes) -> None:
        self.recent.extend(seq, [envelope])
        self.next_seq, self.tip = seq + 1, sha256(envelope)

    def _fill(self, gap: Gap, header: EnvelopeHeader, envelope: bytes) -> Placed:
        """A late envelope: its successor's prev_hash says whether it is the right one."""
        held = gap.held.get(header.seq)
        if held is not None:
            if held == envelope:
                return Placed(alarms=(Replayed(header.seq, (envelope,)),))
            return Placed(alarms=(Forked("envelope", header.seq, (held, envelope)),))
        if header.seq == gap.last and sha256(envelope) != gap.expected:
            after = self.recent.get(header.seq + 1)
            return Placed(alarms=(Forked("envelope", header.seq, _whole(envelope, after)),))
        if len(gap.held) < _HELD:
            gap.held[header.seq] = envelope
        placed = self._drain(gap)
        return _both(Placed(alarms=(Reordered(header.seq, (envelope,)),)), placed)

    def _drain(self, gap: Gap) -> Placed:
        """Take what waits in a gap, from its end backwards, as far as the hashes fit."""
        alarms: list[Alarm] = []
        taken: list[bytes] = []
        while gap.last in gap.held and gap.first <= gap.last:
            found = gap.held.pop(gap.last)
            if sha256(found) != gap.expected:
                alarms.append(Forked("envelope", gap.last, _whole(found, self.recent.get(gap.last + 1))))
                break
            taken.append(found)
            self.recent.extend(gap.last, [found])
            gap.expected = found[PREV_HASH]
            gap.last -= 1
        final = [(gap.last + 1, gap.last + len(taken))] if taken and gap.vouched else []
        placed = Placed(tuple(reversed(taken)), tuple(alarms), tuple(final))
        return _both(placed, self._close(gap)) if gap.first > gap.last else placed

    def _close(self, gap: Gap) -> Placed:
        """Nothing is missing any more: the two runs become one if their hashes meet, or stay apart at a seam."""
        if gap.first > self.start and not gap.before:
            self.start = gap.first  # nobody can say any more what the lower run ended with
        if gap.first <= self.start or gap.before == gap.expected:
            self.gaps.remove(gap)
            return self._vouch(gap.first - 1) if gap.vouched and gap.first > self.start else Placed()
        below, above = self.recent.get(gap.first - 1), self.recent.get(gap.first)
        fork = Placed(alarms=(Forked("envelope", gap.first - 1, _whole(below, above)),))
        return _both(fork, self._reopen(gap)) if gap.vouched else fork

    def _reopen(self, gap: Gap) -> Placed:
        """The writer signed for the run above a seam: the envelope below is a forgery, the right one is missing."""
        wrong = gap.first - 1
        forged = self.recent.get(wrong)
        # The nearest: a seam may lie directly on a gap.
        lower = next((other for other in reversed(self.gaps) if other is not gap and other.last == wrong - 1), None)
        if lower is not None:
            lower.last, lower.expected, lower.vouched = wrong, gap.expected, True
            self.gaps.remove(gap)
        elif forged:
            gap.first = gap.last = wrong
            gap.before = forged[PREV_HASH]
        else:
            self.start = gap.first  # it is not known any more what the forgery followed
            self.gaps = [other for other in self.gaps if other.first > gap.first]
        self.recent.forget(wrong, wrong)
        return Placed(withdrawn=((wrong, wrong),))

    def _vouch(self, seq: int) -> Placed:
        """The writer signed for `seq`, which was taken: its run is final up to there."""
        first = self._run_start(seq)
        placed = Placed(final=((first, seq),)) if first <= seq else Placed()
        for gap in reversed(self.gaps):
            if gap.last + 1 == first:
                gap.vouched = True
                return _both(placed, self._reopen(gap)) if gap.first > gap.last else placed
        return placed

    def checkpoint(self, checkpoint: Checkpoint, data: bytes) -> Placed:
        """Cover what the stream key signed. Before its envelopes came it waits; against them it proves a fork."""
        last = checkpoint.last_seq
        if not self.start or last >= self.next_seq:
            if checkpoint.count:
                self.pending[last] = (checkpoint, data)
                while len(self.pending) > _PENDING:
                    del self.pending[next(iter(self.pending))]
            return Placed()
        if last < self.start:
            return Placed()
        for gap in self.gaps:
            if gap.first <= last < gap.last:
                return self._split(gap, last, checkpoint.last_hash)
            if last == gap.last >= gap.first and gap.expected == checkpoint.last_hash:
                gap.vouched = True
                return self._drain(gap)
        found = self._hash_at(last)
        if found is None:
            return Placed()
        if found != checkpoint.last_hash:
            return self._contradicted(last, checkpoint.last_hash, data)
        return self._vouch(last)

    def _split(self, gap: Gap, last: int, last_hash: bytes) -> Placed:
        """The writer signed for an envelope inside a gap: what comes late up to there can be recognised at once.

        This is also the way out after a member forged an envelope far ahead: what the writer sealed looks late
        then, and its checkpoints let it in.
        """
        held = {seq: found for seq, found in gap.held.items() if seq <= last}
        lower = Gap(gap.first, last, last_hash, gap.before, True, held)
        gap.held = {seq: found for seq, found in gap.held.items() if seq > last}
        gap.first, gap.before = last + 1, last_hash
        self.gaps.insert(self.gaps.index(gap), lower)
        placed = self._drain(lower)
        self._bound_gaps()
        return placed

    def _contradicted(self, last: int, last_hash: bytes, data: bytes) -> Placed:
        """The writer signed for another envelope `last`: the right one is missing, and what followed is no chain.

        What was taken below stays, provisional: the right envelope says what it follows.
        """
        forged = self.recent.get(last)
        alarm = Forked("checkpoint", last, _whole(forged or self.recent.get(last + 1), data))
        lower = [gap for gap in self.gaps if gap.first <= last]
        upper = [gap for gap in self.gaps if gap.first > last]
        end = (upper[0].first if upper else self.next_seq) - 1
        if lower and lower[-1].last >= last - 1:
            lower[-1].last, lower[-1].expected, lower[-1].vouched = last, last_hash, True
        elif forged or last == self.start:
            lower.append(Gap(last, last, last_hash, forged[PREV_HASH], True))
        else:
            self.start, lower = last + 1, []  # it is not known any more what the forgery followed
        if upper:
            upper[0].first, upper[0].before = last + 1, last_hash
            if upper[0].first > upper[0].last and upper[0].expected == last_hash:
                del upper[0]  # what stood above this seam follows what the writer signed for
        else:
            self.next_seq, self.tip = last + 1, last_hash
        self.gaps = lower + upper
        self.recent.forget(last, end)
        return Placed((), (alarm,), (), ((last, end),))

    def covered(self) -> Placed:
        """Checkpoints that waited and whose envelopes are here now."""
        placed = Placed()
        for last in sorted(seq for seq in self.pending if seq < self.next_seq):
            placed = _both(placed, self.checkpoint(*self.pending.pop(last)))
        return placed

    def missing_tail(self) -> Dropped | None:
        """Envelopes that a checkpoint signs for and that have not come: the end of the log was cut off."""
        if not self.start or not self.pending:
            return None
        last = max(self.pending)
        return Dropped(self.next_seq, last, (self.pending[last][1],))

    def _hash_at(self, seq: int) -> bytes | None:
        """H of the envelope `seq` that was taken, as far as it is known; else what its successor says."""
        if seq == self.next_seq - 1:
            return self.tip
        own, after = self.recent.get(seq), self.recent.get(seq + 1)
        return sha256(own) if own else after[PREV_HASH] if after else None

    def _run_start(self, seq: int) -> int:
        """The first seq that an unbroken chain links to `seq`."""
        return max([self.start, *(gap.last + 1 for gap in self.gaps if max(gap.first, gap.last) <= seq)])

    def write(self, out: ByteWriter) -> None:
        """The place in the chain, without recent envelopes."""
        out.u64(self.start).u64(self.next_seq).counted(self.tip).u16(len(self.gaps))
        for gap in self.gaps:
            out.u64(gap.first).u64(gap.last).raw(gap.expected).raw(gap.before or _UNKNOWN).flag(gap.vouched)

    @classmethod
    def read(cls, data: ByteReader, linked: bool = True) -> EnvelopeChain:
        """`linked` False: as it was written before gaps knew what lies below them."""
        chain = cls()
        chain.start, chain.next_seq = data.u64(), data.u64()
        if not linked:
            data.u64()  # how far checkpoints reached, which gaps know now
        chain.tip = data.counted()
        for _ in range(data.u16()):
            gap = Gap(data.u64(), data.u64(), data.raw(32))
            if linked:
                before, gap.vouched = data.raw(32), data.flag()
                gap.before = b"" if before == _UNKNOWN else before
            chain.gaps.append(gap)
        return chain


def _both(one: Placed, other: Placed) -> Placed:
    """What two steps brought, in their order."""
    return Placed(
        one.taken + other.taken,
        one.alarms + other.alarms,
        one.final + other.final,
        one.withdrawn + other.withdrawn,
    )


def _whole(*messages: bytes) -> tuple[bytes, ...]:
    """The evidence that is there."""
    return tuple(message for message in messages if message)
