"""Folding events into states in memory: what a journal does in a database, without one.

It serves to check a journal (replayed, it must give the live states) and to try "what if" without touching anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.projection.aggregates import index_of, initial, reduce, route
from node.projection.base import AggregateId, Effect, Event, State, StateIndex

__all__ = ["World", "replay"]


class World:
    """All states of a node in memory, by aggregate. `apply` is all or nothing for one event."""

    __slots__ = ("_indexes", "states")

    def __init__(self) -> None:
        self.states: dict[AggregateId, State] = {}
        self._indexes: dict[AggregateId, StateIndex] = {}

    def targets(self, event: Event) -> tuple[AggregateId, ...]:
        """Whom the event concerns, in the order in which they are reduced (by kind, then by key)."""
        way = route(event)
        found = set(way.direct)
        if way.above is None and way.settled is None and way.linked is None:
            return way.direct
        found.update(aggregate for aggregate, index in self._indexes.items() if way.covers(aggregate, index))
        return tuple(sorted(found))

    def get(self, aggregate: AggregateId) -> State:
        return self.states.get(aggregate) or initial(aggregate)

    def apply(self, event: Event) -> tuple[Effect, ...]:
        """Reduce the event on everything it concerns and return the effects. Raises what `reduce` raises."""
        steps = [(aggregate, reduce(self.get(aggregate), event)) for aggregate in self.targets(event)]
        effects: list[Effect] = []
        for aggregate, step in steps:
            if step.state == initial(aggregate):
                self.states.pop(aggregate, None)
                self._indexes.pop(aggregate, None)
            else:
                self.states[aggregate] = step.state
                self._indexes[aggregate] = index_of(step.state)
            effects.extend(step.effects)
        return tuple(effects)


def replay(events: Iterable[Event]) -> dict[AggregateId, State]:
    """The states after these events, from nothing."""
    world = World()
    for event in events:
        world.apply(event)
    return world.states
