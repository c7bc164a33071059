"""The writer of one stream: commits, sealing and capsules, without I/O (channels.md 2 to 4).

The caller signs, stores and publishes::

    prepared = writer.prepare(changes)                  # nothing has changed yet
    signature = await signer.sign_message(prepared.message, params.domain)
    commit = writer.apply(prepared, signature)          # state has moved
    ...                                                 # store commit, change_of(prepared) and progress(), then publish
    checkpoints = writer.activate(prepared.epoch)       # when the chain includes it at head

A crash before the change was stored leaves the old state, from which the same changes make the same bytes. Every
random choice comes in from outside: `instance` is 16 bytes that the caller draws anew at every start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from channels.allocation import allocate
from channels.capsule import StreamSigner
from channels.commit import (
    Body,
    Header,
    encode_confirmed,
    encode_signed,
    leaf_ranges,
    second_message,
    sorted_wraps,
    verify_commit_signature,
)
from channels.errors import (
    EpochErased,
    LeafError,
    LeafExpired,
    StalePrepared,
    UsageError,
)
from channels.gate import MAX_SKEW_LIMIT, Evidence, Gate
from channels.issuer import Issuer, Member
from channels.kdf import sha256
from channels.masters import Masters
from channels.position import Position
from channels.rekey import TreeUpdate
from channels.sealer import Sealed, Sealer
from channels.second_signature import version_for
from channels.slots import StreamParams
from channels.stores.records import WriterRecord
from channels.tree import TreeDelta, earliest_leaf
from channels.wrapping import CommitKeys, FreshSecrets
from channels.writer_state import StateChange, WriterState
from keys.messages import StreamCommit

__all__ = ["Changes", "Join", "PreparedCommit", "Writer"]


@dataclass(frozen=True, slots=True)
class Join:
    """A new leaf for slots `[start_slot, end_slot)`; `leaf` None lets the writer choose (a refresh names its own)."""

    start_slot: int
    end_slot: int
    leaf: int | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What one commit does. `grant_block`: the last block whose registry events it reflects."""

    first_slot: int
    grant_block: int
    removed: tuple[int, ...] = ()
    added: tuple[Join, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """A commit that waits for its signature. `leaves` are those of `Changes.added`, in that order."""

    epoch: int
    unsigned: bytes
    commit_hash: bytes
    message: StreamCommit
    leaves: tuple[int, ...]
    changes: Changes
    delta: TreeDelta = field(repr=False)


class Writer:
    """Seals readings of one stream. One instance per stream and process; not safe for use from several threads."""

    def __init__(
        self,
        params: StreamParams,
        masters: Masters,
        stream_key: StreamSigner,
        instance: bytes,
        state: WriterState | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Without `state` a new stream before its first commit. `instance`: 16 fresh random bytes, never stored."""
        if stream_key.public_bytes != params.stream_public:
            raise UsageError("the stream key is not the one of the stream's parameters")
        self.params = params
        self._masters = masters
        self._stream_key = stream_key
        self._epochs = masters.cover()  # keeps its last path: the next epoch is two steps away
        self._state = state if state is not None else WriterState.fresh()
        self._sealer = Sealer(params, masters, stream_key, instance, self._state, gate if gate is not None else Gate())
        self._issuer = Issuer(params, masters, stream_key, self._state)

    @classmethod
    def restore(
        cls,
        params: StreamParams,
        masters: Masters,
        stream_key: StreamSigner,
        instance: bytes,
        saved: bytes | WriterRecord,
        position: Position | None = None,
        gate: Gate | None = None,
    ) -> Writer:
        """From `snapshot()`, or from the record of a store. `position` is the high-water mark; the further of the two
        counts. SnapshotInvalid otherwise. The gate is the caller's, as for a new writer: it is no part of the state.
        """
        state = WriterState.from_bytes(saved) if isinstance(saved, bytes) else WriterState.from_record(saved)
        if position is not None and position.seq >= state.position.seq:
            state.position = position
        return cls(params, masters, stream_key, instance, state, gate)

    def snapshot(self) -> bytes:
        """The state, secrets included: seal it before it is stored. SnapshotInvalid is raised by `restore` only."""
        return self._state.to_bytes()

    def progress(self) -> bytes:
        """What sealing, activating and blocking have changed since the newest commit; small, and secret of nothing but
        how much was sealed."""
        return self._state.progress()

    @property
    def state(self) -> WriterState:
        """The live state; for capsules, statistics and tests. Changing it is the writer's business."""
        return self._state

    @property
    def masters(self) -> Masters:
        return self._masters

    @property
    def epoch(self) -> int:
        """The newest signed epoch, included on chain or not; 0 before the first."""
        return self._state.epoch

    @property
    def active_epoch(self) -> int:
        """The epoch that readings are sealed under; 0 before the first."""
        return self._state.active

    @property
    def head(self) -> bytes:
        """Hash of the newest commit; 32 zero bytes before the first."""
        return self._state.head

    @property
    def position(self) -> Position:
        """The last sealed envelope. Store it before the envelopes are published."""
        return self._state.position

    # Commits

    def prepare(self, changes: Changes, depth: int = 0) -> PreparedCommit:
        """Make the next commit up to its signature. Changes nothing; the same changes give the same bytes.

        `depth` asks for a tree of at least that many levels. UsageError, LeafError or CommitTooLarge when the
        changes cannot be committed: a slot that goes back, a grant that is not due, a member that is due and not
        removed.
        """
        state = self._state
        self._check_changes(changes)
        removed = sorted(changes.removed)
        leaves, needed = self._place(changes)
        added = sorted((leaf, join.end_slot) for leaf, join in zip(leaves, changes.added, strict=True))
        epoch = state.epoch + 1
        body = Body(leaf_ranges(removed), tuple(leaf for leaf, _ in added), ())
        fresh = FreshSecrets.of(self._masters.tree, epoch, state.head, changes.first_slot, body.encode_changes())
        update = self._update(CommitKeys(self.params.sid, epoch), fresh)
        update.change(removed, added, max(needed, depth))
        self._check_due(update.delta, changes.first_slot)
        secret = self._epoch_secret(epoch)
        epoch_wrap = update.seal_epoch(secret)
        body = Body(body.removed, body.added, sorted_wraps(update.wraps))
        header = Header(
            self.params.sid,
            epoch,
            state.head,
            changes.first_slot,
            update.delta.depth,
            update.delta.n_live,
            changes.grant_block,
            len(body.removed),
            len(body.added),
            len(body.wraps),
            version_for(self.params.ml_dsa_public),
        )
        unsigned = encode_confirmed(header, body, epoch_wrap, secret)
        commit_hash = sha256(unsigned)
        message = StreamCommit(self.params.sid, epoch, commit_hash)
        return PreparedCommit(epoch, unsigned, commit_hash, message, tuple(leaves), changes, update.delta)

    def apply(self, prepared: PreparedCommit, signature: bytes) -> bytes:
        """Move to the prepared epoch; returns the commit. Store both before publishing.

        The stream key adds its second signature here, if the stream has one.

        SignatureRejected when the stream's writer did not sign; StalePrepared when another commit came between.
        """
        second = b""
        if self.params.ml_dsa_public:
            second = self._stream_key.sign_ml_dsa(second_message(prepared.commit_hash))
        data = encode_signed(prepared.unsigned, signature, second)
        header = Header.decode(data)
        if prepared.epoch != self._state.epoch + 1 or header.prev_commit_hash != self._state.head:
            raise StalePrepared(f"epoch {prepared.epoch} does not follow epoch {self._state.epoch}")
        params = self.params
        verify_commit_signature(data, header, params.domain, params.writer, params.ml_dsa_public)
        self.adopt_delta(prepared)
        return data

    def adopt_delta(self, prepared: PreparedCommit) -> None:
        """The state change of `apply`, for a commit whose signature is known to hold (rebuilding from the own log)."""
        self._state.take(self.change_of(prepared))

    def change_of(self, prepared: PreparedCommit) -> StateChange:
        """What the prepared commit changes, to be kept beside it."""
        changes = prepared.changes
        # Clocks may lag behind the slot by the allowed skew: older starts need no watching.
        watched = changes.first_slot - MAX_SKEW_LIMIT // self.params.slot_seconds - 1
        starts = tuple(
            (leaf, join.start_slot)
            for leaf, join in zip(prepared.leaves, changes.added, strict=True)
            if join.start_slot >= watched
        )
        return StateChange(
            prepared.epoch, prepared.commit_hash, changes.first_slot, changes.removed, starts, prepared.delta
        )

    def activate(self, epoch: int) -> tuple[bytes, ...]:
        """The chain includes the commit of `epoch` at head: seal under it from now on. Returns closing checkpoints.

        Going back is not possible: after a reorg the same commit is included again.
        """
        state = self._state
        if not state.active <= epoch <= state.epoch:
            raise UsageError(f"epoch {epoch} cannot follow {state.active}")
        if epoch == state.active:
            return ()
        closing = self._sealer.close_run()
        state.active = epoch
        return closing

    def block_sealing(self, leaves: Iterable[int]) -> None:
        """A revocation of these live leaves is known: nothing is sealed until an epoch without them is active.

        Raises LeafError for a leaf that is not live. There is no way back: a revocation outlives a reorg.
        """
        for leaf in leaves:
            if not self._state.tree.is_live(leaf):
                raise LeafError(f"leaf {leaf} is not live")
            self._state.revoked.add(leaf)

    def erase(self, masters: Masters) -> None:
        """Go on with what an erasure has left of the masters (`Masters.erased`). Only while no commit waits for the
        chain: the readers of the present epoch could not be served any more. UsageError then."""
        if self._state.epoch != self._state.active or not masters.has(self._state.epoch + 1):
            raise UsageError("nothing is erased while a commit waits for the chain")
        if self._state.epoch and self._state.epoch not in masters.cover():
            raise UsageError("the present epoch is not over: a commit must end it first")
        self._masters = masters
        self._epochs = masters.cover()
        self._sealer.adopt(masters)
        self._issuer = Issuer(self.params, masters, self._stream_key, self._state)

    def _epoch_secret(self, epoch: int) -> bytes:
        if epoch not in self._epochs:
            raise EpochErased(f"the secret of epoch {epoch} was destroyed")
        return self._epochs.leaf(epoch)

    def _update(self, keys: CommitKeys, fresh: FreshSecrets) -> TreeUpdate:
        return TreeUpdate(self._state.tree, keys, fresh)

    def _check_changes(self, changes: Changes) -> None:
        state = self._state
        lowest = state.position.slot
        if state.epoch >= state.log.origin:
            lowest = max(lowest, state.log.first_slot(state.epoch))
        if changes.first_slot < lowest:
            raise UsageError(f"the first slot never decreases: {changes.first_slot} after {lowest}")
        if not state.revoked <= set(changes.removed):
            raise UsageError("every revoked leaf must be removed")
        if state.adopted and len(changes.removed) != state.tree.n_live:
            raise UsageError("the first commit of a new writer removes all leaves")
        for join in changes.added:
            if not join.start_slot <= changes.first_slot < join.end_slot:
                raise UsageError(
                    f"a grant of slots [{join.start_slot}, {join.end_slot}) is not due at {changes.first_slot}"
                )

    def _place(self, changes: Changes) -> tuple[list[int], int]:
        """The leaves of the added grants, in their order, and the depth of the tree."""
        taken = [join.leaf for join in changes.added if join.leaf is not None]
        free = [join.end_slot for join in changes.added if join.leaf is None]
        per_day = max(86_400 // self.params.slot_seconds, 1)
        chosen, depth = allocate(self._state.tree, free, changes.removed, taken, per_day)
        picks = iter(chosen)
        return [next(picks) if join.leaf is None else join.leaf for join in changes.added], depth

    def _check_due(self, delta: TreeDelta, first_slot: int) -> None:
        """A member whose grant ends at or before the first slot must be among the removed."""
        if not delta.n_live:
            return
        root = (delta.depth, 0)
        end = delta.ends[root] if root in delta.ends else self._state.tree.end(*root)
        if end <= first_slot:
            raise LeafExpired(f"a grant ends with slot {end}: remove it", earliest_leaf(self._state.tree)[1])

    # Sealing and capsules

    def seal(self, readings: Sequence[tuple[int, bytes]], evidence: Evidence) -> Sealed:
        """Seal (meter time, plaintext) pairs; see `Sealer.seal`."""
        return self._sealer.seal(readings, evidence)

    def close_slot(self, slot: int) -> tuple[bytes, ...]:
        """The clock has passed `slot`; see `Sealer.close_slot`."""
        return self._sealer.close_slot(slot)

    def shutdown(self) -> tuple[bytes, ...]:
        """The checkpoint over whatever no checkpoint covers yet; call it last."""
        return self._sealer.close_run()

    def welcome(self, member: Member, public: bytes) -> bytes:
        """The Welcome of a member of the newest epoch; see `Issuer.welcome`."""
        return self._issuer.welcome(member, public)

    def resync(self, member: Member, public: bytes, request_id: bytes, since_epoch: int) -> bytes:
        """The Resync of a member that stopped after `since_epoch`; see `Issuer.resync`."""
        return self._issuer.resync(member, public, request_id, since_epoch)

    def history(self, grant_id: bytes, public: bytes, slots: tuple[int, int], first_unsealed: int) -> bytes:
        """The History of a grant that lies wholly in the past; see `Issuer.history`."""
        return self._issuer.history(grant_id, public, slots, first_unsealed)
