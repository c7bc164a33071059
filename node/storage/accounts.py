"""The contracts of one account in the order of their changes, for whoever follows them by asking."""

from __future__ import annotations

from sqlalchemy import select, tuple_

from node.projection.trade import Trade
from node.storage.database import Database
from node.storage.deliveries import Position, trades_of
from node.storage.schema import state_links, states

__all__ = ["Accounts"]


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def contracts(self, account: bytes, since: Position, limit: int = 500) -> list[tuple[Position, Trade]]:
        """Contracts that the account sold or bought and that changed after the position, oldest change first."""
        here, link = states.c, state_links.c
        keys = select(link.key).where(link.kind == "trade", link.name.in_(("seller", "buyer")), link.value == account)
        query = (
            select(here.updated_seq, here.key, here.document)
            .where(here.kind == "trade", here.key.in_(keys))
            .where(tuple_(here.updated_seq, here.key) > tuple_(since.seq, since.key))
            .order_by(here.updated_seq, here.key)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return trades_of(self._database, rows)
