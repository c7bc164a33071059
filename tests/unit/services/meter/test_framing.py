from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.meter.counters import MeterCounters, Outcome
from node.services.meter.framing import Candidate, Framer
from tests.unit.services.meter.samples import telegram

ONE = telegram()
CAUSES = (Outcome.NOISE_BYTES, Outcome.TRUNCATED, Outcome.OVERSIZE, Outcome.BAD_TRAILER)


def run(pieces: list[bytes], limit: int = 8192) -> tuple[list[Candidate], dict[Outcome, int], int]:
    counters = MeterCounters()
    framer = Framer(counters, limit)
    found = [candidate for piece in pieces for candidate in framer.feed(piece)]
    return found, {cause: counters[cause] for cause in CAUSES}, framer.pending


def test_one_telegram() -> None:
    [found], skipped, pending = run([ONE])
    assert found.body == ONE[:-6]
    assert found.crc == int(ONE[-6:-2], 16)
    assert not any(skipped.values())
    assert pending == 0


def test_no_checksum_is_said_so() -> None:
    [found], _, _ = run([b"/old\r\n\r\n!\r\n"])
    assert found == Candidate(b"/old\r\n\r\n!", None)


def test_joining_in_the_middle_is_noise_until_the_next_one() -> None:
    found, skipped, _ = run([ONE[100:] + ONE])
    assert len(found) == 1
    assert skipped[Outcome.NOISE_BYTES] == len(ONE) - 100


def test_truncated_then_whole() -> None:
    found, skipped, _ = run([ONE[:200] + ONE])
    assert [c.body for c in found] == [ONE[:-6]]
    assert skipped[Outcome.TRUNCATED] == 1


def test_interleaved_keeps_the_inner_one() -> None:
    found, skipped, _ = run([ONE[:150] + ONE + ONE[150:] + ONE])
    assert [c.body for c in found] == [ONE[:-6]] * 2
    assert skipped[Outcome.TRUNCATED] == 1
    assert skipped[Outcome.NOISE_BYTES] == len(ONE) - 150


def test_bad_trailer_does_not_swallow_the_next_one() -> None:
    found, skipped, _ = run([ONE[:-6] + b"1Z" + ONE])
    assert [c.body for c in found] == [ONE[:-6]]
    assert skipped[Outcome.BAD_TRAILER] == 1


def test_oversize_is_dropped_and_memory_stays_bounded() -> None:
    counters = MeterCounters()
    framer = Framer(counters, 1024)
    for _ in range(1000):
        framer.feed(b"/" + b"x" * 4095)
        assert framer.pending <= 1024 + 7
    assert counters[Outcome.OVERSIZE] >= 999
    assert len(framer.feed(b"\r\n" + ONE)) == 1


def test_a_limit_that_no_telegram_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        Framer(MeterCounters(), 10)


@given(st.data())
def test_chopping_never_matters(data: st.DataObject) -> None:
    """Any chopping of a stream with every kind of damage gives the same candidates and the same counts."""
    parts = st.sampled_from([ONE, ONE[:120], ONE[60:], b"//!!", b"!\r\n", b"noise", ONE[:-3], b"/" + b"z" * 900])
    stream = b"".join(data.draw(st.lists(parts, max_size=8)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    edges = [0, *cuts, len(stream)]
    chopped = [stream[a:b] for a, b in itertools.pairwise(edges)]
    for limit in (600, 8192):
        assert run(chopped, limit) == run([stream], limit)
        assert run([bytes([byte]) for byte in stream], limit) == run([stream], limit)
