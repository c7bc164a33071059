"""Settled deliveries in order of time: a table that follows the contracts' states, and may be thrown away and refilled.

The projection is asked by id; a statement asks by time, over years. `changed` tells which contracts moved since a
position, `put` keeps what follows from them together with the new position, `pages` reads them back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, func, literal_column, or_, select, tuple_

from node.projection.order import Order
from node.projection.trade import Trade
from node.storage.bulk import Writes
from node.storage.bykey import states_of
from node.storage.database import Database
from node.storage.schema import cursors, deliveries, states
from node.wire.orderdetails import ELECTRIC

__all__ = ["Deliveries", "DeliveryRow", "Position", "Span", "trades_of"]

R = TypeVar("R")
_NAME = "deliveries"
_PAGE = 2_000
_MOST = 2**63 - 1
"""Of a database's integers. A partner may sign 64 bits, and nobody's statement may stop for it."""


class Position(NamedTuple):
    """How far the contracts were followed: number of the last change, and the contract's id."""

    seq: int = 0
    key: bytes = b""


class Span(NamedTuple):
    """Deliveries that begin in [start, end), seconds UTC; with accounts only those that one of them sold or bought."""

    start: int
    end: int
    accounts: tuple[bytes, ...] | None = None


class DeliveryRow(NamedTuple):
    """One settled contract. Energy in Wh, `price` in minor units per kWh, `due` and `fee` in minor units.

    `fee`: what `fee_by` paid the other side for cancelling; None for a contract that was not cancelled. `carrier`: the
    kind of energy, at most 32 characters.
    """

    contract: bytes
    start: int
    end: int
    seller: bytes
    buyer: bytes
    contracted: int
    price: int
    delivered: int
    due: int
    by_seller: int | None
    by_buyer: int | None
    fee: int | None = None
    fee_by: bytes | None = None
    carrier: str = ELECTRIC


def trades_of(database: Database, rows: Iterable[Sequence[Any]]) -> list[tuple[Position, Trade]]:
    """Rows of number of the last change, key and document."""
    read = database.remembered.read
    states_ = ((seq, key, read("trade", key, document)) for seq, key, document in rows)
    return [(Position(seq, key), state) for seq, key, state in states_ if isinstance(state, Trade)]


class Deliveries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self) -> Position:
        query = select(cursors.c.number, cursors.c.hash).where(cursors.c.name == _NAME)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return Position() if row is None else Position(row.number, row.hash)

    async def changed(self, since: Position, limit: int = 500) -> list[tuple[Position, Trade]]:
        """Contracts that changed after the position, in order of their changes."""
        here = states.c
        # The kind stands in the text itself: the index is one of contracts only, and a parameter could be anything.
        query = (
            select(here.updated_seq, here.key, here.document)
            .where(here.kind == literal_column("'trade'"))
            .where(tuple_(here.updated_seq, here.key) > tuple_(since.seq, since.key))
            .order_by(here.updated_seq, here.key)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return trades_of(self._database, rows)

    async def orders(self, ids: Sequence[bytes]) -> dict[bytes, Order]:
        """Those of these orders that this node knows, by id."""
        async with self._database.read() as connection:
            rows = await states_of(connection, "order", ids)
        read = self._database.remembered.read
        orders = {row.key: read("order", row.key, row.document) for row in rows}
        return {key: each for key, each in orders.items() if isinstance(each, Order) and each.terms is not None}

    async def put(self, rows: Sequence[DeliveryRow], position: Position) -> None:
        """Keep these, over what was known of the same contracts, and where to go on: both or neither."""
        texts = [_texts(row) for row in rows]
        writes = Writes()
        writes.add(deliveries, texts, overwrite=True)
        writes.add(cursors, [(_NAME, position.seq, position.key)], overwrite=True)
        await writes.commit(self._database, lasting=False)

    async def count(self, span: Span) -> int:
        query = select(func.count()).select_from(deliveries).where(_within(span))
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()

    async def pages(self, span: Span, make: Callable[..., R], size: int = _PAGE) -> AsyncIterator[list[R]]:
        """All of the span in order of begin and id, page by page; each page is a reading of its own.

        `make` takes the fields of a `DeliveryRow` in their order: a long statement must not build everything twice.
        """
        start, contract = span.start, b""
        query = select(deliveries).order_by(deliveries.c.start, deliveries.c.contract).limit(size)
        while True:
            after = tuple_(deliveries.c.start, deliveries.c.contract) > tuple_(start, contract)
            async with self._database.read() as connection:
                found = (await connection.execute(query.where(_within(span), after))).all()
            if not found:
                return
            yield [
                make(*agreed, int(price), wh, int(due), sold, used, fee and int(fee), by, carrier)
                for *agreed, price, wh, due, sold, used, fee, by, carrier in found
            ]
            if len(found) < size:
                return
            contract, start = found[-1][0], found[-1][1]


def _texts(row: DeliveryRow) -> DeliveryRow:
    """Money as text: it has more bits than a database's integers. Energy that has more is cut to what they hold."""
    fee = None if row.fee is None else str(row.fee)
    most = {"contracted": min(row.contracted, _MOST), "delivered": min(row.delivered, _MOST)}
    sold, used = [None if each is None else min(each, _MOST) for each in (row.by_seller, row.by_buyer)]
    texts = {"price": str(row.price), "due": str(row.due), "fee": fee}
    return row._replace(**most, by_seller=sold, by_buyer=used, **texts)  # type: ignore[arg-type]


def _within(span: Span) -> ColumnElement[bool]:
    here = deliveries.c
    when = and_(here.start >= span.start, here.start < span.end)
    if span.accounts is None:
        return when
    return and_(when, or_(here.seller.in_(span.accounts), here.buyer.in_(span.accounts)))
