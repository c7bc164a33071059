"""Deliveries by time: followed from the contracts' states, read back in pages, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from node.projection import settlement_events as s
from node.projection.base import Event, Peer
from node.projection.events import LoggedFinalized
from node.projection.trade import TradeStatus
from node.storage.database import Database
from node.storage.deliveries import Deliveries, DeliveryRow, Position, Span
from node.storage.journal import Journal
from tests.unit.node.projection.kit import address, block, h32

PEER = Peer(address("n"), "http://x.example", b"\x01" * 1216)
SELLER, BUYER = address("s"), address("b")
ALL = Span(0, 2**40)


def row(number: int, **changed: object) -> DeliveryRow:
    start = number // 3 * 900
    made = DeliveryRow(
        number.to_bytes(32, "big"), start, start + 900, SELLER, BUYER, 1_000, 2**79, 900, 2**70 + number, 900, None
    )
    return made._replace(**changed)  # type: ignore[arg-type]


def matched(height: int, contract: str) -> Event:
    return s.LoggedMatched(
        block(height), h32(contract), SELLER, BUYER, h32("o"), h32("r"), 1_000, 200_000, 200_000, True
    )


def settled(height: int, contract: str, wh: int = 900, due: int = 180_000) -> list[Event]:
    said = [s.LoggedProvisioned(block(height), h32(contract), who, wh) for who in (SELLER, BUYER)]
    return [*said, s.LoggedDelivered(block(height), h32(contract), wh, due)]


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    return Deliveries(database)


async def test_pages_come_in_order_of_time_and_lose_nothing(deliveries: Deliveries) -> None:
    """Several begin at one time, and a page ends in the midst of them; 80-bit money survives."""
    rows = [row(number, carrier="thermal" if number % 3 else "electric") for number in range(50)]
    rows[7] = rows[7]._replace(fee=2**70, fee_by=BUYER)
    await deliveries.put(rows[25:], Position(1, b"\x01"))
    await deliveries.put(rows[:25], Position(2, b"\x02"))
    found = [each async for page in deliveries.pages(ALL, DeliveryRow, size=7) for each in page]
    assert found == rows
    assert await deliveries.position() == Position(2, b"\x02")


async def test_a_span_is_cut_by_begin_and_by_account(deliveries: Deliveries) -> None:
    other = address("o")
    await deliveries.put([row(n, seller=other if n % 2 else SELLER) for n in range(30)], Position(1, b""))
    span = Span(900, 2_700)
    found = [each async for page in deliveries.pages(span, DeliveryRow) for each in page]
    assert [each.start for each in found] == [900] * 3 + [1_800] * 3
    assert await deliveries.count(span) == 6
    mine = Span(0, 2**40, (other,))
    assert await deliveries.count(mine) == 15
    assert {each.seller async for page in deliveries.pages(mine, DeliveryRow) for each in page} == {other}
    assert await deliveries.count(Span(0, 2**40, ())) == 0


async def test_the_same_contract_again_is_one_row(deliveries: Deliveries) -> None:
    await deliveries.put([row(1), row(2)], Position(1, b""))
    await deliveries.put([row(1, by_buyer=7)], Position(2, b""))
    (page,) = [page async for page in deliveries.pages(ALL, DeliveryRow)]
    assert [each.by_buyer for each in page] == [7, None]


async def test_contracts_are_followed_from_change_to_change(journal: Journal, deliveries: Deliveries) -> None:
    assert await deliveries.changed(Position()) == []
    await journal.apply([matched(1, "c"), matched(1, "d")])
    first = await deliveries.changed(Position())
    assert {trade.contract_id for _, trade in first} == {h32("c"), h32("d")}
    # One change of the chain may move many contracts at once; a page may end between them.
    await journal.apply([*settled(2, "c"), LoggedFinalized(2, 20)])
    seen, position = [], first[-1][0]
    while found := await deliveries.changed(position, limit=1):
        ((position, trade),) = found
        seen.append((trade.contract_id, trade.status))
    assert sorted(seen) == sorted([(h32("c"), TradeStatus.DELIVERED), (h32("d"), TradeStatus.MATCHED)])


async def test_orders_that_are_not_known_are_not_found(journal: Journal, deliveries: Deliveries) -> None:
    terms = s.OrderTerms(True, SELLER, 1_000, 200_000, 900, 1_800, 900)
    await journal.apply([s.ReceivedOrder(h32("o"), terms, "{}", b"\x01" * 65, PEER, 1), matched(1, "c")])
    found = await deliveries.orders([h32("o"), h32("r")])
    assert list(found) == [h32("o")]
    assert found[h32("o")].terms == terms


async def test_the_index_of_contracts_is_used(database: Database, deliveries: Deliveries) -> None:
    """Following must not read every state of a node that has millions."""
    if database.concurrent:  # it chooses by statistics, which an empty table has none of
        return
    async with database.read() as connection:
        plan = await connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT key FROM states WHERE kind = 'trade' AND (updated_seq, key) > (5, x'00') "
            "ORDER BY updated_seq, key LIMIT 5"
        )
        assert "states_of_trades" in str(plan.all())
