"""Which requests of a reader count as one that crossed its answer."""

from __future__ import annotations

from dataclasses import replace

from channels.asks import Ask, AskKind
from node.app.streams.asking import question_of
from tests.unit.node.projection.kit import h32

ASK = Ask(AskKind.HISTORY, h32("s"), h32("g"), h32("a"), 1_000, 7)


def test_the_pasts_of_two_streams_of_one_consent_are_two_questions() -> None:
    """Else the stream without readings would take the answer of the other, every quarter of a minute anew."""
    assert question_of(replace(ASK, sid=h32("t"))) != question_of(ASK)


def test_the_same_again_is_the_same_whenever_it_is_asked() -> None:
    assert question_of(replace(ASK, request_id=h32("b"), signed_at=1_009)) == question_of(ASK)
    for other in (replace(ASK, first=8), replace(ASK, kind=AskKind.ENVELOPES), replace(ASK, grant_id=h32("h"))):
        assert question_of(other) != question_of(ASK)
