"""Reads one stream under one grant: takes what arrives in any order, keeps what it opened, asks for what is missing.

The protocol's reader wants commits in order and envelopes in their chain. This engine sorts deliveries, waits a moment
for stragglers, asks the writer for what does not come, and only then lets the reader report a loss. Every step is one
transaction: state, readings, log and alarms together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile

import structlog

from channels.capsule import CapsuleHeader, CapsuleKind
from channels.checkpoint import Checkpoint
from channels.commit import Commit, Header
from channels.envelope import EnvelopeHeader
from channels.errors import CommitNotOnChain, FormatError, ReaderRemoved, RejectedError
from channels.follower import ChainFacts
from channels.reader import Progress, Reader
from channels.reader_state import restore_reader
from channels.slots import StreamParams
from channels.transports.base import Delivery
from channels.transports.topics import Kind
from node.services.provider.keeping import Keeper
from node.services.provider.missing import (
    GAPS_AT_ONCE,
    HISTORY,
    HISTORY_AGAIN,
    HISTORY_GIVE_UP,
    NO_WELCOME,
    RESYNC_AGAIN,
    SETTLED,
    Missing,
)
from node.services.provider.ports import MembershipStatus, Ports
from node.services.provider.replay import CARRIED, ReplayKind, split_replay
from node.services.provider.sorting import EARLY, MAX_HELD, in_gap, keyed_checkpoints, next_batch, next_commits

__all__ = ["Membership", "Ports"]

_log = structlog.get_logger(__name__)


class Membership:
    """One reader with its store. `take` and `tick` are called by one task each; `lock` keeps them apart."""

    def __init__(self, params: StreamParams, grant_id: bytes, slots: tuple[int, int], ports: Ports) -> None:
        self.lock = asyncio.Lock()
        self.params = params
        self.grant_id = grant_id
        self._slots = slots
        self._ports = ports
        self._reader = Reader(params, grant_id, ports.common.enter())
        self._commits: dict[int, bytes] = {}
        self._held: dict[int, bytes] = {}
        self._capsule: bytes | None = None
        self._early: list[bytes] = []
        self._missing = Missing()
        self._history_from: int | None = None
        self._past_came, self._forgotten = False, 0
        self._keeper = Keeper(self._reader, ports)
        self._behind_at = time.monotonic()

    @property
    def sid(self) -> bytes:
        return self.params.sid

    def renew(self, params: StreamParams) -> None:
        """The owner has set another writer: what it signs in later epochs waits while its key is not known."""
        self.params = self._reader.params = params

    async def load(self) -> None:
        """Takes up where the last run stopped."""
        snapshot = await self._ports.store.reader_snapshot(self.sid, self.grant_id)
        if snapshot is not None:
            self._reader = self._keeper.reader = restore_reader(self.params, snapshot, self._ports.common.shared)
            self._want_past()

    def status(self) -> MembershipStatus:
        own = self._reader
        return MembershipStatus(own.epoch, own.removed_in, own.chain.next_seq, len(self._held), self._keeper.opened)

    async def forget(self, before: int) -> int:
        """The keys of what lies before `before` (seconds UTC) go, for a thief as well; returns the first slot kept."""
        slot = self.params.clamped_slot(before)
        async with self.lock:
            if slot > self._forgotten and self._reader.epoch:
                self._reader.forget(slot)
                self._forgotten = slot
                await self._keeper.flush(always=True)
        return slot

    async def erase(self, epoch: int, before_slot: int) -> None:
        """The keys of slots below `before_slot` under the epochs up to `epoch` go for good (channels.md 4, rule 11)."""
        async with self.lock:
            self._reader.erase(epoch, before_slot)
            await self._keeper.flush(always=True)

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Messages from the broker, kept in one transaction.

        Nothing that a broker may invent raises; what proves a wrong is kept. What a crash costs is asked for again.
        """
        async with self.lock:
            for delivery in deliveries:
                kind, payload = delivery.kind, delivery.payload
                try:
                    if kind is Kind.REPLAY:
                        which, payload = split_replay(payload)
                        self._missing.arriving()
                        self._past_came |= which is ReplayKind.ENVELOPE
                        kind = CARRIED[which]
                    await self._sort(kind, payload)
                except FormatError as error:
                    self._keeper.alarm("damaged", f"{kind.value}: {error}", (payload,))
            await self._follow()
            await self._read()
            await self._keeper.flush()

    async def _sort(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.CAPSULE and not payload:
            return  # the writer cleared the topic, because somebody took what was there
        if kind is Kind.CAPSULE:
            resync = CapsuleHeader.decode(payload).kind is CapsuleKind.RESYNC
            if not resync or self._ports.key.key(resync=True) is not None:  # else it would displace a Welcome in vain
                self._capsule = payload
            await self._enter()
        elif kind is Kind.COMMITS:
            epoch = Header.decode(payload).epoch
            if self._commits.get(epoch, payload) != payload:
                await self._follow()  # the one that waits is judged before another takes its place
            if epoch <= self._reader.epoch:
                await self._archive({epoch: payload})
            else:
                self._commits[epoch] = payload
                if len(self._commits) > MAX_HELD:
                    del self._commits[max(self._commits)]
        elif kind is Kind.DATA:
            self._hold(payload)
        elif kind is Kind.CHECKPOINTS:
            # A checkpoint says something about envelopes that may have come just before it.
            await self._follow()
            await self._read()
            await self._accept(payload)

    async def revocation_seen(self, block: int) -> None:
        """A grant was revoked in `block`, and its reader had a leaf: data that ignores it for long is an alarm."""
        async with self.lock:
            self._reader.revocation_seen(block, self._ports.clock.now())
            await self._keeper.flush(always=True)

    async def tick(self) -> None:
        """Looks again at what waited for the chain or for stragglers, and asks for what is missing."""
        async with self.lock:
            await self._enter()
            if self._reader.epoch == 0 and await self._shut_out():
                await self._ask_resync()
            await self._follow()
            await self._read()
            for early in keyed_checkpoints(self._early, self.params):
                await self._accept(early)
            await self._ask_tail()
            await self._ask_gaps()
            # While the past is being read every slot is overdue; a checkpoint is missed only in the present.
            settled = time.monotonic() - self._behind_at > SETTLED
            for alarm in self._reader.check(self._ports.clock.now()) if settled else ():
                self._keeper.alarm_of(alarm)
            await self._keeper.flush()

    async def _enter(self) -> None:
        data = self._capsule
        if data is None:
            return
        header = CapsuleHeader.decode(data)
        resync = header.kind is CapsuleKind.RESYNC
        key = self._ports.key.key(resync=resync)
        if header.epoch <= self._reader.epoch:
            self._capsule = None
        if self._capsule is None or not self.params.keyed(header.epoch):
            return
        if key is None:
            if not resync:
                await self._ask_resync()
            return
        facts = await self._ports.facts.facts(self.sid, header.epoch)
        try:
            self._reader.receive_capsule(data, key[0], facts, key[1])
        except CommitNotOnChain:
            return
        except (FormatError, RejectedError) as error:
            self._capsule = None
            if not self._reader.removed_in:  # else it may be the Welcome of a stream's next owner
                self._keeper.alarm("capsule", str(error), (data,))
            return
        self._capsule = None
        await self._keeper.flush(always=True)
        self._missing.came("resync")
        # From here on the state in the store opens what the capsule opened, so its key can go.
        await self._ports.key.delete()
        await self._archive({epoch: raw for epoch, raw in self._commits.items() if epoch <= header.epoch})
        self._commits = {epoch: raw for epoch, raw in self._commits.items() if epoch > header.epoch}
        self._want_past()
        await self._ports.ask.receipt(header.epoch)
        if self._ports.key.lasting and header.epoch > 1:
            # A household's log says who may read, also after its loss; others need no commits from before theirs.
            await self._ports.ask.commits(1, header.epoch)
        _log.info("capsule_taken", kind=header.kind.name.lower(), epoch=header.epoch, history=self._history_from)

    def _want_past(self) -> None:
        """Until the chain has begun, at its entry or after a restart, the past comes first."""
        newest = self.params.clamped_slot(self._ports.clock.now())
        # The present slot counts as well: what was sealed in it before this reader came lies in the past.
        if self._reader.epoch and self._slots[0] <= newest and not self._reader.chain.start:
            self._history_from = self._slots[0]

    async def _shut_out(self) -> bool:
        """Whether this reader's state was lost: no Welcome will come again by itself."""
        if not self._ports.key.lasting:
            return self._ports.key.key(resync=False) is None
        if self._capsule is not None or time.monotonic() - self._behind_at < NO_WELCOME:
            return False
        return (await self._ports.facts.facts(self.sid, 1)).commit_hash(1) is not None

    async def _archive(self, commits: Mapping[int, bytes]) -> None:
        """Commits from before this reader came say who sits where: kept if the chain shows their hash."""
        if commits:
            facts = await self._ports.facts.facts(self.sid, min(commits))
            good = [raw for epoch, raw in sorted(commits.items()) if facts.commit_hash(epoch) == Commit.hash_of(raw)]
            self._keeper.keep(Progress(), commits=good)

    async def _ask_resync(self) -> None:
        """The state is lost and the key of the Welcome is gone, as it should be: ask for a new way in."""
        if self._missing.due("resync", RESYNC_AGAIN):
            request_id, public = self._ports.key.renew()
            await self._ports.ask.resync(self._reader.epoch, request_id, public)

    async def _follow(self) -> None:
        reader = self._reader
        if reader.follower is None or reader.removed_in:
            return
        together = True
        while (run := next_commits(self._commits, reader.epoch, self.params)) and not self.status().removed_in:
            facts = await self._ports.facts.facts(self.sid, reader.epoch + 1)
            together = together and len(run) > 1 and self._catch_up(run, facts)
            if together:
                continue
            data = run[0]
            try:
                progress = reader.process_commit(data, facts)
            except CommitNotOnChain:
                return
            except ReaderRemoved as gone:
                self._keeper.keep(Progress(), commits=[data])
                _log.info("reader_removed", epoch=gone.epoch)
                return
            except (FormatError, RejectedError) as error:
                del self._commits[reader.epoch + 1]
                alarm = error.alarm if isinstance(error, RejectedError) else None
                self._keeper.alarm_of(alarm) if alarm else self._keeper.alarm("commit", str(error), (data,))
                return
            del self._commits[reader.epoch]
            self._keeper.keep(progress, commits=[data])
        newest = max(self._commits, default=0)
        if newest > reader.epoch and self._missing.due("commits"):
            await self._ports.ask.commits(reader.epoch + 1, newest)
        elif newest <= reader.epoch:
            self._missing.came("commits")

    def _catch_up(self, run: Sequence[bytes], facts: ChainFacts) -> bool:
        """Many commits with one signature; False when they have to be looked at one by one."""
        first = self._reader.epoch + 1
        shown = list(takewhile(lambda raw: facts.commit_hash(Header.decode(raw).epoch) is not None, run))
        try:
            progress = self._reader.catch_up(shown, facts)
        except ReaderRemoved as gone:
            self._keeper.keep(Progress(), commits=run[: gone.epoch - first + 1])
            _log.info("reader_removed", epoch=gone.epoch)
            return True
        except (FormatError, RejectedError):
            return False
        for epoch in range(first, first + len(shown)):
            del self._commits[epoch]
        self._keeper.keep(progress, commits=shown)
        return bool(shown)

    def _hold(self, envelope: bytes) -> None:
        header, chain = self._header(envelope), self._reader.chain
        if chain.start and header.seq < chain.next_seq and not in_gap(chain, header.seq):
            return  # the broker delivers at least once: a repetition is no news
        if len(self._held) < MAX_HELD or header.seq in self._held:
            self._held.setdefault(header.seq, envelope)

    async def _read(self) -> None:
        """Feeds the reader what continues its chain; what does not waits, is asked for, and at last is fed as it is."""
        if self._reader.epoch == 0:
            return
        if self._history_from is not None and not await self._begin_history():
            return
        while batch := next_batch(self._held, self._reader.chain):
            if not await self._feed(batch):
                return
        if not self._held or self._reader.removed_in:
            return
        first = min(self._held)
        expected = self._reader.chain.next_seq
        if first > expected and self._missing.due(f"seq {expected}"):
            if self._missing.overdue(f"seq {expected}"):
                await self._feed([self._held.pop(first)])
            else:
                await self._ports.ask.envelopes(expected, first - 1)

    async def _ask_tail(self) -> None:
        """A checkpoint vouches for envelopes that have not come: a quiet stream has no later one that would show it."""
        tail = self._reader.chain.missing_tail()
        if tail is not None and not self._held and not self._reader.removed_in and self._missing.due("tail"):
            await self._ports.ask.envelopes(tail.first_seq, tail.last_seq)

    async def _ask_gaps(self) -> None:
        """What took the place of an envelope and failed its tag left a gap behind: the writer has the genuine one."""
        if self._reader.removed_in:
            return
        # Those that never heal are many where a member is hostile; they keep no later one from being asked for.
        hopeful = (gap for gap in self._reader.chain.gaps if not self._missing.overdue(f"gap {gap.first}"))
        for gap in tuple(islice(hopeful, GAPS_AT_ONCE)):
            if self._missing.due(f"gap {gap.first}"):
                await self._ports.ask.envelopes(gap.first, gap.last)

    async def _begin_history(self) -> bool:
        """The past comes first, so that the chain is read from its beginning; True once it has begun."""
        if self._history_from is None:
            return True
        # A live envelope of the first slot proves nothing: others of the slot may have been sealed before it.
        ready = self._past_came or 1 in self._held or self._missing.overdue(HISTORY, HISTORY_GIVE_UP)
        # An answer that was cut off before its first envelope is no beginning: the question stands.
        if ready and (self._held or self._reader.chain.start):
            self._history_from = None
            self._missing.came(HISTORY)
            return True
        if self._missing.due(HISTORY, HISTORY_AGAIN):
            await self._ports.ask.history(self._history_from)
        return False

    async def _feed(self, batch: Sequence[bytes]) -> bool:
        """False when the chain of envelopes stops here until a commit has come, and been seen on the ledger."""
        unknown = [raw for raw in batch if self._header(raw).epoch > self._reader.epoch]
        known = batch[: len(batch) - len(unknown)] if unknown else batch
        if unknown and not self._reader.removed_in:
            # Their commit is still on its way; the chain stops here until it has come.
            for raw in unknown:
                self._held[self._header(raw).seq] = raw
            if not known:
                # A name of its own: that there is no commit to follow says nothing about one that is withheld.
                following = self._reader.epoch + 1
                if following not in self._commits and self._missing.due(f"epoch {following}"):
                    await self._ports.ask.commits(following, self._header(unknown[0]).epoch)
                return False
        now = self._ports.clock.now()
        late = bool(known) and self._header(known[-1]).slot < self.params.clamped_slot(now) - 1
        self._keeper.keep(self._reader.open(known, None if late else now))  # what was missed says nothing by coming now
        if late:
            self._behind_at = time.monotonic()
        return True

    def _header(self, envelope: bytes) -> EnvelopeHeader:
        return EnvelopeHeader.decode(envelope, self.params.signed_envelopes)

    async def _accept(self, data: bytes) -> None:
        if self._reader.epoch == 0:
            return
        if not self.params.keyed(Checkpoint.decode(data).epoch):
            self._early = [*self._early, data][-EARLY:]
            return
        try:
            progress = self._reader.accept_checkpoint(data)
        except RejectedError as error:
            self._keeper.alarm("checkpoint", str(error), (data,))
            return
        self._keeper.keep(progress)
        last, expected = Checkpoint.decode(data).last_seq, self._reader.chain.next_seq
        if self._reader.chain.start and last >= expected and not self._held and self._missing.due(f"seq {expected}"):
            await self._ports.ask.envelopes(expected, last)
