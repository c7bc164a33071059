"""channels.md 6: drop, replay, reorder and fork of envelopes, each reported with the evidence.

The chain opens nothing, so these envelopes hold noise: what counts is who stands where and names whom.
"""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.alarms import Dropped, Forked, Reordered, Replayed
from channels.chain import EnvelopeChain, Placed
from channels.checkpoint import Checkpoint
from channels.codec import ByteReader, ByteWriter
from channels.envelope import FIRST_HASH, EnvelopeHeader, Lane
from tests.unit.channels.world import hashed

SID = hashed("sid")
LANE = Lane(SID, 1, 0, bytes(16))


def envelope(seq: int, previous: bytes, body: bytes) -> bytes:
    return LANE.prefix() + seq.to_bytes(8, "big") + previous + body + bytes(16)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def run(count: int, branch: str = "", after: list[bytes] | None = None) -> list[bytes]:
    """`after` and `count` envelopes more, each naming the one before."""
    made = list(after or [])
    for seq in range(len(made) + 1, len(made) + count + 1):
        made.append(envelope(seq, digest(made[-1]) if made else FIRST_HASH, f"{branch}{seq}".encode()))
    return made


E1, E2, E3, E4, E5, E6, E7 = ALL = run(7)
F2 = envelope(2, digest(E1), b"fork")
F3 = envelope(3, digest(E2), b"fork")
F4 = envelope(4, digest(E3), b"fork")


def placed(chain: EnvelopeChain, *envelopes: bytes) -> Placed:
    """What the last of them brings."""
    found = Placed()
    for item in envelopes:
        found = chain.place(EnvelopeHeader.decode(item), item)
    return found


def begun(*envelopes: bytes) -> EnvelopeChain:
    chain = EnvelopeChain()
    placed(chain, *envelopes)
    return chain


def point(last: bytes, count: int = 1, last_hash: bytes = b"") -> tuple[Checkpoint, bytes]:
    """A checkpoint over `count` envelopes up to `last`, and bytes that stand for it."""
    seq = EnvelopeHeader.decode(last).seq
    found = Checkpoint(SID, 1, 0, seq - count + 1, count, last_hash or digest(last), bytes(32))
    return found, b"checkpoint %d" % seq


def test_what_comes_in_order_is_taken_in_silence() -> None:
    chain = EnvelopeChain()
    for item in ALL:
        assert placed(chain, item) == Placed((item,))
    assert (chain.start, chain.next_seq, chain.tip) == (1, 8, digest(E7))


def test_a_reader_may_begin_anywhere() -> None:
    chain = begun(E3)
    assert (chain.start, chain.next_seq) == (3, 4)
    assert placed(chain, E4) == Placed((E4,))
    assert placed(chain, E2) == Placed(alarms=(Replayed(2, (E2,)),))


def test_a_drop_names_the_gap_and_both_edges() -> None:
    chain = begun(E1, E2)
    assert placed(chain, E5) == Placed((E5,), (Dropped(3, 4, (E2, E5)),))
    assert placed(chain, E7) == Placed((E7,), (Dropped(6, 6, (E5, E7)),))
    assert [(gap.first, gap.last, gap.expected) for gap in chain.gaps] == [(3, 4, digest(E4)), (6, 6, digest(E6))]


def test_late_envelopes_are_reported_and_taken_as_far_as_the_hashes_reach() -> None:
    chain = begun(E1, E2, E6)
    assert placed(chain, E3) == Placed((), (Reordered(3, (E3,)),))
    assert placed(chain, E5) == Placed((E5,), (Reordered(5, (E5,)),))
    assert placed(chain, E4) == Placed((E3, E4), (Reordered(4, (E4,)),))
    assert not chain.gaps
    for seq, item in enumerate((E1, E2, E3, E4, E5, E6), 1):
        assert placed(chain, item) == Placed(alarms=(Replayed(seq, (item,)),))


def test_a_replay_is_reported_where_it_waits_too() -> None:
    chain = begun(E1, E4, E2)
    assert placed(chain, E2) == Placed(alarms=(Replayed(2, (E2,)),))
    assert placed(chain, E4) == Placed(alarms=(Replayed(4, (E4,)),))


def test_two_envelopes_with_one_seq_are_both_the_evidence() -> None:
    chain = begun(E1, E2, E3)
    assert placed(chain, F2) == Placed(alarms=(Forked("envelope", 2, (E2, F2)),))
    assert placed(chain, F3) == Placed(alarms=(Forked("envelope", 3, (E3, F3)),))
    assert placed(chain, E4) == Placed((E4,))


def test_an_envelope_that_follows_another_branch_is_a_fork_of_its_predecessor() -> None:
    chain = begun(E1, F2)
    assert placed(chain, E3) == Placed(alarms=(Forked("envelope", 2, (F2, E3)),))
    restarted = EnvelopeChain()
    restarted.start, restarted.next_seq, restarted.tip = 1, 3, digest(F2)
    assert placed(restarted, E3) == Placed(alarms=(Forked("envelope", 2, (E3,)),))


def test_the_next_envelope_is_taken_against_a_forgery_where_the_writer_signed_for_it() -> None:
    chain = begun(E1, F2)
    other, other_data = point(F3)
    chain.checkpoint(other, other_data)
    assert placed(chain, E3) == Placed(alarms=(Forked("envelope", 2, (F2, E3)),)), "signed is another one"
    signed, data = point(E3, 3)
    chain.checkpoint(signed, data)
    assert placed(chain, E3) == Placed((E3,), (Forked("envelope", 2, (F2, E3)),), (), ((2, 2),))
    assert chain.covered() == Placed(final=((3, 3),))
    assert placed(chain, E2) == Placed((E2,), (Reordered(2, (E2,)),), ((2, 2), (1, 1)))


def test_forks_inside_a_gap() -> None:
    """Two late ones with one seq; a late one that its successor does not name."""
    chain = begun(E1, E2, E5)
    assert placed(chain, E3) == Placed(alarms=(Reordered(3, (E3,)),))
    assert placed(chain, F3) == Placed(alarms=(Forked("envelope", 3, (E3, F3)),))
    assert placed(chain, F4) == Placed(alarms=(Forked("envelope", 4, (F4, E5)),))
    assert placed(chain, E4) == Placed((E3, E4), (Reordered(4, (E4,)),))


def test_a_forged_late_envelope_is_found_when_its_successor_comes() -> None:
    chain = begun(E1, E2, E5)
    assert placed(chain, F3) == Placed(alarms=(Reordered(3, (F3,)),))
    assert placed(chain, E4) == Placed((E4,), (Reordered(4, (E4,)), Forked("envelope", 3, (F3, E4))))
    assert placed(chain, E3) == Placed((E3,), (Reordered(3, (E3,)),))
    assert not chain.gaps


def test_a_gap_that_closes_on_another_branch_names_the_envelope_before_it() -> None:
    chain = begun(E1, F2, E5, E4)
    assert placed(chain, E3) == Placed((E3,), (Reordered(3, (E3,)), Forked("envelope", 2, (F2, E3))))
    longer = begun(E1, F2, E6, E3, E4)
    assert placed(longer, E5) == Placed((E3, E4, E5), (Reordered(5, (E5,)), Forked("envelope", 2, (F2, E3))))


def test_a_checkpoint_makes_the_run_before_it_final() -> None:
    chain = begun(E1, E2, E3)
    assert chain.checkpoint(*point(E2, 2)) == Placed(final=((1, 2),))
    assert chain.checkpoint(*point(E3)) == Placed(final=((1, 3),))


def test_a_checkpoint_does_not_reach_across_a_gap_until_it_is_filled() -> None:
    chain = begun(E1, E2, E5, E6)
    assert chain.checkpoint(*point(E6, 6)) == Placed(final=((5, 6),))
    assert placed(chain, E4) == Placed((E4,), (Reordered(4, (E4,)),), ((4, 4),))
    assert placed(chain, E3) == Placed((E3,), (Reordered(3, (E3,)),), ((3, 3), (1, 2)))


def test_what_a_gap_brings_behind_the_last_checkpoint_stays_provisional() -> None:
    chain = begun(E1, E2)
    chain.checkpoint(*point(E2, 2))
    placed(chain, E5)
    assert placed(chain, E4).final == ()
    assert placed(chain, E3).final == ()


def test_a_checkpoint_waits_for_its_envelopes_and_shows_that_the_end_was_cut_off() -> None:
    chain = begun(E1)
    signed, data = point(E3, 2)
    assert chain.checkpoint(signed, data) == Placed()
    assert chain.covered() == Placed()
    assert chain.missing_tail() == Dropped(2, 3, (data,))
    placed(chain, E2, E3)
    assert chain.covered() == Placed(final=((1, 3),))
    assert chain.missing_tail() is None
    early = EnvelopeChain()
    early.checkpoint(signed, data)
    assert early.missing_tail() is None, "a reader that has received nothing misses nothing"


def test_checkpoints_of_nothing_and_from_before_the_reader_say_nothing() -> None:
    chain = begun(E3)
    assert chain.checkpoint(*point(E2, 2)) == Placed()
    empty = Checkpoint(SID, 1, 1, 9, 0, digest(E7), bytes(32))
    assert chain.checkpoint(empty, b"empty") == Placed()
    assert not chain.pending


def test_a_checkpoint_against_the_chain_proves_the_fork_and_leads_on() -> None:
    """What a member forged is withdrawn; the reader goes on from what the writer signed, and gets the right one."""
    forged = run(2, "forged ", [E1, E2, F3])
    chain = begun(*forged)
    signed, data = point(E3)
    assert chain.checkpoint(signed, data) == Placed((), (Forked("checkpoint", 3, (F3, data)),), (), ((3, 5),))
    assert (chain.next_seq, chain.tip) == (4, digest(E3))
    assert placed(chain, E4) == Placed((E4,))
    assert chain.checkpoint(*point(E4)) == Placed(final=((4, 4),))
    assert placed(chain, F3) == Placed(alarms=(Forked("envelope", 3, (F3, E4)),))
    assert placed(chain, E3) == Placed((E3,), (Reordered(3, (E3,)),), ((3, 3), (1, 2)))


def test_a_checkpoint_against_a_longer_forgery_leads_back_to_where_it_began() -> None:
    forged = run(3, "forged ", [E1])
    chain = begun(*forged)
    signed, data = point(E4, 4)
    assert chain.checkpoint(signed, data).withdrawn == ((4, 4),)
    found = placed(chain, E4)
    assert found.taken == (E4,)
    assert found.final == ((4, 4),)
    assert found.withdrawn == ((3, 3),)
    assert found.alarms == (Reordered(4, (E4,)), Forked("envelope", 3, (forged[2], E4)))
    assert placed(chain, E3).withdrawn == ((2, 2),)
    assert placed(chain, E2) == Placed((E2,), (Reordered(2, (E2,)),), ((2, 2), (1, 1)))
    assert not chain.gaps
    assert placed(chain, E5) == Placed((E5,))


def test_a_forgery_before_a_gap_never_becomes_final() -> None:
    """A member's envelope at the edge, a relay that drops what would contradict it, and the rest comes late.

    The runs meet at a seam: a checkpoint above makes the upper one final, shows the forgery and lets the right
    envelope in.
    """
    for signed_first in (False, True):
        chain = begun(E1, F2, E5)
        final = [chain.checkpoint(*point(E5, 5)).final] if signed_first else []
        final.append(placed(chain, E4).final)
        last = placed(chain, E3)
        assert Forked("envelope", 2, (F2, E3)) in last.alarms
        final.append(last.final)
        withdrawn = last.withdrawn
        if not signed_first:
            late = chain.checkpoint(*point(E5, 5))
            final.append(late.final)
            withdrawn = late.withdrawn
        seqs = {seq for ranges in final for first, end in ranges for seq in range(first, end + 1)}
        assert seqs == {3, 4, 5}
        assert withdrawn == ((2, 2),)
        assert placed(chain, F2) == Placed(alarms=(Forked("envelope", 2, (F2, E3)),))
        assert placed(chain, E2) == Placed((E2,), (Reordered(2, (E2,)),), ((2, 2), (1, 1)))


def test_a_forgery_between_two_gaps_never_becomes_final() -> None:
    """A checkpoint above the second gap says nothing about what fills the first one."""
    forged = run(4, "forged ", [E1])
    chain = begun(E1, forged[3], E7)
    assert chain.checkpoint(*point(E7, 7)).final == ((7, 7),)
    assert placed(chain, forged[2]) == Placed((forged[2],), (Reordered(3, (forged[2],)),))
    assert placed(chain, E6).final == ((6, 6),)
    found = placed(chain, E5)
    assert Forked("envelope", 4, (forged[3], E5)) in found.alarms or found.final == ((5, 5),)


def test_a_signed_run_below_a_forged_one_is_final_alone() -> None:
    forged = run(3, "forged ", [E1])
    chain = begun(E1, E2, forged[3])
    assert chain.checkpoint(*point(E2, 2)) == Placed(final=((1, 2),))
    late = placed(chain, forged[2])
    assert Forked("envelope", 2, (E2, forged[2])) in late.alarms
    assert late.final == ()
    found = chain.checkpoint(*point(E4, 2))
    assert found.withdrawn == ((4, 4),)
    assert placed(chain, E4).final == ((4, 4),)
    assert placed(chain, E3).final == ((3, 3), (1, 2))


def test_a_checkpoint_inside_a_gap_lets_in_what_it_signs_for() -> None:
    """A member forged an envelope far ahead: what the writer seals looks late, and its checkpoints are the way back."""
    far = envelope(9, bytes(32), b"far ahead")
    chain = begun(E1, far)
    assert placed(chain, E2) == Placed(alarms=(Reordered(2, (E2,)),))
    assert placed(chain, E3) == Placed(alarms=(Reordered(3, (E3,)),))
    assert placed(chain, E5) == Placed(alarms=(Reordered(5, (E5,)),))
    assert chain.checkpoint(*point(E3, 2)) == Placed((E2, E3), (), ((2, 3), (1, 1)))
    assert [(gap.first, gap.last, sorted(gap.held)) for gap in chain.gaps] == [(4, 8, [5])]
    assert chain.checkpoint(*point(E5, 2)) == Placed((E5,), (), ((5, 5),))
    assert placed(chain, E4) == Placed((E4,), (Reordered(4, (E4,)),), ((4, 4), (1, 3)))


def test_a_checkpoint_for_the_last_missing_one_is_checked_against_its_successor() -> None:
    chain = begun(E1, E4)
    signed, data = point(E3)
    assert chain.checkpoint(signed, data) == Placed(final=())
    other, other_data = point(F3)
    found = chain.checkpoint(other, other_data)
    assert found.alarms == (Forked("checkpoint", 3, (E4, other_data)),)
    assert found.withdrawn == ((3, 4),)
    assert placed(chain, F3) == Placed((F3,), (Reordered(3, (F3,)),), ((3, 3),))


def test_memory_is_bounded_whatever_a_relay_sends() -> None:
    """A gap of millions, thousands of gaps, of late envelopes and of checkpoints: the oldest give way."""
    chain = begun(E1)
    for seq in range(3, 1100, 2):
        placed(chain, envelope(seq, bytes(32), b"gap"))
    assert len(chain.gaps) == 256
    wide = begun(E1, envelope(10_000_000, bytes(32), b"far"))
    for seq in range(2, 1100):
        placed(wide, envelope(seq, bytes(32), b"late"))
    assert [len(gap.held) for gap in wide.gaps] == [1024]
    for seq in range(1, 600):
        wide.checkpoint(Checkpoint(SID, 1, 0, 20_000_000 + seq, 1, bytes(32), bytes(32)), b"x")
    assert len(wide.pending) == 256
    assert max(wide.pending) == 20_000_599


def test_a_replay_is_told_from_a_fork_over_thousands_of_envelopes() -> None:
    many = run(9_000)
    chain = begun(*many[:100])
    chain.extend(many[100:3000], digest(many[2999]))
    chain.extend(many[3000:6000], digest(many[5999]))
    chain.extend(many[6000:9000], digest(many[8999]))
    assert placed(chain, many[8998]) == Placed(alarms=(Replayed(8999, (many[8998],)),))
    fork = envelope(8_000, bytes(32), b"fork")
    assert placed(chain, fork) == Placed(alarms=(Forked("envelope", 8_000, (many[7999], fork)),))
    old = envelope(1_000, bytes(32), b"fork")
    assert placed(chain, old) == Placed(alarms=(Replayed(1_000, (old,)),)), "forgotten: it cannot be compared"


def test_a_stored_chain_goes_on_where_it_stood() -> None:
    chain = begun(E1, E2, E5)
    chain.checkpoint(*point(E2, 2))
    out = ByteWriter()
    chain.write(out)
    again = EnvelopeChain.read(ByteReader(out.done()))
    for one in (chain, again):
        assert placed(one, E4) == Placed((E4,), (Reordered(4, (E4,)),))
        assert placed(one, E3).taken == (E3,)
        assert placed(one, E6) == Placed((E6,))
        assert (one.start, one.next_seq, one.tip) == (1, 7, digest(E6))


def test_a_stored_gap_keeps_what_a_checkpoint_said_of_it() -> None:
    """Without it, what comes late after a restart would stay provisional, or be taken for another's."""
    chain = begun(E1, E5)
    chain.checkpoint(*point(E4, 4))
    [gap] = chain.gaps
    assert (gap.first, gap.last, gap.vouched) == (2, 4, True)
    for before in (gap.before, b""):
        gap.before = before
        out = ByteWriter()
        chain.write(out)
        again = EnvelopeChain.read(ByteReader(out.done()))
        assert again.gaps == [gap]
    assert [step.final for step in (placed(chain, E4), placed(chain, E3))] == [((4, 4),), ((3, 3),)]


ORIGINAL = run(9)
BRANCHES = [ORIGINAL, *(run(9 - fork, f"forged {fork} ", ORIGINAL[:fork]) for fork in range(9))]
STEPS = st.lists(st.tuples(st.integers(-1, 9), st.integers(1, 9)), max_size=40)


def attack(steps: list[tuple[int, int]]) -> tuple[set[bytes], list[object]]:
    """Play what a relay and a member may do; the envelopes that a reader takes for final, and the alarms.

    A step is (branch, seq): -1 delivers the checkpoint over the originals up to seq, 0 the original, n the envelope
    of the branch that a member forged from seq n on.
    """
    chain, kept, final, alarms, came = EnvelopeChain(), dict[int, bytes](), set[bytes](), list[object](), set[bytes]()
    for branch, seq in steps:
        if branch < 0:
            signed, data = point(ORIGINAL[seq - 1], seq)
            found, message = chain.checkpoint(signed, data), data
        else:
            message = BRANCHES[branch][seq - 1]
            found = placed(chain, message)
        came.add(message)
        for step in (found, chain.covered()):
            for first, last in step.withdrawn:
                assert all(kept.get(number) not in final for number in range(first, last + 1)), "final and withdrawn"
                kept = {number: item for number, item in kept.items() if not first <= number <= last}
            for item in step.taken:
                number = EnvelopeHeader.decode(item).seq
                assert number not in kept, "two envelopes of one seq are kept"
                kept[number] = item
            for first, last in step.final:
                final |= {kept[number] for number in range(first, last + 1) if number in kept}
            alarms.extend(step.alarms)
    for alarm in alarms:
        assert set(getattr(alarm, "evidence")) <= came  # noqa: B009
    return final, alarms


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_a_malicious_relay_makes_alarms_and_never_a_final_lie(steps: list[tuple[int, int]]) -> None:
    """Any order, any repetition, with branches that a member forged: final is only what the writer signed for."""
    final, _ = attack(steps)
    assert final <= set(ORIGINAL)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(STEPS)
def test_a_malicious_relay_makes_alarms_and_never_a_final_lie_long(steps: list[tuple[int, int]]) -> None:
    final, _ = attack(steps)
    assert final <= set(ORIGINAL)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_a_relay_did_the_log_heals_once_all_of_it_comes(steps: list[tuple[int, int]]) -> None:
    """After the attack the store hands out everything, as often as it is asked: all that can be final is final."""
    heals(steps)


def heals(steps: list[tuple[int, int]]) -> None:
    honest = [*((0, seq) for seq in range(9, 0, -1)), (-1, 9)]
    began = next(seq for branch, seq in [*steps, *honest] if branch >= 0)
    final, _ = attack([*steps, *honest * 10])
    assert final <= set(ORIGINAL)
    assert {ORIGINAL[seq - 1] for seq in range(began + 1, 10)} <= final


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(STEPS)
def test_whatever_a_relay_did_the_log_heals_once_all_of_it_comes_long(steps: list[tuple[int, int]]) -> None:
    heals(steps)


def test_a_final_envelope_is_not_withdrawn_for_a_seam_that_a_checkpoint_closed() -> None:
    """A forgery first, late originals above it that do not name it, then the checkpoint over the forgery's original.

    The right envelope makes the runs one. Left standing, the seam would have the next checkpoint withdraw it.
    """
    chain, forged = EnvelopeChain(), BRANCHES[1][1]
    for item in (forged, ORIGINAL[3], ORIGINAL[2]):
        placed(chain, item)
    assert chain.checkpoint(*point(ORIGINAL[1], 2)).withdrawn == ((2, 2),)
    assert placed(chain, ORIGINAL[1]).final == ((2, 2),)
    placed(chain, ORIGINAL[4])
    assert chain.checkpoint(*point(ORIGINAL[4], 5)) == Placed(final=((2, 5),))


def test_a_seam_directly_on_a_gap_is_the_one_that_opens() -> None:
    """A checkpoint splits a gap, a forgery fills the upper part and is shown to be one: nothing final goes with it."""
    chain = begun(ORIGINAL[0], BRANCHES[1][6])
    chain.checkpoint(*point(ORIGINAL[4], 5))
    placed(chain, BRANCHES[1][5])
    for item in (ORIGINAL[8], ORIGINAL[7]):
        placed(chain, item)
    chain.checkpoint(*point(ORIGINAL[8], 9))
    seen = [placed(chain, ORIGINAL[seq - 1]) for seq in range(7, 1, -1)]
    assert [step.withdrawn for step in seen] == [((6, 6),), (), (), (), (), ()]
    assert [step.final for step in seen] == [((7, 7),), ((6, 6),), ((5, 5),), ((4, 4),), ((3, 3),), ((2, 2), (1, 1))]
    assert chain.gaps == []


@settings(max_examples=200, deadline=None)
@given(st.permutations(range(1, 10)), st.integers(0, 9))
def test_nothing_but_the_writers_own_order_is_silent(order: list[int], dropped: int) -> None:
    """Drop and reorder without forgery: every deviation is reported, and the clean order never is."""
    delivered = [seq for seq in order if seq != dropped]
    _, alarms = attack([(0, seq) for seq in delivered])
    contiguous = delivered == list(range(delivered[0], delivered[0] + len(delivered)))
    assert bool(alarms) == (not contiguous)


@pytest.mark.parametrize("lost", range(2, 8))
def test_every_single_loss_is_reported_and_healed(lost: int) -> None:
    chain, alarms = EnvelopeChain(), list[object]()
    for seq, item in enumerate(ORIGINAL, 1):
        if seq != lost:
            alarms += placed(chain, item).alarms
    assert alarms == [Dropped(lost, lost, (ORIGINAL[lost - 2], ORIGINAL[lost]))]
    assert placed(chain, ORIGINAL[lost - 1]).taken == (ORIGINAL[lost - 1],)
    assert chain.checkpoint(*point(ORIGINAL[-1], 9)) == Placed(final=((1, 9),))
