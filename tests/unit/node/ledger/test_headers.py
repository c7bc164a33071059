"""contracts.md, "Finality, reorgs": the header window finds every reorganisation inside it and says so beyond it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.errors import BrokenBranch, DeepReorg, UnknownParent
from node.ledger.headers import WINDOW, Behind, Extended, Header, HeaderChain, RolledBack


def block_hash(number: int, fork: str) -> bytes:
    return (fork.encode() + number.to_bytes(8, "big")).rjust(32, b"\0")


def branch(first: int, last: int, fork: str = "a", parent: bytes | None = None) -> list[Header]:
    headers: list[Header] = []
    for number in range(first, last + 1):
        below = headers[-1].hash if headers else (parent or block_hash(number - 1, fork))
        headers.append(Header(number, block_hash(number, fork), below, 1_000 + number))
    return headers


def chain(last: int = 100, first: int = 1) -> HeaderChain:
    return HeaderChain().place(branch(first, last))[0]


def test_the_window_goes_deeper_than_64() -> None:
    assert WINDOW > 64


def test_a_branch_that_continues_the_tip_extends() -> None:
    after, outcome = chain(10).place(branch(11, 13))
    assert outcome == Extended(tuple(branch(11, 13)))
    assert after.tip == branch(13, 13)[0]


def test_the_same_head_again_changes_nothing() -> None:
    before = chain(10)
    assert before.place(branch(10, 10)) == (before, Extended(()))


@pytest.mark.parametrize("depth", [1, 2, 12, 64, 99])
def test_a_reorganisation_names_the_ancestor_and_what_was_dropped(depth: int) -> None:
    before = chain(100)
    new = branch(101 - depth, 101, "b", parent=block_hash(100 - depth, "a"))
    after, outcome = before.place(new)
    assert isinstance(outcome, RolledBack)
    assert outcome.ancestor.number == 100 - depth
    assert [h.number for h in outcome.dropped] == list(range(101 - depth, 101))
    assert all(h.hash == block_hash(h.number, "a") for h in outcome.dropped)
    assert after.tip == new[-1]
    assert after.at(100 - depth) == before.at(100 - depth)


def test_a_shorter_branch_wins_too_because_the_node_chose_it() -> None:
    after, outcome = chain(100).place(branch(98, 98, "b", parent=block_hash(97, "a")))
    assert isinstance(outcome, RolledBack)
    assert after.tip is not None
    assert after.tip.number == 98
    assert len(outcome.dropped) == 3


def test_known_blocks_below_the_tip_are_lateness_not_a_reorganisation() -> None:
    before = chain(100)
    after, outcome = before.place(branch(90, 95))
    assert outcome == Behind(branch(95, 95)[0])
    assert after is before


def test_an_unknown_parent_is_asked_for() -> None:
    with pytest.raises(UnknownParent) as asked:
        chain(100).place(branch(95, 101, "b"))
    assert asked.value.parent == block_hash(94, "b")


def test_headers_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(BrokenBranch):
        chain(10).place([*branch(11, 12), *branch(14, 14)])
    with pytest.raises(BrokenBranch):
        chain(10).place([*branch(11, 12), *branch(13, 13, "b")])
    with pytest.raises(BrokenBranch):
        chain(10).place([])


def test_below_the_window_everything_must_be_scanned_again() -> None:
    before = HeaderChain(limit=20).place(branch(1, 100))[0]
    assert before.lowest == branch(81, 81)[0]
    with pytest.raises(DeepReorg):
        before.place(branch(82, 101, "b"))
    with pytest.raises(DeepReorg):
        before.place(branch(60, 101, "b"))


def test_a_stored_window_with_a_hole_is_refused() -> None:
    with pytest.raises(BrokenBranch):
        HeaderChain((*branch(1, 3), *branch(5, 6)))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=30))
def test_whatever_happens_the_window_stays_linked_and_ends_at_the_new_tip(moves: list[tuple[int, int]]) -> None:
    """Random sequences of (depth, length) forks: after each, following the branch is the same as building it anew."""
    now = chain(40)
    model = list(now.headers)
    for number, (depth, length) in enumerate(moves):
        depth = min(depth, len(model) - 1)
        keep = model[: len(model) - depth]
        new = branch(keep[-1].number + 1, keep[-1].number + length, f"f{number}", parent=keep[-1].hash)
        now, outcome = now.place(new)
        assert isinstance(outcome, RolledBack if depth else Extended)
        model = [*keep, *new]
        assert list(now.headers) == model[-WINDOW:]
        model = list(now.headers)
