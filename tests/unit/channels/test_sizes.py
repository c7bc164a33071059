"""The numbers of channels.md 5 that are bytes: commits, welcomes, state. No time is asserted here."""

from __future__ import annotations

import functools
import random

import pytest

from channels.commit import Commit, Header, max_wraps
from channels.issuer import Member
from channels.slots import OPEN_SLOT
from channels.writer import Changes, Join, Writer
from keys.sealing import SealingKey
from tests.unit.channels.world import STREAM_KEY, at, evidence, hashed, masters, params

DAY = 1440


def grown(size: int, ends: tuple[int, ...] = ()) -> Writer:
    """A writer whose tree has `size` live leaves, the owner's included; unsigned, which size does not depend on."""
    writer = Writer(params(), masters(), STREAM_KEY, bytes(16))
    wanted = [Join(0, OPEN_SLOT), *(Join(0, end) for end in (ends or (OPEN_SLOT,) * (size - 1)))]
    while wanted:
        part, wanted = wanted[:60_000], wanted[60_000:]
        writer.adopt_delta(writer.prepare(Changes(0, 0, added=tuple(part))))
    return writer


@functools.cache
def large() -> Writer:
    """100,000 leaves, 274 of which end on each day, in the order in which yearly grants come in."""
    return grown(100_000, tuple(DAY * (1 + number // 274) for number in range(99_999)))


def size_of(writer: Writer, *removed: int) -> int:
    return len(writer.prepare(Changes(0, 0, removed=removed)).unsigned) + 65


@pytest.mark.parametrize(("size", "bound"), [(10, 430), (1_000, 700)])
def test_one_revocation(size: int, bound: int) -> None:
    writer = grown(size)
    assert max(size_of(writer, leaf) for leaf in writer.state.tree.live_leaves()) <= bound


def test_one_revocation_of_100_000() -> None:
    chance = random.Random(1)
    assert max(size_of(large(), leaf) for leaf in chance.sample(large().state.tree.live_leaves(), 100)) <= 1_010


def test_a_batch_of_100_of_100_000() -> None:
    chance = random.Random(2)
    live = large().state.tree.live_leaves()
    sizes = [size_of(large(), *sorted(chance.sample(live, 100))) for _ in range(20)]
    assert sum(sizes) / len(sizes) <= 46_500


def test_274_grants_that_end_on_one_day() -> None:
    tree = large().state.tree
    for day in (1, 2, 100, 200, 364):
        ending = [leaf for leaf in tree.live_leaves() if tree.end(0, leaf) == DAY * day]
        assert len(ending) == 274
        header = Header.decode(large().prepare(Changes(0, 0, removed=tuple(ending))).unsigned + bytes(65))
        assert header.n_wraps <= 18


@pytest.mark.parametrize("size", [16, 200])
def test_wraps_of_any_batch_stay_within_the_bound(size: int) -> None:
    chance = random.Random(size)
    writer = grown(size)
    depth = writer.state.tree.depth
    for _ in range(60):
        gone = chance.sample(writer.state.tree.live_leaves(), chance.randrange(1, size))
        commit = Commit.decode(writer.prepare(Changes(0, 0, removed=tuple(gone))).unsigned + bytes(65))
        assert len(commit.body.wraps) <= max_wraps(depth, len(gone))


@pytest.mark.parametrize("depth", range(12))
def test_the_exact_bound_never_exceeds_the_published_one(depth: int) -> None:
    """k * log2(cap / k) + k - 1 in integers: 2**bound * k**k <= cap**k * 2**(k - 1)."""
    for removed in range(1, (1 << depth) + 1):
        assert 2 ** max_wraps(depth, removed) * removed**removed <= (1 << depth * removed) * 2 ** (removed - 1)


def test_join_at_100_000_and_its_welcome() -> None:
    """A grant that begins with the slot in which it is added has no past; the Welcome is measured whole."""
    writer = Writer.restore(params(), masters(), STREAM_KEY, bytes(16), large().snapshot())
    writer.activate(writer.epoch)
    writer.seal([(at(1), b"before")], evidence(at(1)))
    join = writer.prepare(Changes(2, 0, added=(Join(2, OPEN_SLOT),)))
    writer.adopt_delta(join)
    writer.activate(join.epoch)
    assert len(join.unsigned) + 65 <= 242
    key = SealingKey.from_bytes(hashed("reader"))
    member = Member(hashed("grant"), key.key_hash(), join.leaves[0], 2, OPEN_SLOT, join.epoch)
    assert len(writer.welcome(member, key.public_bytes)) <= 1_850


def test_resync_after_10_000_missed_commits() -> None:
    """channels.md 5: one Resync of at most 2,850 bytes."""
    writer = Writer.restore(params(), masters(), STREAM_KEY, bytes(16), large().snapshot())
    first = writer.epoch
    for _ in range(10_000):
        writer.state.log.append(0)
    key = SealingKey.from_bytes(hashed("reader"))
    member = Member(hashed("grant"), key.key_hash(), 5, 0, writer.state.tree.end(0, 5), 1)
    assert len(writer.resync(member, key.public_bytes, hashed("request"), first + 1)) <= 2_850


def test_state_at_100_000() -> None:
    assert large().state.tree.n_live == 100_000
    assert large().state.tree.stored_bytes() <= 8_000_000


def test_a_random_order_of_ends_stays_small() -> None:
    chance = random.Random(3)
    ends = [DAY * chance.randrange(1, 366) for _ in range(999)]
    writer = grown(1_000, tuple(ends))
    assert writer.state.tree.depth == 10
    assert max(size_of(writer, leaf) for leaf in chance.sample(writer.state.tree.live_leaves(), 50)) <= 700
