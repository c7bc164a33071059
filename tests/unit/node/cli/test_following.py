"""Following readings: late ones, provisional ones that become final, nothing twice."""

from __future__ import annotations

from itertools import islice
from typing import Any

from node.cli.following import OVERLAP_S, news


def row(time: int, seq: int, provisional: bool = False) -> dict[str, Any]:
    return {"time": time, "epoch": 1, "seq": seq, "provisional": provisional}


class Node:
    """Answers as the node does; `later` is what is there after each further look."""

    def __init__(self, *later: list[dict[str, Any]]) -> None:
        self.later = list(later)
        self.rows: list[dict[str, Any]] = []
        self.asked: list[int | None] = []
        self.pause()

    def pause(self) -> None:
        if self.later:
            new = self.later.pop(0)
            kept = [old for old in self.rows if old["seq"] not in {each["seq"] for each in new}]
            self.rows = sorted(kept + new, key=lambda each: (each["time"], each["seq"]))

    def fetch(self, first: int | None, cursor: str | None, many: int) -> dict[str, Any]:
        self.asked.append(first)
        found = [each for each in self.rows if first is None or each["time"] >= first]
        at = int(cursor or 0)
        more = at + many < len(found)
        return {"items": found[at : at + many], "next": str(at + many) if more else None}


def test_late_ones_and_those_that_became_final_are_told_and_nothing_twice() -> None:
    first = [row(10_000 + i, i, provisional=True) for i in range(5)]
    final = [row(10_000 + i, i) for i in range(5)]
    node = Node(first, [], [*final, row(9_990, 77)], [row(20_000, 6)])
    told = [each for part in islice(news(node.fetch, None, 2, node.pause), 7) for each in part]
    assert told == [*first, row(9_990, 77), *final, row(20_000, 6)]


def test_each_look_goes_back_an_hour_and_not_before_the_start() -> None:
    node = Node([row(50_000, 1)], [row(50_001, 2)], [row(50_002, 3)])
    list(islice(news(node.fetch, 49_000, 10, node.pause), 3))
    assert node.asked == [49_000] * 3
    again = Node([row(90_000, 1)], [row(90_001, 2)])
    list(islice(news(again.fetch, 1, 10, again.pause), 2))
    assert again.asked == [1, 90_000 - OVERLAP_S]
