"""Readings as they come: asks again and again for the newest stretch of time, and tells each reading once.

A reading may come late, and a provisional one becomes final when a checkpoint covers it. So each look goes back an hour
behind the newest meter time, and a reading that became final is told a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

__all__ = ["OVERLAP_S", "news", "pages"]

OVERLAP_S: Final = 3_600
Page = dict[str, Any]


def pages(fetch: Callable[[str | None, int], Page], limit: int, size: int) -> Iterator[list[dict[str, Any]]]:
    """At most `limit` readings, page by page: a year of them does not have to fit into memory."""
    cursor: str | None = None
    while limit > 0:
        page = fetch(cursor, min(limit, size))
        items: list[dict[str, Any]] = page["items"]
        if items:
            yield items
        limit -= len(items)
        cursor = page.get("next")
        if cursor is None or not items:
            return


def news(
    fetch: Callable[[int | None, str | None, int], Page], start: int | None, size: int, pause: Callable[[], None]
) -> Iterator[list[dict[str, Any]]]:
    """Without end; `fetch(first meter time, cursor, how many)` asks the node, `pause` waits before the next look."""
    told: dict[tuple[int, int, int], bool] = {}
    newest = start
    while True:
        first = start if newest is None else max(start or 0, newest - OVERLAP_S)
        for items in pages(partial(fetch, first), 2**62, size):
            fresh = [row for row in items if told.get(_name(row)) not in (row["provisional"], False)]
            told.update((_name(row), row["provisional"]) for row in fresh)
            newest = max([newest or 0, *(row["time"] for row in items)])
            told = {name: state for name, state in told.items() if newest is None or name[0] >= newest - OVERLAP_S}
            if fresh:
                yield fresh
        pause()


def _name(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["time"], row["epoch"], row["seq"]
