"""State machines as tables: which status may follow which, by which event; the diagrams are drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from node.projection.base import Event
from node.projection.errors import IllegalMove

__all__ = ["Machine", "Moves"]

Status = TypeVar("Status", bound=StrEnum)
Moves = Mapping[tuple[Status, type[Event]], frozenset[Status]]


@dataclass(frozen=True, slots=True)
class Machine(Generic[Status]):
    """`moves` lists every change of status; staying where one is needs no entry."""

    name: str
    start: Status
    moves: Mapping[tuple[Status, type[Event]], frozenset[Status]]

    def move(self, source: Status, event: Event, target: Status) -> Status:
        """Return `target`. Raises IllegalMove where the table has no such move."""
        if source != target and target not in self.moves.get((source, type(event)), frozenset()):
            raise IllegalMove(f"{self.name}: no move from {source} to {target} by {type(event).__name__}")
        return target

    def statuses(self) -> frozenset[Status]:
        return frozenset({self.start} | {s for s, _ in self.moves} | {t for ts in self.moves.values() for t in ts})

    def exits(self, status: Status) -> frozenset[Status]:
        return frozenset(t for (s, _), ts in self.moves.items() if s == status for t in ts)

    def reachable(self) -> frozenset[Status]:
        """Every status that some row of moves leads to from the start."""
        found: set[Status] = set()
        todo = [self.start]
        while todo:
            status = todo.pop()
            if status not in found:
                found.add(status)
                todo.extend(self.exits(status))
        return frozenset(found)

    def terminal(self) -> frozenset[Status]:
        """The statuses that nothing leads out of."""
        return frozenset(s for s in self.statuses() if not self.exits(s))

    def diagram(self) -> str:
        """The table as a Mermaid state diagram, in the order of the names."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start.value}"]
        rows = {(s.value, t.value, e.__name__) for (s, e), ts in self.moves.items() for t in ts}
        lines += [f"    {s} --> {t}: {e}" for s, t, e in sorted(rows)]
        lines += [f"    {s} --> [*]" for s in sorted(t.value for t in self.terminal())]
        return "\n".join(lines) + "\n"
