"""In which order changes are committed and buffered readings sealed (channels.md 4, rules 2 and 4). Pure.

Before the first reading of slot t every change due at or before t is committed: revocations at once, expiries at
their end slot, additions at max(start slot, first unsealed slot). After an outage of days the same rule runs
through the backlog, so every reader gets the slots of its grant and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Backlog", "CommitStep", "GiveHistory", "Joining", "Leaving", "SealStep", "Step", "plan"]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A live member and its end slot; `revoked` when the head shows a revocation."""

    grant_id: bytes
    end_slot: int
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Joining:
    """A final grant without a leaf, slots `[start_slot, end_slot)`."""

    grant_id: bytes
    start_slot: int
    end_slot: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """Unsealed readings of one slot; the slots of the earliest and the latest clock among their evidence."""

    slot: int
    earliest: int
    latest: int


@dataclass(frozen=True, slots=True)
class CommitStep:
    """Commit with this first slot; a grant may be removed and another added, both in one commit."""

    first_slot: int
    remove: tuple[bytes, ...]
    add: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SealStep:
    """Seal the buffered readings of this slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class GiveHistory:
    """The grant lies wholly before `first_unsealed`: it needs a History capsule and no leaf."""

    grant_id: bytes
    first_unsealed: int


Step: TypeAlias = CommitStep | SealStep | GiveHistory


def plan(
    leaving: Sequence[Leaving], joining: Sequence[Joining], backlog: Sequence[Backlog], present: Backlog
) -> tuple[Step, ...]:
    """The steps from now on, in order.

    `leaving` holds at least the members that are revoked or end up to the present; `backlog` the slots with
    unsealed readings, ascending; `present` the slot that the clocks show now. What is not due yet yields no step.
    """
    steps: list[Step] = []
    members = {member.grant_id: member.end_slot for member in leaving if not member.revoked}
    revoked = tuple(sorted(member.grant_id for member in leaving if member.revoked))
    waiting = sorted(joining, key=lambda grant: (grant.start_slot, grant.grant_id))
    moments = [*backlog, *([present] if not backlog or backlog[-1].slot <= present.slot else [])]
    for number, moment in enumerate(moments):
        # The end of a grant counts by the latest clock, its start by the earliest.
        late = max(moment.slot, moment.latest)
        early = min(moment.slot, moment.earliest)
        gone = tuple(sorted(grant for grant, end in members.items() if end <= late))
        due = [grant for grant in waiting if grant.start_slot <= early]
        past = [grant for grant in due if grant.end_slot <= moment.slot]
        new = [grant for grant in due if grant.end_slot > late]
        # A grant that ends between the slot and the latest clock waits: it is past by the next slot.
        waiting = [grant for grant in waiting if grant not in past and grant not in new]
        steps.extend(GiveHistory(grant.grant_id, moment.slot) for grant in past)
        if revoked or gone or new:
            steps.append(CommitStep(moment.slot, revoked + gone, tuple(grant.grant_id for grant in new)))
        for grant_id in gone:
            del members[grant_id]
        members.update((grant.grant_id, grant.end_slot) for grant in new)
        revoked = ()
        if number < len(backlog):
            steps.append(SealStep(moment.slot))
    return tuple(steps)
