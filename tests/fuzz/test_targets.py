"""Foreign bytes into every parser of the table: noise, bent real messages, and what earlier fuzz runs have kept."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPORA, TARGETS


def bent(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """A real message with some bytes replaced, cut out, doubled or put in."""

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, max(len(data) - 1, 0)))
            length = draw(st.integers(0, 8))
            data[at : at + length] = draw(st.binary(max_size=8))
        return bytes(data)

    return build()


@pytest.mark.parametrize("name", TARGETS)
def test_only_declared_errors_come_out(name: str) -> None:
    """channels.md 6 and 3: whatever comes, a parser refuses it with an error that it declares, or reads it whole."""
    target = TARGETS[name]

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=400) | bent(target.corpus()))
    def tried(data: bytes) -> None:
        target.parse(data)

    tried()


@pytest.mark.parametrize("name", TARGETS)
def test_the_kept_corpus_is_small_and_still_read(name: str) -> None:
    """Every corpus begins with messages that the product accepts, or the fuzzer would only try the first check."""
    corpus = TARGETS[name].corpus()
    assert sum(map(len, corpus)) < 200_000
    assert any(TARGETS[name].parse(data) for data in corpus), name


def test_every_corpus_has_its_target() -> None:
    assert {path.name for path in CORPORA.iterdir()} == set(TARGETS)
