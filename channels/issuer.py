"""Making capsules: what a grant entitles its reader to, sealed to the grant's key (channels.md 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

from channels.capsule import (
    NO_LEAF,
    NO_REQUEST,
    CapsuleHeader,
    CapsuleKind,
    Membership,
    Recipient,
    StreamSigner,
    seal_capsule,
)
from channels.errors import CapsuleRejected, EpochErased, EpochNotActive, LeafError, UsageError
from channels.history import NO_COVERS, Covers, Span, covers_of
from channels.masters import Masters
from channels.slots import StreamParams
from channels.writer_state import WriterState
from keys.errors import KeysError
from keys.sealing import reader_key_hash

__all__ = ["Issuer", "Member"]


@dataclass(frozen=True, slots=True)
class Member:
    """A grant with a leaf: slots `[start_slot, end_slot)`; `joined_epoch` is the epoch that first added it for this
    grant.

    `reader_key_hash` is the newest one that the chain shows for the grant.
    """

    grant_id: bytes
    reader_key_hash: bytes
    leaf: int
    start_slot: int
    end_slot: int
    joined_epoch: int


class Issuer:
    """The capsule half of a writer; shares its state. Every capsule is for the newest signed epoch."""

    def __init__(self, params: StreamParams, masters: Masters, stream_key: StreamSigner, state: WriterState) -> None:
        self._params = params
        self._masters = masters
        self._stream_key = stream_key
        self._state = state

    def welcome(self, member: Member, public: bytes) -> bytes:
        """Path keys, the epoch secret and the past that the grant covers.

        LeafError when the member has no such leaf; CapsuleRejected when `public` is not the key that the chain names.
        """
        if self._hash_of(public) != member.reader_key_hash:
            raise CapsuleRejected("the public key is not the one that the grant names")
        membership = self._membership(member)
        covers = self._covers(member, 1, member_from=None)
        return self._seal(CapsuleKind.WELCOME, member.grant_id, public, (membership, covers), NO_REQUEST)

    def resync(self, member: Member, public: bytes, request_id: bytes, since_epoch: int) -> bytes:
        """A Welcome to a fresh key, with the cover of the epochs after `since_epoch`, within grant and membership.

        `public` and the 32-byte `request_id` come from the reader's signed request, which the caller has checked.
        """
        if len(request_id) != 32 or request_id == NO_REQUEST:
            raise UsageError("a request id has 32 bytes and is not zero")
        membership = self._membership(member)
        covers = self._covers(member, since_epoch + 1, member_from=member.joined_epoch)
        return self._seal(CapsuleKind.RESYNC, member.grant_id, public, (membership, covers), request_id)

    def history(self, grant_id: bytes, public: bytes, slots: tuple[int, int], first_unsealed: int) -> bytes:
        """Covers only. UsageError when slots at or after `first_unsealed` are asked for: these need a leaf;
        EpochErased when nothing is left of them."""
        state = self._state
        if slots[1] > first_unsealed:
            raise UsageError("the grant reaches into slots that are still sealed: it needs a leaf")
        if state.epoch < state.log.origin:
            raise EpochNotActive("this writer has no epoch yet")
        epochs = state.log.epochs_with(*slots)
        covers = self._cover(Span(*slots, epochs))
        if not covers.count and not all(self._masters.has(epoch) for epoch in epochs):
            raise EpochErased("the keys of everything that this grant covers were destroyed by an erasure")
        return self._seal(CapsuleKind.HISTORY, grant_id, public, (None, covers), NO_REQUEST)

    def _membership(self, member: Member) -> Membership:
        state = self._state
        if state.tree.end(0, member.leaf) != member.end_slot:
            raise LeafError(f"leaf {member.leaf} does not belong to this grant")
        keys = state.tree.path_keys(member.leaf)
        return Membership(member.leaf, state.epoch, keys, self._masters.epoch_secret(state.epoch))

    def _covers(self, member: Member, first_epoch: int, member_from: int | None) -> Covers:
        """The past of a member: closed epochs from `first_epoch` on, none of an earlier writer."""
        log = self._state.log
        found = log.epochs_with(member.start_slot, member.end_slot)
        first = max(first_epoch, found.start)
        if member_from is not None:
            first = max(first_epoch, min(found.start, member_from), log.origin)
        epochs = range(first, max(log.newest, first))
        if not epochs:
            return NO_COVERS
        return self._cover(Span(member.start_slot, member.end_slot, epochs, member_from))

    def _cover(self, span: Span) -> Covers:
        state = self._state
        sealed = (state.active, state.position.slot if state.position.seq else -1)
        return covers_of(self._masters, self._params.sid, state.log, span, sealed)

    def _hash_of(self, public: bytes) -> bytes:
        try:
            return reader_key_hash(public)
        except KeysError as error:
            raise CapsuleRejected("the reader's public key is not usable") from error

    def _seal(
        self,
        kind: CapsuleKind,
        grant_id: bytes,
        public: bytes,
        content: tuple[Membership | None, Covers],
        request_id: bytes,
    ) -> bytes:
        membership = content[0]
        header = CapsuleHeader(kind, self._state.epoch, NO_LEAF if membership is None else membership.leaf)
        recipient = Recipient(self._params.domain, self._params.sid, grant_id, self._hash_of(public), request_id)
        return seal_capsule(header, recipient, public, self._state.head, content, self._stream_key)
