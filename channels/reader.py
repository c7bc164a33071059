"""The reader of one stream under one grant, without I/O (channels.md 3 and 4, rule 6).

It takes capsules, commits, envelopes and checkpoints as bytes, in whatever order they come, and answers with
readings, ranges that became final, and alarms. It believes the chain (through `ChainFacts`), the writer's and the
stream key's signatures, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hmac import compare_digest
from itertools import count, repeat
from typing import NamedTuple

from channels.alarms import Alarm, Damaged, StaleEpoch
from channels.capsule import NO_REQUEST, CapsuleHeader, Recipient, open_capsule
from channels.chain import EnvelopeChain, Placed
from channels.checkpoint import Checkpoint, slot_confirmation
from channels.commit import Header
from channels.envelope import SIGNATURE_BYTES, EnvelopeHeader, Lane, signed_message
from channels.errors import (
    CapsuleRejected,
    CheckpointRejected,
    CommitNotOnChain,
    EnvelopeRejected,
    FormatError,
    NoKey,
    ReaderRemoved,
)
from channels.follower import ChainFacts, Entered, Follower
from channels.keyring import Keyring
from channels.path import Path
from channels.shared import ALONE, Shared
from channels.slots import StreamParams
from channels.watch import Watch
from keys.errors import KeysError
from keys.sealing import SealingKey
from keys.stream_key import verify_stream_signature

__all__ = ["DeleteKey", "Progress", "Reader", "Reading"]

_WAITING = 4096
_TOLD = 1024


class Reading(NamedTuple):
    """One opened envelope. Provisional until a signed checkpoint covers it: show it so, never bill or act on it."""

    epoch: int
    slot: int
    seq: int
    plaintext: bytes
    provisional: bool


# A reading for every tuple of its fields, without a Python frame for each: opening is measured in microseconds.
_NEW_READING: Callable[[tuple[int, int, int, bytes, bool]], Reading] = partial(tuple.__new__, Reading)


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """The reader has its place in the tree: delete the private key of this hash, it opens the past."""

    reader_key_hash: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """What one input brought. `final`: seq ranges (both ends included) that a checkpoint now covers; a range may
    repeat.

    `withdrawn`: seq ranges whose readings of before were forged by a member, as a checkpoint shows. Throw them away
    before taking `readings`, which may hold the right ones, and before marking `final`. `taken`: the envelopes that
    found their place in the chain, those without a key here among them; what is not in it belongs into no log.
    """

    readings: tuple[Reading, ...] = ()
    final: tuple[tuple[int, int], ...] = ()
    alarms: tuple[Alarm, ...] = ()
    withdrawn: tuple[tuple[int, int], ...] = ()
    taken: tuple[bytes, ...] = ()


@dataclass(slots=True)
class _Gathered:
    """Progress in the making."""

    readings: list[Reading] = field(default_factory=list)
    final: list[tuple[int, int]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    withdrawn: list[tuple[int, int]] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)

    def withdraw(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Forget readings of this very step too."""
        if ranges:
            self.withdrawn.extend(ranges)
            self.readings = [reading for reading in self.readings if not _within(reading.seq, ranges)]

    def progress(self) -> Progress:
        if self.final:
            self.readings = [
                reading._replace(provisional=False) if _within(reading.seq, self.final) else reading
                for reading in self.readings
            ]
        seen = (tuple(self.readings), tuple(self.final), tuple(self.alarms), tuple(self.withdrawn), tuple(self.taken))
        return Progress(*seen)


def _within(seq: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= seq <= last for first, last in ranges)


class Reader:
    """One grant's view of a stream. Not safe for use from several threads."""

    def __init__(self, params: StreamParams, grant_id: bytes, shared: Shared = ALONE) -> None:
        """`shared`: the same one for every reader of this stream in the process."""
        self.params = params
        self.shared = shared
        self.grant_id = grant_id
        self.keyring = Keyring(params.sid)
        self.chain = EnvelopeChain()
        self.watch = Watch(params)
        self.follower: Follower | None = None
        self.capsule_epoch = 0
        self._waiting: list[bytes] = []
        self._told: dict[tuple[int, int], None] = {}  # places of stale data: an alarm for each, not for each reading

    @property
    def epoch(self) -> int:
        """The newest epoch this reader knows; 0 before its first capsule."""
        return max(self.follower.epoch if self.follower is not None else 0, self.capsule_epoch)

    @property
    def removed_in(self) -> int:
        """The epoch that removed this reader's leaf; 0 while it is a member."""
        return self.follower.removed_in if self.follower is not None else 0

    def receive_capsule(
        self, data: bytes, key: SealingKey, facts: ChainFacts, request_id: bytes = NO_REQUEST
    ) -> DeleteKey:
        """Take a Welcome, History or Resync; the effect names the private key to delete.

        CapsuleRejected when its epoch is not newer than the reader's; CommitNotOnChain while the chain does not
        show its epoch; SignatureRejected or FormatError for anything else that is wrong. A failure changes nothing.
        """
        header = CapsuleHeader.decode(data)
        if header.epoch <= self.epoch:
            raise CapsuleRejected(f"a capsule of epoch {header.epoch} is not newer than epoch {self.epoch}")
        commit_hash = facts.commit_hash(header.epoch)
        if commit_hash is None:
            raise CommitNotOnChain(f"the chain does not show epoch {header.epoch} yet")
        recipient = Recipient(self.params.domain, self.params.sid, self.grant_id, key.key_hash(), request_id)
        _, membership, covers = open_capsule(
            data, recipient, key, commit_hash, self.params.at(header.epoch).stream_public
        )
        self.keyring.add_covers(covers)
        if membership is not None:
            self.keyring.add_epoch(membership.epoch, membership.epoch_secret)
            self.watch.left(0)
            self.follower = Follower(Path(membership.leaf, membership.path_keys), membership.epoch, commit_hash)
        self.capsule_epoch = header.epoch
        return DeleteKey(recipient.reader_key_hash)

    def process_commit(self, data: bytes, facts: ChainFacts) -> Progress:
        """Follow one commit; returns what waited for its epoch. Errors as `Follower.follow`; they change nothing.

        ReaderRemoved: this reader's leaf is gone. It keeps what it may read and follows no further; what waited for a
        commit before that one comes with the next `open`, of nothing if need be.
        """
        return self.catch_up((data,), facts)

    def catch_up(self, log: Sequence[bytes], facts: ChainFacts) -> Progress:
        """Follow many commits at once; one signature is checked for all. Errors as `Follower.catch_up`."""
        if self.follower is None:
            raise NoKey("a reader without a leaf has no commits to follow")
        entered: list[Entered]
        try:
            if len(log) == 1:
                self.follower, one = self.follower.follow(self.params, log[0], facts, self.shared)
                entered = [one]
            else:
                self.follower, entered = self.follower.catch_up(self.params, log, facts, self.shared)
        except ReaderRemoved as gone:
            self._leave(log, gone, facts)
            raise
        for step in entered:
            self.keyring.add_epoch(step.header.epoch, step.secret)
            self.watch.entered(step.header.epoch, step.header.first_slot, step.header.grant_block)
        waiting, self._waiting = self._waiting, []
        return self.open(waiting) if waiting else Progress()

    def _leave(self, log: Sequence[bytes], gone: ReaderRemoved, facts: ChainFacts) -> None:
        """Take what the commits before the removal bring, then stop."""
        if self.follower is None or self.follower.removed_in:
            return
        waiting, self._waiting = self._waiting, []
        before = [data for data in log if Header.decode(data).epoch < gone.epoch]
        if before:
            self.catch_up(before, facts)
        self.follower = self.follower.left(gone.epoch)
        self.watch.left(gone.epoch)
        self._waiting = [
            each for each in waiting if EnvelopeHeader.decode(each, self.params.signed_envelopes).epoch < gone.epoch
        ]

    def open(self, envelopes: Sequence[bytes], received_at: int | None = None) -> Progress:
        """Open envelopes in the order received. Nothing raises: what is wrong with one is reported with its
        evidence.

        `received_at`: the reader's clock for data that comes live, None when a log is read; only staleness depends
        on it. An envelope without a key here (before the grant, or punctured) keeps the chain whole and gives no
        reading; one of an epoch that is not known yet waits for its commit.
        """
        if self._waiting and self.removed_in:
            envelopes, self._waiting = [*self._waiting, *envelopes], []
        found = _Gathered()
        at = 0
        while at < len(envelopes):
            run = self._open_run(envelopes, at, found)
            if not run:
                self._open_one(envelopes[at], found)
                run = 1
            at += run
        self._take(self.chain.covered(), found)
        if found.readings:
            found.alarms.extend(self._stale(found.readings, envelopes, received_at))
        return self._progress(found)

    def open_one(self, envelope: bytes) -> Reading:
        """Open a single envelope or raise: EnvelopeRejected with the alarm, NoKey when there is no reading to give."""
        progress = self.open((envelope,))
        for alarm in progress.alarms:
            if not progress.readings:
                raise EnvelopeRejected(type(alarm).__name__, alarm)
        if not progress.readings:
            raise NoKey("the envelope is outside what this reader was given, or waits for its commit")
        return progress.readings[0]

    def accept_checkpoint(self, data: bytes) -> Progress:
        """Take a checkpoint; the ranges it covers become final.

        FormatError, SignatureRejected, or CheckpointRejected when it names another key for a slot than this reader
        holds.
        """
        checkpoint = self.shared.checkpoint(data, self.params.at(Checkpoint.decode(data).epoch).stream_public)
        if checkpoint.sid != self.params.sid:
            raise CheckpointRejected("the checkpoint belongs to another stream")
        if self.keyring.holds(checkpoint.epoch, checkpoint.slot):
            key = self.keyring.slot_key(checkpoint.epoch, checkpoint.slot)
            if not compare_digest(slot_confirmation(key), checkpoint.key_confirm):
                raise CheckpointRejected("the checkpoint names another slot key", Damaged("slot key", (data,)))
        self.watch.checkpoint(checkpoint)
        found = _Gathered()
        self._take(self.chain.checkpoint(checkpoint, data), found)
        return self._progress(found)

    def revocation_seen(self, block: int, at: int) -> None:
        """The chain shows a revocation for this stream in `block` at second `at`: later data needs an epoch without
        it. Not for one that the newest commit reflects already: no later one would answer it.
        """
        self.watch.revocation(block, at)

    def check(self, now: int) -> tuple[Alarm, ...]:
        """Alarms that only time brings: checkpoints that are missing, an end of the log that was cut off."""
        missing: tuple[Alarm, ...] = self.watch.missing(now)
        tail = self.chain.missing_tail()
        return missing if tail is None or not missing else (*missing, tail)

    def forget(self, before_slot: int) -> None:
        """Throw away the keys of slots below `before_slot`: retention ends there, for a thief as well."""
        self.keyring.forget(before_slot, self.watch.first_slots)

    def erase(self, through: int, before_slot: int) -> None:
        """Throw away the keys of slots below `before_slot` under the epochs up to `through`; see `Keyring.erase`."""
        self.keyring.erase(through, before_slot)

    def _open_run(self, envelopes: Sequence[bytes], at: int, found: _Gathered) -> int:
        """The fast path: as many envelopes as continue the chain in one lane. Returns how many; 0 leaves it to the
        other.
        """
        chain = self.chain
        signed = self.params.signed_envelopes
        if not chain.start:
            return 0
        try:
            header = EnvelopeHeader.decode(envelopes[at], signed)
            if header.sid != self.params.sid or header.epoch > self.epoch or header.seq != chain.next_seq:
                return 0
            cipher = self.keyring.cipher(Lane(header.sid, header.epoch, header.slot, header.inst))
        except (FormatError, NoKey):
            return 0
        seq = chain.next_seq
        # One lane is of one epoch, and so of one writer.
        public = self.params.at(header.epoch).stream_public if signed else b""
        plaintexts, tip = self.shared.open_chain(cipher, envelopes, at, (seq, chain.tip), public)
        if plaintexts:
            run = list(envelopes[at : at + len(plaintexts)])
            chain.extend(run, tip)
            found.taken.extend(run)
            epoch, slot = header.epoch, header.slot
            fields = zip(repeat(epoch), repeat(slot), count(seq), plaintexts, repeat(True), strict=False)
            found.readings.extend(map(_NEW_READING, fields))
            self.watch.data(epoch, slot, seq + len(plaintexts) - 1)
        return len(plaintexts)

    def _open_one(self, envelope: bytes, found: _Gathered) -> None:
        try:
            header = EnvelopeHeader.decode(envelope, self.params.signed_envelopes)
            self._check_envelope(header, envelope)
        except (FormatError, EnvelopeRejected) as error:
            found.alarms.append(Damaged(str(error), (envelope,)))
            return
        if header.epoch > self.epoch:
            self._wait(envelope)
            return
        try:
            self._plaintext(header, envelope)
        except EnvelopeRejected as error:
            found.alarms.append(Damaged(str(error), (envelope,)))
            return
        except NoKey:
            # Nobody vouches for an envelope that cannot be opened: it may keep the chain going, never move it.
            if not self.chain.expects(header, envelope):
                return
            if self.chain.goes_back(header, envelope):
                # Taken, it would stand where the right one belongs, which could be opened.
                found.alarms.append(Damaged("it is of a time before the one that it follows", (envelope,)))
                return
        self._take(self.chain.place(header, envelope), found)

    def _check_envelope(self, header: EnvelopeHeader, envelope: bytes) -> None:
        if header.sid != self.params.sid:
            raise EnvelopeRejected("the envelope belongs to another stream")
        if self.params.signed_envelopes:
            body, signature = envelope[:-SIGNATURE_BYTES], envelope[-SIGNATURE_BYTES:]
            try:
                verify_stream_signature(self.params.at(header.epoch).stream_public, signed_message(body), signature)
            except KeysError as error:
                raise EnvelopeRejected("the envelope is not signed by the stream key") from error

    def _plaintext(self, header: EnvelopeHeader, envelope: bytes) -> bytes:
        cipher = self.keyring.cipher(Lane(header.sid, header.epoch, header.slot, header.inst))
        return cipher.open(envelope, header.seq, self.params.signed_envelopes)

    def _wait(self, envelope: bytes) -> None:
        """Keep an envelope until the commit of its epoch comes; a reader that left waits for nothing."""
        if self.follower is None or self.follower.removed_in or envelope in self._waiting:
            return
        if len(self._waiting) < _WAITING:
            self._waiting.append(envelope)

    def _take(self, placed: Placed, found: _Gathered) -> None:
        found.withdraw(placed.withdrawn)
        found.taken.extend(placed.taken)
        for envelope in placed.taken:
            header = EnvelopeHeader.decode(envelope, self.params.signed_envelopes)
            self.watch.data(header.epoch, header.slot, header.seq)
            try:
                plain = self._plaintext(header, envelope)
            except NoKey:
                continue
            found.readings.append(Reading(header.epoch, header.slot, header.seq, plain, True))
        found.alarms.extend(placed.alarms)
        found.final.extend(placed.final)

    def _stale(
        self, readings: Sequence[Reading], envelopes: Sequence[bytes], received_at: int | None
    ) -> Iterable[StaleEpoch]:
        if not self.watch.revocations:
            return
        for epoch, slot in dict.fromkeys((reading.epoch, reading.slot) for reading in readings):
            revoked_at = self.watch.stale(epoch, slot, received_at)
            if revoked_at is not None and (epoch, slot) not in self._told:
                self._told[epoch, slot] = None
                if len(self._told) > _TOLD:
                    del self._told[next(iter(self._told))]
                yield StaleEpoch(epoch, slot, revoked_at, tuple(envelopes[-1:]))

    def _progress(self, found: _Gathered) -> Progress:
        if found.final:
            self.watch.covered(found.final)
        return found.progress()
