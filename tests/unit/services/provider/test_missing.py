"""What a reader asks for, and when: nothing twice while an answer comes, and nothing later than it has to."""

from __future__ import annotations

from dataclasses import dataclass

from node.services.provider.missing import FIRST_WAIT, HISTORY, HISTORY_AGAIN, Missing


@dataclass
class Time:
    """A clock that stands until it is told to go on."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_to_another_question_does_not_put_off_the_past() -> None:
    """A household's commits come first; its readings must not wait a quarter of a minute for that."""
    time = Time()
    parts = Missing(time)
    assert not parts.due(HISTORY, HISTORY_AGAIN)
    time.now += 0.5
    parts.arriving()
    time.now += FIRST_WAIT
    assert parts.due(HISTORY, HISTORY_AGAIN)


def test_while_an_answer_comes_nothing_is_asked_again_and_no_gap_is_asked_for() -> None:
    time = Time()
    parts = Missing(time)
    parts.due(HISTORY, HISTORY_AGAIN)
    time.now += FIRST_WAIT
    assert parts.due(HISTORY, HISTORY_AGAIN)
    parts.due("seq 7")
    for _ in range(40):
        time.now += 0.9
        parts.arriving()
        assert not parts.due(HISTORY, HISTORY_AGAIN)
        assert not parts.due("seq 7")
        assert not parts.overdue("seq 7")
