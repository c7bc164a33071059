"""style.md 2: two vocabularies, named by what they are; every word is stored, routed and known to the tables."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from node.projection import effects, events
from node.projection.aggregates import KINDS, route
from node.projection.base import Effect, Event, State
from node.projection.errors import WrongAggregate


def _leaves(base: type[Any]) -> set[type[Any]]:
    below: set[type[Any]] = {leaf for child in base.__subclasses__() for leaf in _leaves(child)}
    return below or {base}


def _any(kind: Any) -> Any:
    return kind


# A slotted dataclass replaces the class it decorates, so the undecorated first version may still be listed.
def _named(base: type[Any]) -> set[str]:
    return {leaf.__name__ for leaf in _leaves(base) if leaf.__module__.startswith("node.")}


def test_inputs_and_effects_are_named_apart() -> None:
    assert all(name.startswith(("Logged", "Received", "Requested", "Due")) for name in _named(Event) - {"ChainEvent"})
    assert all(name.startswith(("Send", "Publish", "Notify", "Submit")) for name in _named(Effect))


def test_no_class_is_both() -> None:
    assert not {*events.EVENTS} & {*effects.EFFECTS}
    assert not any(issubclass(each, Effect | State) for each in events.EVENTS)
    assert not any(issubclass(each, Event | State) for each in effects.EFFECTS)


def test_the_tables_hold_every_class() -> None:
    assert {each.__name__ for each in events.EVENTS} == _named(Event) - {"ChainEvent"}
    assert {each.__name__ for each in effects.EFFECTS} == _named(Effect)
    assert {kind.state.__name__ for kind in KINDS.values()} == _named(State)


def test_everything_is_frozen_and_slotted() -> None:
    for kind in (*events.EVENTS, *effects.EFFECTS, *(kind.state for kind in KINDS.values())):
        assert dataclasses.is_dataclass(kind), kind
        assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
        assert "__dict__" not in dir(kind), kind


def test_every_effect_says_whom_it_concerns_by_its_id() -> None:
    ids = {"sid", "grant_id", "device_hash", "request_id", "digest", "about", "order_id", "contract_id", "source"}
    assert all(ids & {field.name for field in dataclasses.fields(_any(each))} for each in effects.EFFECTS)


def test_an_unknown_event_has_no_route() -> None:
    with pytest.raises(WrongAggregate):
        route(Event())


def test_due_names_are_the_deadlines_of_their_kind() -> None:
    due = {kind for kind in events.EVENTS if kind.__name__.startswith("Due")}
    assert {make for kind in KINDS.values() for make in kind.due.values()} == due
