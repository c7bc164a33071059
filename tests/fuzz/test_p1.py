"""Foreign bytes at the P1 port: nothing raises, memory stays bounded, nothing invented is accepted.

Seeds are mutated telegrams, so that the mutants get past the first checks."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.meter.clock_rule import ClockPolicy, ClockView
from node.services.meter.counters import MeterCounters
from node.services.meter.errors import TelegramRefused
from node.services.meter.framing import Candidate, Framer
from node.services.meter.pipeline import Accepted, MeterPipeline
from node.services.meter.telegram import read_telegram
from tests.unit.services.meter.samples import lines, reference_crc, seal, telegram

ONE = telegram()
NOW = 1_795_267_800
LIMIT = 8192
LATIN = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)
ALMOST = st.from_regex(r"[01]-[0-4]:[0-9]{1,3}\.[0-9]{1,3}\.[0-9](\([0-9A-Za-z*.:]{0,20}\)){0,3}", fullmatch=True)


@given(st.binary(max_size=4000))
def test_random_bytes(data: bytes) -> None:
    meter = MeterPipeline(ClockPolicy(max_backlog=10**9), MeterCounters())
    assert meter.receive(data, ClockView(NOW, NOW)) == []


@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"/", b"!", b"\r\n", b"1-0:1.8.1(", b")", ONE, ONE[:50]]))
    )
)
def test_random_pieces_of_telegrams(parts: list[bytes]) -> None:
    meter = MeterPipeline(ClockPolicy(), MeterCounters())
    results = meter.receive(b"".join(parts), ClockView(NOW, NOW))
    for found in results:
        assert found.electricity.meter_time == NOW


@settings(max_examples=300)
@given(st.data())
def test_content_with_a_right_checksum(data: st.DataObject) -> None:
    """A forger has no trouble with a CRC: changed lines under a right one are read strictly or refused."""
    content = lines()
    place = data.draw(st.integers(0, len(content) - 2))
    text = data.draw(st.one_of(LATIN, ALMOST))
    content[place] = text
    body = "\r\n".join(content).encode("latin-1")
    try:
        found = read_telegram(Candidate(body, reference_crc(body)))
    except TelegramRefused:
        return
    assert all(type(value) is int and 0 <= value < 10**12 for value in found.registers.values())


def test_ten_thousand_mutants() -> None:
    """10,000 mutated streams, fixed seed: 0 uncaught, bounded buffer, and the good telegram behind is always read."""
    rng = random.Random(20260101)
    counters = MeterCounters()
    framer = Framer(counters, LIMIT)
    wanted = read_telegram(Candidate(ONE[:-6], int(ONE[-6:-2], 16)))
    for _ in range(10_000):
        mutant = bytearray(ONE)
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(mutant))
            kind = rng.randrange(4)
            if kind == 0:
                mutant[place] = rng.randrange(256)
            elif kind == 1:
                del mutant[place : place + rng.randrange(1, 40)]
            elif kind == 2:
                mutant[place:place] = rng.randbytes(rng.randrange(1, 40))
            else:
                mutant[place:place] = mutant[: rng.randrange(1, 200)]
            if not mutant:
                mutant = bytearray(b"/")
        accepted = []
        # The line ends complete whatever trailer the mutant left waiting.
        for found in framer.feed(bytes(mutant) + b"\r\n\r\n\r\n" + ONE):
            try:
                accepted.append(read_telegram(found))
            except TelegramRefused:
                continue
        assert accepted[-1] == wanted
        assert all(one == wanted for one in accepted)
        assert framer.pending <= LIMIT + 7


def test_a_flood_without_end_is_dropped_in_pieces() -> None:
    meter = MeterPipeline(ClockPolicy(), MeterCounters())
    for _ in range(200):
        assert meter.receive(b"/" + b"0-0:1.0.0(" * 1000, ClockView(NOW, NOW)) == []
    [found] = meter.receive(b"\r\n" + ONE, ClockView(NOW, NOW))
    assert isinstance(found, Accepted)


def test_a_huge_line_of_brackets_is_linear() -> None:
    """No pattern may backtrack: 8 kB of almost-objects are refused as fast as any."""
    content = lines()
    content.insert(3, "0-0:99.1.1" + "()" * 3500 + "(")
    body = seal("\r\n".join(content).encode())
    [found] = Framer(MeterCounters()).feed(body)
    try:
        read_telegram(found)
    except TelegramRefused:
        return
    raise AssertionError("an unfinished bracket was taken")
