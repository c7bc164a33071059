"""The order of commits and sealing (channels.md 4, rules 2 and 4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from channels.plan import Backlog, CommitStep, GiveHistory, Joining, Leaving, SealStep, plan
from channels.slots import OPEN_SLOT


def slot(number: int) -> Backlog:
    return Backlog(number, number, number)


def test_a_backlog_over_an_outage() -> None:
    """Everybody gets the slots of the grant: C's end, D's whole stay and E's start lie inside the outage."""
    steps = plan(
        leaving=[Leaving(b"A", OPEN_SLOT, revoked=True), Leaving(b"C", 12)],
        joining=[
            Joining(b"D", 11, 13),
            Joining(b"E", 13, OPEN_SLOT),
            Joining(b"F", 2, 10),
            Joining(b"G", 5, OPEN_SLOT),
        ],
        backlog=[slot(10), slot(11), slot(13)],
        present=slot(20),
    )
    assert steps == (
        GiveHistory(b"F", 10),
        CommitStep(10, (b"A",), (b"G",)),
        SealStep(10),
        CommitStep(11, (), (b"D",)),
        SealStep(11),
        CommitStep(13, (b"C", b"D"), (b"E",)),
        SealStep(13),
    )


def test_without_readings_changes_are_committed_at_the_present_slot() -> None:
    assert plan([Leaving(b"A", OPEN_SLOT, True)], [], [], slot(7)) == (CommitStep(7, (b"A",), ()),)
    assert plan([Leaving(b"A", 9)], [Joining(b"B", 8, 20)], [], slot(7)) == ()


def test_an_end_counts_by_the_latest_clock_and_a_start_by_the_earliest() -> None:
    late = Backlog(9, earliest=8, latest=10)
    assert plan([Leaving(b"A", 10)], [Joining(b"B", 9, 30)], [late], Backlog(9, 8, 10)) == (
        CommitStep(9, (b"A",), ()),
        SealStep(9),
    )


def test_a_grant_between_the_slot_and_the_latest_clock_waits_for_history() -> None:
    late = Backlog(9, earliest=9, latest=10)
    assert plan([], [Joining(b"B", 5, 10)], [late], slot(10)) == (SealStep(9), GiveHistory(b"B", 10))


GRANTS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=6)


@given(GRANTS, GRANTS, st.sets(st.integers(0, 30), max_size=8), st.integers(0, 40))
def test_at_every_sealed_slot_exactly_the_grants_of_that_slot_are_members(
    live: list[tuple[int, int]], joining: list[tuple[int, int]], slots: set[int], now: int
) -> None:
    """channels.md 6: no envelope outside a reader's grant, backlog after an outage included; and nobody is left out."""
    first = min(slots, default=now)
    members = {b"m%d" % n: (0, first + length) for n, (_, length) in enumerate(live)}
    grants = {b"j%d" % n: (start, start + length) for n, (start, length) in enumerate(joining)}
    steps = plan(
        [Leaving(name, end) for name, (_, end) in members.items()],
        [Joining(name, *span) for name, span in grants.items()],
        [slot(number) for number in sorted(slots)],
        slot(max(now, max(slots, default=0))),
    )
    inside = set(members)
    spans = members | grants
    at = -1
    for step in steps:
        if isinstance(step, CommitStep):
            assert step.first_slot >= at
            at = step.first_slot
            assert set(step.remove) <= inside
            inside = inside - set(step.remove) | set(step.add)
        elif isinstance(step, SealStep):
            assert step.slot >= at
            at = step.slot
            assert inside == {name for name, (start, end) in spans.items() if start <= step.slot < end}
        else:
            assert spans[step.grant_id][1] <= step.first_unsealed
    assert [step.slot for step in steps if isinstance(step, SealStep)] == sorted(slots)
