"""The hash chain of envelopes as one reader has received it: what fits, what is missing, what contradicts.

Nothing here opens anything. The chain takes envelopes that passed their tag (or that this reader has no key for), and
checkpoints that passed their signature; it answers with alarms and with the ranges that became final.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from channels.alarms import Alarm, Dropped, Forked, Reordered, Replayed
from channels.checkpoint import Checkpoint
from channels.codec import ByteReader, ByteWriter
from channels.envelope import EnvelopeHeader
from channels.kdf import sha256

__all__ = ["EnvelopeChain", "Gap", "Placed"]

_RECENT = 4096  # envelopes kept to tell a replay from a fork and to prove it
_HELD = 1024  # late envelopes of one gap that wait for their successor
_GAPS = 256
_PENDING = 256  # checkpoints that came before their envelopes
_PREV_HASH = slice(70, 102)


@dataclass(slots=True)
class Gap:
    """Missing seqs `first..last`; the envelope `last` must have `expected` as its hash (its successor says so)."""

    first: int
    last: int
    expected: bytes
    held: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """`taken`: envelopes that now have their place, in ascending order; the last checkpoint may cover them already."""

    taken: tuple[bytes, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    final: tuple[tuple[int, int], ...] = ()


class Recent:
    """The last envelopes by seq: between _RECENT and twice as many. Two generations, so that nothing is deleted
    singly.
    """

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}

    def get(self, seq: int, default: bytes = b"") -> bytes:
        """The envelope, or `default` when it is not known (any more)."""
        return self._young.get(seq) or self._old.get(seq, default)

    def extend(self, seq: int, envelopes: list[bytes]) -> None:
        """Remember consecutive envelopes from `seq` on."""
        skipped = max(len(envelopes) - _RECENT, 0)
        fresh = envelopes[skipped:] if skipped else envelopes
        if len(self._young) + len(fresh) > _RECENT:
            self._old, self._young = self._young, {}
        self._young.update(zip(range(seq + skipped, seq + len(envelopes)), fresh, strict=True))


class EnvelopeChain:
    """One run through the stream; a reader that reads history beside the present uses two."""

    __slots__ = ("final_seq", "gaps", "next_seq", "pending", "recent", "start", "tip")

    def __init__(self) -> None:
        self.start = 0  # first seq ever taken; 0 before
        self.next_seq = 0
        self.tip = b""
        self.final_seq = 0
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
            before = self.recent.get(header.seq - 1)
            return Placed(alarms=(Forked("envelope", header.seq - 1, _whole(before, envelope)),))
        if header.seq > self.next_seq:
            missing = (self.next_seq, header.seq - 1)
            self.gaps.append(Gap(*missing, header.prev_hash))
            del self.gaps[:-_GAPS]
            before = self.recent.get(self.next_seq - 1)
            self._append(header.seq, envelope)
            return Placed((envelope,), (Dropped(*missing, _whole(before, envelope)),))
        known = self.recent.get(header.seq)
        if known and known != envelope:
            return Placed(alarms=(Forked("envelope", header.seq, (known, envelope)),))
        for gap in self.gaps:
            if not known and gap.first <= header.seq <= gap.last:
                return self._fill(gap, header, envelope)
        return Placed(alarms=(Replayed(header.seq, (envelope,)),))

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
        return Placed(placed.taken, (Reordered(header.seq, (envelope,)), *placed.alarms), placed.final)

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
            gap.expected = found[_PREV_HASH]
            gap.last -= 1
        final: list[tuple[int, int]] = []
        if taken and gap.last < self.final_seq:
            final.append((gap.last + 1, gap.last + len(taken)))
        if gap.first > gap.last:
            self.gaps.remove(gap)
            before = self._hash_at(gap.first - 1)
            if before is not None and before != gap.expected:
                evidence = _whole(self.recent.get(gap.first - 1), *taken[-1:])
                alarms.append(Forked("envelope", gap.first - 1, evidence))
            elif final:
                final.append((self._run_start(gap.first - 1), gap.first - 1))
        return Placed(tuple(reversed(taken)), tuple(alarms), tuple(item for item in final if item[0] <= item[1]))

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
        found = self._hash_at(last)
        if found is None:
            return Placed()
        if found != checkpoint.last_hash:
            alarm = Forked("checkpoint", last, _whole(self.recent.get(last), data))
            self._anchor(last, checkpoint.last_hash)
            return Placed(alarms=(alarm,))
        first = self._run_start(last)
        self.final_seq = max(self.final_seq, last)
        return Placed(final=((first, last),) if first <= last else ())

    def _split(self, gap: Gap, last: int, last_hash: bytes) -> Placed:
        """The writer signed for an envelope inside a gap: what comes late up to there can be recognised at once.

        This is also the way out after a member forged an envelope far ahead: what the writer sealed looks late
        then, and its checkpoints let it in.
        """
        lower = Gap(gap.first, last, last_hash, {seq: found for seq, found in gap.held.items() if seq <= last})
        gap.held = {seq: found for seq, found in gap.held.items() if seq > last}
        gap.first = last + 1
        self.gaps.insert(self.gaps.index(gap), lower)
        self.final_seq = max(self.final_seq, last)
        return self._drain(lower)

    def covered(self) -> Placed:
        """Checkpoints that waited and whose envelopes are here now."""
        alarms: list[Alarm] = []
        final: list[tuple[int, int]] = []
        taken: list[bytes] = []
        for last in sorted(seq for seq in self.pending if seq < self.next_seq):
            placed = self.checkpoint(*self.pending.pop(last))
            alarms.extend(placed.alarms)
            final.extend(placed.final)
            taken.extend(placed.taken)
        return Placed(tuple(taken), tuple(alarms), tuple(final))

    def missing_tail(self) -> Dropped | None:
        """Envelopes that a checkpoint signs for and that have not come: the end of the log was cut off."""
        if not self.start or not self.pending:
            return None
        last = max(self.pending)
        return Dropped(self.next_seq, last, (self.pending[last][1],))

    def is_final(self, seq: int) -> bool:
        """Whether a checkpoint covers `seq` through an unbroken chain."""
        return seq <= self.final_seq and seq >= self._run_start(self.final_seq)

    def _hash_at(self, seq: int) -> bytes | None:
        """H of the envelope `seq`, as far as it is known: its successor names it."""
        if seq == self.next_seq - 1:
            return self.tip
        after = self.recent.get(seq + 1)
        return after[_PREV_HASH] if after else None

    def _run_start(self, seq: int) -> int:
        """The first seq that an unbroken chain links to `seq`."""
        return max([self.start, *(gap.last + 1 for gap in self.gaps if gap.last <= seq)])

    def _anchor(self, seq: int, tip: bytes) -> None:
        """Continue from what the writer signed; what was taken on another branch stays provisional for ever."""
        self.start = self.next_seq = seq + 1
        self.tip = tip
        self.gaps.clear()
        self.recent = Recent()

    def write(self, out: ByteWriter) -> None:
        """The place in the chain, without recent envelopes."""
        out.u64(self.start).u64(self.next_seq).u64(self.final_seq).counted(self.tip).u16(len(self.gaps))
        for gap in self.gaps:
            out.u64(gap.first).u64(gap.last).raw(gap.expected)

    @classmethod
    def read(cls, data: ByteReader) -> EnvelopeChain:
        chain = cls()
        chain.start, chain.next_seq, chain.final_seq, chain.tip = data.u64(), data.u64(), data.u64(), data.counted()
        chain.gaps = [Gap(data.u64(), data.u64(), data.raw(32)) for _ in range(data.u16())]
        return chain


def _whole(*messages: bytes) -> tuple[bytes, ...]:
    """The evidence that is there."""
    return tuple(message for message in messages if message)
