"""style.md 3: transitions are data; every state is reachable and every other move is an error of its own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from node.services.pairing.errors import IllegalMove
from node.services.pairing.table import (
    GATEWAY_TABLE,
    HOME_TABLE,
    GatewayMove,
    GatewayStatus,
    HomeMove,
    HomeStatus,
    diagram,
    move,
)

MACHINES: list[tuple[Any, Any, Any, Any]] = [
    (GATEWAY_TABLE, GatewayStatus, GatewayMove, GatewayStatus.IDLE),
    (HOME_TABLE, HomeStatus, HomeMove, HomeStatus.GREETED),
]


@pytest.mark.parametrize(("table", "statuses", "moves", "start"), MACHINES)
def test_every_state_is_reachable_and_every_move_used(table: Any, statuses: Any, moves: Any, start: Any) -> None:
    found, todo = set(), [start]
    while todo:
        status = todo.pop()
        if status not in found:
            found.add(status)
            todo += [target for (source, _), target in table.items() if source == status]
    assert found == set(statuses)
    assert {made for _, made in table} == set(moves)


@pytest.mark.parametrize(("table", "statuses", "moves", "start"), MACHINES)
def test_every_move_outside_the_table_is_refused(table: Any, statuses: Any, moves: Any, start: Any) -> None:
    for status, made in itertools.product(statuses, moves):
        if (status, made) in table:
            assert move(table, status, made) is table[status, made]
        else:
            with pytest.raises(IllegalMove, match=made.value):
                move(table, status, made)


def test_terminal_states_of_the_home_are_final() -> None:
    sources = {source for source, _ in HOME_TABLE}
    assert set(HomeStatus) - sources == {HomeStatus.PAIRED, HomeStatus.FAILED}


def test_a_paired_gateway_is_left_only_by_unpairing_or_reset() -> None:
    """permissions.md 2: no other claim, no expiry and no code gets it out."""
    ways = {made for (source, made), target in GATEWAY_TABLE.items() if source == "paired" and target != "paired"}
    assert ways == {GatewayMove.CHAIN_UNPAIRED, GatewayMove.RESET}


def test_the_diagrams_come_from_the_tables() -> None:
    text = diagram(GATEWAY_TABLE)
    assert text.startswith("stateDiagram-v2\n")
    assert "    open --> locked: too_many_tries\n" in text
    assert text.count("-->") == len(GATEWAY_TABLE)
    assert "    claimed --> paired: finish_received\n" in diagram(HOME_TABLE)
