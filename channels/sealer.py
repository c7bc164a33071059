"""Sealing: readings become envelopes and checkpoints, if the gate lets them (channels.md 2, 3 and 4 rules 3 to 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from channels.capsule import StreamSigner
from channels.checkpoint import Checkpoint, slot_confirmation
from channels.envelope import INSTANCE_BYTES, MAX_PLAINTEXT, Lane, SlotCipher
from channels.errors import EpochNotActive, LeafRevoked, SlotClosed, UsageError
from channels.gate import MAX_SKEW_LIMIT, Evidence, Gate
from channels.ggm import Cover
from channels.masters import Masters, slot_root
from channels.position import Position
from channels.slots import StreamParams
from channels.writer_state import WriterState

__all__ = ["Sealed", "Sealer"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """Envelopes in chain order, and the checkpoints of slots that they left behind."""

    envelopes: list[bytes]
    checkpoints: tuple[bytes, ...]


class Sealer:
    """The sealing half of a writer; shares its state."""

    def __init__(
        self,
        params: StreamParams,
        masters: Masters,
        stream_key: StreamSigner,
        instance: bytes,
        state: WriterState,
        gate: Gate,
    ) -> None:
        if len(instance) != INSTANCE_BYTES:
            raise UsageError("a writer instance has 16 bytes")
        self.params = params
        self.gate = gate
        self._masters = masters
        self._stream_key = stream_key
        self._instance = instance
        self._state = state
        self._cipher: tuple[int, int, SlotCipher] | None = None
        self._slots: tuple[int, Cover] | None = None

    def adopt(self, masters: Masters) -> None:
        """Go on with other masters; keys of before are dropped."""
        self._masters = masters
        self._cipher = self._slots = None

    def seal(self, readings: Sequence[tuple[int, bytes]], evidence: Evidence) -> Sealed:
        """Seal (meter time, plaintext) pairs in order, all or nothing. GateRefused says which rule and which leaf.

        The slot of a reading is max(last sealed slot, slot of its meter time). `evidence` is of the moment these
        readings were taken in; readings with other evidence go in another call. One call for many readings is the
        fast way.
        """
        if not readings:
            return Sealed([], ())
        state, params = self._state, self.params
        times = [reading[0] for reading in readings]
        first, last = min(times), max(times)
        self.gate.check_clocks(first, last, evidence)
        if max([len(reading[1]) for reading in readings]) > MAX_PLAINTEXT:
            raise UsageError(f"a plaintext has at most {MAX_PLAINTEXT} bytes")
        floor = state.position.slot
        low, high = max(floor, params.slot_of(first)), max(floor, params.slot_of(last))
        runs = [(low, [reading[1] for reading in readings])] if low == high else self._runs(readings, floor)
        spread = (
            min(first, evidence.gateway_clock, evidence.block_time),
            max(last, evidence.gateway_clock, evidence.block_time),
        )
        self._check_gate(runs[0][0], runs[-1][0], spread)
        envelopes: list[bytes] = []
        checkpoints: list[bytes] = []
        for slot, plaintexts in runs:
            checkpoints.extend(self._enter_slot(slot))
            envelopes.extend(self._seal_run(slot, plaintexts))
        return Sealed(envelopes, tuple(checkpoints))

    def close_slot(self, slot: int) -> tuple[bytes, ...]:
        """The clock has passed `slot`: its checkpoint, count 0 when it holds nothing. Empty when it cannot be
        vouched for.

        A late reading may still go into the slot; it is covered by a further checkpoint.
        """
        state = self._state
        if not self._sealable(slot):
            return ()
        if state.position.seq > state.position.covered_seq and state.position.slot <= slot:
            closing = self.close_run()
            return closing if state.position.slot == slot else (*closing, self._checkpoint(slot, 0))
        return (self._checkpoint(slot, 0),) if state.position.slot < slot or not state.position.seq else ()

    def close_run(self) -> tuple[bytes, ...]:
        """The checkpoint over whatever no checkpoint covers yet."""
        position = self._state.position
        count = position.seq - position.covered_seq
        return (self._checkpoint(position.slot, count),) if count else ()

    def _sealable(self, slot: int) -> bool:
        state = self._state
        if state.active < state.log.origin or slot < state.log.first_slot(state.active):
            return False
        return state.active == state.epoch or slot <= state.log.first_slot(state.active + 1)

    def _check_gate(self, low: int, high: int, spread: tuple[int, int]) -> None:
        state = self._state
        if state.active < state.log.origin:
            raise EpochNotActive("no epoch of this writer is included on chain yet")
        if state.revoked:
            raise LeafRevoked(f"leaf {min(state.revoked)} is revoked and not removed yet", min(state.revoked))
        if state.removal_epoch > state.active:
            raise LeafRevoked(f"epoch {state.removal_epoch} removes a reader and is not included on chain yet")
        if low < state.log.first_slot(state.active):
            raise SlotClosed(f"slot {low} is before the first one of epoch {state.active}")
        if not self._sealable(high):
            raise SlotClosed(f"slot {high} belongs to an epoch that is not included on chain yet")
        self.gate.check_members(self.params, state.tree, state.starts, high, spread)
        earliest = self.params.clamped_slot(spread[0])
        if state.starts and max(state.starts.values()) <= earliest - MAX_SKEW_LIMIT // self.params.slot_seconds - 1:
            state.starts.clear()  # every clock is past them by more than the skew ever allowed

    def _runs(self, readings: Sequence[tuple[int, bytes]], floor: int) -> list[tuple[int, list[bytes]]]:
        """Readings by slot, which never goes back."""
        slotted: list[tuple[int, bytes]] = []
        for at, plaintext in readings:
            floor = max(floor, self.params.slot_of(at))
            slotted.append((floor, plaintext))
        return [(slot, [plain for _, plain in run]) for slot, run in groupby(slotted, key=lambda item: item[0])]

    def _enter_slot(self, slot: int) -> tuple[bytes, ...]:
        """Leaving a slot or an epoch closes its run."""
        position = self._state.position
        same = (position.epoch, position.slot) == (self._state.active, slot)
        return () if same else self.close_run()

    def _seal_run(self, slot: int, plaintexts: Sequence[bytes]) -> list[bytes]:
        state = self._state
        signer = self._stream_key if self.params.signed_envelopes else None
        cipher = self._cipher_for(slot)
        envelopes, last_hash = cipher.seal_chain(plaintexts, state.position.seq + 1, state.position.last_hash, signer)
        seq = state.position.seq + len(envelopes)
        state.position = Position(state.active, slot, seq, last_hash, state.position.covered_seq)
        return envelopes

    def _cipher_for(self, slot: int) -> SlotCipher:
        epoch = self._state.active
        if self._cipher is None or self._cipher[:2] != (epoch, slot):
            lane = Lane(self.params.sid, epoch, slot, self._instance)
            self._cipher = (epoch, slot, SlotCipher.of(self._slot_key(epoch, slot), lane))
        return self._cipher[2]

    def _slot_key(self, epoch: int, slot: int) -> bytes:
        if self._slots is None or self._slots[0] != epoch:
            root = slot_root(self._masters.epoch_secret(epoch), self.params.sid, epoch)
            self._slots = (epoch, Cover.whole(root))
        return self._slots[1].leaf(slot)

    def _checkpoint(self, slot: int, count: int) -> bytes:
        """Sign for the last `count` envelopes: of the position's epoch, or of the active one when there are none."""
        state = self._state
        position = state.position
        epoch = position.epoch if count else state.active
        if count:
            state.position = Position(position.epoch, position.slot, position.seq, position.last_hash, position.seq)
        checkpoint = Checkpoint(
            self.params.sid,
            epoch,
            slot,
            position.seq - count + 1,
            count,
            position.last_hash,
            slot_confirmation(self._slot_key(epoch, slot)),
        )
        return checkpoint.sign(self._stream_key)
