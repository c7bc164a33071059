"""The chain of envelopes where gaps, seams and checkpoints touch, and where a restart has forgotten what came."""

from __future__ import annotations

import pytest

from channels.alarms import Dropped, Forked, Reordered, Replayed
from channels.chain import EnvelopeChain, Gap, Placed, Recent
from channels.codec import ByteReader, ByteWriter
from channels.envelope import EnvelopeHeader
from tests.unit.channels.test_chain import (
    ALL,
    E1,
    E2,
    E3,
    E4,
    E5,
    E6,
    E7,
    F2,
    F3,
    F4,
    begun,
    digest,
    envelope,
    placed,
    point,
    run,
)

G2 = envelope(2, digest(E1), b"third")


def restarted(chain: EnvelopeChain) -> EnvelopeChain:
    """The chain as a store gives it back: it has no recent envelopes."""
    out = ByteWriter()
    chain.write(out)
    return EnvelopeChain.read(ByteReader(out.done()))


def test_recent_envelopes_are_found_in_both_generations_and_forgotten_by_range() -> None:
    many = run(5_000)
    recent = Recent()
    assert recent.get(1) == b""
    recent.extend(1, many[:4_000])
    recent.extend(4_001, many[4_000:])
    assert [recent.get(seq) for seq in (1, 3_999, 4_001, 5_000, 5_001)] == [
        *(many[at - 1] for at in (1, 3_999, 4_001, 5_000)),
        b"",
    ]
    recent.forget(3_999, 4_002)
    assert [seq for seq in range(3_995, 4_006) if not recent.get(seq)] == [3_999, 4_000, 4_001, 4_002]
    at_once = Recent()
    at_once.extend(1, many)
    assert [seq for seq in range(1, 5_002) if at_once.get(seq)] == list(range(905, 5_001))


def test_exactly_the_next_one_and_the_last_missing_one_are_expected() -> None:
    chain = begun(E1, E2, E5)

    def expected(item: bytes) -> bool:
        return chain.expects(EnvelopeHeader.decode(item), item)

    assert [seq for seq, item in enumerate(ALL, 1) if expected(item)] == [4, 6]
    assert not expected(F4), "the gap is closed by the one that its successor names"
    assert not expected(envelope(6, digest(E4), b"another branch"))


def test_the_oldest_gap_gives_way_and_the_chain_begins_behind_it() -> None:
    chain = begun(E1)
    for seq in range(3, 3 + 2 * 256, 2):
        placed(chain, envelope(seq, bytes(32), b"gap"))
    assert (chain.start, chain.gaps[0].first, len(chain.gaps)) == (1, 2, 256)
    placed(chain, envelope(515, bytes(32), b"gap"))
    assert (chain.start, chain.gaps[0].first, len(chain.gaps)) == (3, 4, 256)


def test_what_the_writer_signed_against_a_forgery_opens_a_gap_that_is_final_when_it_fills() -> None:
    chain = begun(E1, F2)
    chain.checkpoint(*point(E3, 3))
    assert placed(chain, E3).withdrawn == ((2, 2),)
    assert chain.gaps == [Gap(2, 2, digest(E2), digest(E1), True)]
    assert placed(chain, E2) == Placed((E2,), (Reordered(2, (E2,)),), ((2, 2), (1, 1)))


def test_a_gap_whose_lower_edge_is_not_known_closes_in_silence() -> None:
    """A store written before gaps knew it. The chain begins behind it: nobody can say what the lower run ended with."""
    chain = begun(E1, E4)
    chain.gaps[0].before = b""
    chain = restarted(chain)
    assert placed(chain, E3, E2) == Placed((E2,), (Reordered(2, (E2,)),))
    assert (chain.start, chain.gaps) == (2, [])


def test_a_seam_over_an_envelope_that_is_forgotten_moves_the_beginning() -> None:
    """After a restart nobody knows what the forgery followed: what lies below is not linked to anything above."""
    chain = begun(E1, F2, E5, E7)
    chain.checkpoint(*point(E5, 5))
    placed(chain, E4)
    chain = restarted(chain)
    assert placed(chain, E3) == Placed((E3,), (Reordered(3, (E3,)), Forked("envelope", 2, (E3,))), ((3, 3),), ((2, 2),))
    assert (chain.start, [(gap.first, gap.last) for gap in chain.gaps]) == (3, [(6, 6)])
    assert placed(chain, E2) == Placed(alarms=(Replayed(2, (E2,)),))
    assert placed(chain, E6).taken == (E6,)
    assert chain.checkpoint(*point(E7, 7)) == Placed(final=((3, 7),))


@pytest.mark.parametrize("missing", [1, 2])
def test_a_checkpoint_over_the_last_missing_one_counts_after_a_restart(missing: int) -> None:
    """Its successor is forgotten; the gap itself knows the hash."""
    chain = restarted(begun(E1, ALL[missing + 1]))
    signed, data = point(ALL[missing], missing)
    assert chain.checkpoint(signed, data) == Placed()
    assert chain.gaps[0].vouched
    assert placed(chain, ALL[missing]).final[:1] == ((missing + 1, missing + 1),)


def test_what_is_forgotten_contradicts_nothing() -> None:
    chain = restarted(begun(E1, E2, E3, E4))
    assert chain.checkpoint(*point(E2, 2)) == Placed()
    assert chain.checkpoint(*point(F2, 2)) == Placed()
    assert (chain.next_seq, chain.tip) == (5, digest(E4))
    assert placed(chain, E5) == Placed((E5,))
    assert chain.checkpoint(*point(E4)) == Placed(final=((1, 4),)), "its successor names it"


def test_a_checkpoint_for_another_one_in_a_gap_of_one_is_a_fork_above_it() -> None:
    chain = begun(E1, E3)
    signed, data = point(F2, 2)
    assert chain.checkpoint(signed, data) == Placed((), (Forked("checkpoint", 2, (E3, data)),), (), ((2, 3),))
    assert chain.gaps == [Gap(2, 2, digest(F2), digest(E1), True)]
    assert (chain.start, chain.next_seq, chain.tip) == (1, 3, digest(F2))
    assert placed(chain, F2) == Placed((F2,), (Reordered(2, (F2,)),), ((2, 2), (1, 1)))


def test_a_forgery_directly_above_a_gap_makes_the_gap_longer() -> None:
    chain = begun(E1, F3)
    assert chain.checkpoint(*point(E3, 3)).withdrawn == ((3, 3),)
    assert chain.gaps == [Gap(2, 3, digest(E3), digest(E1), True)]


def test_a_forgery_further_above_a_gap_is_a_gap_of_its_own() -> None:
    chain = begun(E1, E3, F4)
    assert chain.checkpoint(*point(E4, 4)).withdrawn == ((4, 4),)
    assert chain.gaps == [Gap(2, 2, digest(E2), digest(E1)), Gap(4, 4, digest(E4), digest(E3), True)]


def test_a_forgery_that_is_forgotten_moves_the_beginning_unless_it_is_the_beginning() -> None:
    first = restarted(begun(F3))
    signed, data = point(E3, 3)
    assert first.checkpoint(signed, data) == Placed((), (Forked("checkpoint", 3, (data,)),), (), ((3, 3),))
    assert (first.start, first.gaps) == (3, [Gap(3, 3, digest(E3), b"", True)])
    assert placed(first, E3).taken == (E3,)
    later = restarted(begun(E1, E2, F3))
    assert later.checkpoint(signed, data).withdrawn == ((3, 3),)
    assert (later.start, later.next_seq, later.tip, later.gaps) == (4, 4, digest(E3), [])
    assert placed(later, E4) == Placed((E4,))
    assert later.checkpoint(*point(E4)) == Placed(final=((4, 4),))


def test_a_gap_above_a_forgery_keeps_its_place() -> None:
    """One gap begins behind the forgery, and what the member claims of its end changes nothing."""
    for above in (E6, envelope(5, digest(E3), b"names what lies below the gap")):
        chain = begun(E1, E2, F3, above)
        missing = chain.gaps[0].last
        assert chain.checkpoint(*point(E3, 3)).withdrawn == ((3, 3),)
        assert [(gap.first, gap.last, gap.before) for gap in chain.gaps] == [
            (3, 3, digest(E2)),
            (4, missing, digest(E3)),
        ]


def test_a_seam_that_names_neither_the_forgery_nor_what_was_signed_stays() -> None:
    chain = begun(E1, F2, E4)
    assert Forked("envelope", 2, (F2, E3)) in placed(chain, E3).alarms
    assert chain.checkpoint(*point(G2, 2)).withdrawn == ((2, 2),)
    assert chain.gaps == [Gap(2, 2, digest(G2), digest(E1), True), Gap(3, 2, digest(E2), digest(G2))]


def test_a_drop_and_a_late_one_after_a_restart_name_what_is_left_of_the_evidence() -> None:
    chain = restarted(begun(E1, E2))
    assert placed(chain, E4) == Placed((E4,), (Dropped(3, 3, (E4,)),))
    assert placed(chain, F3) == Placed(alarms=(Forked("envelope", 3, (F3, E4)),))
