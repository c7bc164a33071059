"""States of many keys at once: each that is there comes once, whatever their number."""

from __future__ import annotations

import pytest

from node.projection import settlement_events as s
from node.storage.bykey import states_of
from node.storage.database import Database
from node.storage.journal import Journal
from tests.unit.node.projection.kit import address, block, h32


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 600])
async def test_every_state_that_is_there_comes_once(journal: Journal, database: Database, count: int) -> None:
    await journal.apply(
        [
            s.LoggedMatched(block(1), key(n), address("s"), address("b"), h32("o"), h32("r"), 1_000, 200, 200, True)
            for n in range(0, count, 2)
        ]
    )
    async with database.read() as connection:
        found = await states_of(connection, "trade", [key(n) for n in range(count)])
        assert await states_of(connection, "order", [key(n) for n in range(count) if n % 2 == 0]) == []
    assert sorted(row.key for row in found) == [key(n) for n in range(0, count, 2)]
    assert sorted(row.created for row in found) == list(range(1, len(found) + 1))
    assert all(f'"contract_id":"{row.key.hex()}"' in row.document for row in found)
