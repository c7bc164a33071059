"""What a reader keeps an eye on besides the chain of envelopes: revocations, checkpoints that are due, first slots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from channels.alarms import MissingCheckpoint
from channels.checkpoint import Checkpoint
from channels.codec import ByteReader, ByteWriter
from channels.slots import StreamParams

__all__ = ["CHECKPOINT_DELAY", "REVOCATION_DELAY", "Revocation", "Watch"]

CHECKPOINT_DELAY = 60  # seconds after the end of a slot
REVOCATION_DELAY = 120  # seconds after a revocation within which data under the old epoch is no alarm
_REVOCATIONS = 64
_EPOCHS = 4096


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation in `block` at second `at`; `answered` is the first epoch that reflects it, 0 while there is none."""

    block: int
    at: int
    answered: int = 0


class Watch:
    """Mutable; owned by one reader."""

    __slots__ = ("_params", "_reported", "end_epoch", "first_slots", "last_slot", "revocations", "uncovered")

    def __init__(self, params: StreamParams) -> None:
        self._params = params
        self.first_slots: dict[int, int] = {}
        self.revocations: list[Revocation] = []
        self.uncovered: dict[tuple[int, int], int] = {}  # (epoch, slot) to its highest seq
        self.last_slot = -1  # newest slot that a checkpoint names: data alone could be forged, far in the future
        self.end_epoch = 0  # the epoch that removed this reader
        self._reported: set[tuple[int, int]] = set()

    def entered(self, epoch: int, first_slot: int, grant_block: int) -> None:
        """A commit opened an epoch."""
        self.first_slots[epoch] = first_slot
        if len(self.first_slots) > 2 * _EPOCHS:
            self.first_slots = dict(list(self.first_slots.items())[-_EPOCHS:])
        if not self.revocations:
            return
        self.revocations = [
            Revocation(seen.block, seen.at, epoch) if not seen.answered and seen.block <= grant_block else seen
            for seen in self.revocations
        ]

    def left(self, epoch: int) -> None:
        self.end_epoch = epoch

    def revocation(self, block: int, at: int) -> None:
        """Told again, it is the same one."""
        if block not in {seen.block for seen in self.revocations}:
            self.revocations = [*self.revocations, Revocation(block, at)][-_REVOCATIONS:]

    def stale(self, epoch: int, slot: int, received_at: int | None) -> int | None:
        """The time of a revocation that data of this epoch and slot ignores, or None."""
        start = self._params.slot_start(slot)
        latest = start if received_at is None else max(start, received_at)
        for seen in self.revocations:
            old = not seen.answered or epoch < seen.answered
            if old and latest > seen.at + REVOCATION_DELAY:
                return seen.at
        return None

    def data(self, epoch: int, slot: int, seq: int) -> None:
        self.uncovered[epoch, slot] = max(seq, self.uncovered.get((epoch, slot), 0))
        if len(self.uncovered) > _EPOCHS:
            del self.uncovered[max(self.uncovered, key=lambda place: place[1])]

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.last_slot = max(self.last_slot, checkpoint.slot)

    def covered(self, final: Iterable[tuple[int, int]]) -> None:
        for first, last in final:
            for place in [place for place, seq in self.uncovered.items() if first <= seq <= last]:
                del self.uncovered[place]
                self._reported.discard(place)

    def missing(self, now: int) -> tuple[MissingCheckpoint, ...]:
        """Slots whose checkpoint is overdue at second `now`, each once: those with data, and the first silent one."""
        due = {place for place in self.uncovered if self._params.slot_end(place[1]) + CHECKPOINT_DELAY < now}
        silent = self.last_slot + 1
        waits = self.last_slot >= 0 and not self.end_epoch and silent not in {slot for _, slot in self.uncovered}
        if waits and self._params.slot_end(silent) + CHECKPOINT_DELAY < now:
            due.add((max(self.first_slots, default=0), silent))
        new = sorted(place for place in due if place not in self._reported)
        self._reported.update(new)
        return tuple(MissingCheckpoint(epoch, slot, ()) for epoch, slot in new)

    def write(self, out: ByteWriter) -> None:
        out.u64(self.last_slot + 1).u64(self.end_epoch)
        out.u32(len(self.first_slots))
        for epoch, slot in self.first_slots.items():
            out.u64(epoch).u64(slot)
        out.u16(len(self.revocations))
        for seen in self.revocations:
            out.u64(seen.block).u64(seen.at).u64(seen.answered)
        out.u32(len(self.uncovered))
        for (epoch, slot), seq in self.uncovered.items():
            out.u64(epoch).u64(slot).u64(seq)

    @classmethod
    def read(cls, params: StreamParams, data: ByteReader) -> Watch:
        watch = cls(params)
        watch.last_slot, watch.end_epoch = data.u64() - 1, data.u64()
        watch.first_slots = {data.u64(): data.u64() for _ in range(data.u32())}
        watch.revocations = [Revocation(data.u64(), data.u64(), data.u64()) for _ in range(data.u16())]
        watch.uncovered = {(data.u64(), data.u64()): data.u64() for _ in range(data.u32())}
        return watch
