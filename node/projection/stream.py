"""A stream on chain: its registration, owners, writers, and the commits (epoch to hash) that readers compare with.

Everything here acts at head: a commit's epoch may be used once the commit is included, and a writer that the owner put
out must stop at once. The contract alone decides who may write; this state only follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import ADDRESS_ZERO, Effect, Event, State, StateIndex, Step
from node.projection.effects import (
    NotifyCommitted,
    NotifyCommitUndone,
    NotifyStreamRegistered,
    NotifyStreamTransferred,
    NotifyStreamUndone,
    NotifyWriterChanged,
)
from node.projection.errors import ContradictingFact, HistoryTooShort, WrongAggregate
from node.projection.events import (
    LoggedCommitted,
    LoggedFinalized,
    LoggedRolledBack,
    LoggedStreamRegistered,
    LoggedStreamTransferred,
    LoggedWriterSet,
)
from node.projection.facts import Fact, add, cut, settle, top_block, unsettled_block
from node.projection.machine import Machine

__all__ = [
    "STREAM_MACHINE",
    "Commit",
    "Owner",
    "Registration",
    "Stream",
    "StreamStatus",
    "Writer",
    "index_stream",
    "reduce_stream",
]


class StreamStatus(StrEnum):
    NONE = "none"
    ACTIVE = "active"
    HALTED = "halted"


def _to(*targets: StreamStatus) -> frozenset[StreamStatus]:
    return frozenset(targets)


_N, _A, _H = StreamStatus.NONE, StreamStatus.ACTIVE, StreamStatus.HALTED
STREAM_MACHINE = Machine(
    "stream",
    _N,
    {
        (_N, LoggedStreamRegistered): _to(_A, _H),  # halted: told after its writer was put out
        (_A, LoggedWriterSet): _to(_H),
        (_H, LoggedWriterSet): _to(_A),
        (_A, LoggedRolledBack): _to(_N, _H),
        (_H, LoggedRolledBack): _to(_N, _A),
    },
)


@dataclass(frozen=True, slots=True)
class Registration(Fact):
    name_hash: bytes
    genesis: int
    slot_seconds: int


@dataclass(frozen=True, slots=True)
class Owner(Fact):
    owner: bytes


@dataclass(frozen=True, slots=True)
class Writer(Fact):
    """`writer` zero: nobody may write."""

    writer: bytes
    stream_key_hash: bytes


@dataclass(frozen=True, slots=True)
class Commit(Fact):
    epoch: int
    commit_hash: bytes


@dataclass(frozen=True, slots=True)
class Stream(State):
    """One stream by its 32-byte `sid`; the lists hold what is not final and the newest final facts."""

    sid: bytes
    status: StreamStatus = StreamStatus.NONE
    registration: tuple[Registration, ...] = ()
    owners: tuple[Owner, ...] = ()
    writers: tuple[Writer, ...] = ()
    commits: tuple[Commit, ...] = ()

    @property
    def owner(self) -> bytes:
        return self.owners[-1].owner if self.owners else ADDRESS_ZERO

    @property
    def writer(self) -> bytes:
        return self.writers[-1].writer if self.writers else ADDRESS_ZERO

    @property
    def stream_key_hash(self) -> bytes | None:
        return self.writers[-1].stream_key_hash if self.writers else None

    @property
    def head(self) -> Commit | None:
        return self.commits[-1] if self.commits else None

    @property
    def epoch(self) -> int:
        """Newest epoch on chain; 0 if there is none."""
        return self.commits[-1].epoch if self.commits else 0

    def commit_at(self, epoch: int) -> Commit | None:
        """The commit of this epoch if it is among those kept (not final, and the newest final ones)."""
        return next((commit for commit in self.commits if commit.epoch == epoch), None)


def _status(stream: Stream) -> StreamStatus:
    if not stream.registration:
        return StreamStatus.NONE
    return StreamStatus.ACTIVE if stream.writer != ADDRESS_ZERO else StreamStatus.HALTED


def _moved(before: Stream, event: Event, after: Stream, *effects: Effect) -> Step[Stream]:
    if after == before:
        return Step(before)
    return Step(replace(after, status=STREAM_MACHINE.move(before.status, event, _status(after))), effects)


def _registered(stream: Stream, event: LoggedStreamRegistered) -> Step[Stream]:
    fact = Registration(event.block, False, event.name_hash, event.genesis, event.slot_seconds)
    registration = add(stream.registration, fact)
    if registration is stream.registration:
        return Step(stream)
    if stream.registration:
        raise ContradictingFact("one stream was registered twice")
    after = replace(
        stream,
        registration=registration,
        owners=add(stream.owners, Owner(event.block, False, event.owner)),
        writers=add(stream.writers, Writer(event.block, False, event.writer, event.stream_key_hash)),
    )
    return _moved(stream, event, after, NotifyStreamRegistered(event.sid, event.owner, event.writer))


def _committed(stream: Stream, event: LoggedCommitted) -> Step[Stream]:
    commits = add(stream.commits, Commit(event.block, False, event.epoch, event.commit_hash))
    if commits is stream.commits:
        return Step(stream)
    # The contract takes epoch head + 1 only, so anything else means that logs were lost or made up on the way here.
    if stream.commits and event.epoch != stream.epoch + 1:
        raise ContradictingFact(f"commit of epoch {event.epoch} after epoch {stream.epoch}")
    notice = NotifyCommitted(event.sid, event.epoch, event.commit_hash, event.block)
    return _moved(stream, event, replace(stream, commits=commits), notice)


def _rolled_back(stream: Stream, event: LoggedRolledBack) -> Step[Stream]:
    height = event.ancestor_height
    after = replace(
        stream,
        registration=cut(stream.registration, height),
        owners=cut(stream.owners, height),
        writers=cut(stream.writers, height),
        commits=cut(stream.commits, height),
    )
    forgotten = stream.commits and not after.commits and stream.commits[0].epoch > 1 and after.registration
    if forgotten or (after.registration and not (after.owners and after.writers)):
        raise HistoryTooShort(f"a reorg to block {height} reaches below the kept history of a stream")
    effects: list[Effect] = []
    if stream.registration and not after.registration:
        effects.append(NotifyStreamUndone(stream.sid))
    elif after.writers != stream.writers:
        effects.append(NotifyWriterChanged(stream.sid, after.writer, after.stream_key_hash or bytes(32)))
    if after.commits != stream.commits:
        effects.append(NotifyCommitUndone(stream.sid, after.epoch))
    if after.registration and after.owner != stream.owner:
        effects.append(NotifyStreamTransferred(stream.sid, after.owner))
    return _moved(stream, event, after, *effects)


def _finalized(stream: Stream, event: LoggedFinalized) -> Step[Stream]:
    after = replace(
        stream,
        registration=settle(stream.registration, event.height),
        owners=settle(stream.owners, event.height),
        writers=settle(stream.writers, event.height),
        commits=settle(stream.commits, event.height),
    )
    return _moved(stream, event, after)


def reduce_stream(stream: Stream, event: Event) -> Step[Stream]:
    match event:
        case LoggedStreamRegistered():
            return _registered(stream, event)
        case LoggedWriterSet():
            after = replace(
                stream,
                writers=add(stream.writers, Writer(event.block, False, event.writer, event.stream_key_hash)),
            )
            return _moved(stream, event, after, NotifyWriterChanged(event.sid, event.writer, event.stream_key_hash))
        case LoggedStreamTransferred():
            after = replace(stream, owners=add(stream.owners, Owner(event.block, False, event.new_owner)))
            return _moved(stream, event, after, NotifyStreamTransferred(event.sid, event.new_owner))
        case LoggedCommitted():
            return _committed(stream, event)
        case LoggedRolledBack():
            return _rolled_back(stream, event)
        case LoggedFinalized():
            return _finalized(stream, event)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a stream")


def index_stream(stream: Stream) -> StateIndex:
    lists = (stream.registration, stream.owners, stream.writers, stream.commits)
    return StateIndex(
        stream.status.value,
        top_block(*lists),
        unsettled_block(*lists),
        None,
        (("owner", stream.owner), ("writer", stream.writer)),
    )
