"""What somebody has still to look at: a mark is kept with the news that it stands for, and goes once it is seen.

So a crash loses no news, and a start costs what is open and not what there was. What was seen is forgotten by the
database alone: where that is built again from the log, everything is looked at once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack

from node.app.memory import Fact, Memory

__all__ = ["Marks", "keep_marked"]


class Marks:
    """Of one reader. `space`: their namespace of facts."""

    def __init__(self, memory: Memory, space: str) -> None:
        self.memory = memory
        self.lock = asyncio.Lock()
        self._space = space
        self._waiting: set[str] | None = None
        self._fresh: set[str] = set()

    async def keep(self, facts: Iterable[Fact], names: Collection[str]) -> None:
        """Keeps facts, and that there is something new to see of these."""
        await keep_marked(facts, {self: names})

    def facts(self, names: Collection[str]) -> tuple[Fact, ...]:
        """The marks as they are kept."""
        return tuple((self._space, name, 1) for name in names)

    def note(self, names: Collection[str]) -> None:
        """They are kept. Under the lock, under which they were written."""
        self._fresh |= set(names)
        if self._waiting is not None:
            self._waiting |= set(names)

    async def look(self) -> frozenset[str]:
        """All of which there is something to see. They stay until they are `seen`."""
        async with self.lock:
            if self._waiting is None:
                self._waiting = set(await self.memory.facts.all(self._space))
            self._fresh.clear()
            return frozenset(self._waiting)

    async def seen(self, names: Collection[str]) -> None:
        """They were looked at as they were at the last `look`; what came since then is still to be seen."""
        async with self.lock:
            waiting = self._waiting or set[str]()
            gone = waiting & set(names) - self._fresh
            if gone:
                await self.memory.facts.forget(self._space, gone)
                waiting -= gone


async def keep_marked(facts: Iterable[Fact], news: Mapping[Marks, Collection[str]]) -> None:
    """Keeps facts and the marks of several readers in one step. Always in the same order of readers."""
    async with AsyncExitStack() as stack:
        for marks in news:
            await stack.enter_async_context(marks.lock)
        (memory, *_) = [marks.memory for marks in news]
        await memory.keep((), [*facts, *(fact for marks, names in news.items() for fact in marks.facts(names))])
        for marks, names in news.items():
            marks.note(names)
