"""The contracts of one account in the order of their changes, for whoever follows them by asking."""

from __future__ import annotations

from sqlalchemy import bindparam, select, tuple_

from node.projection.trade import Trade
from node.storage.database import Database
from node.storage.deliveries import Position, trades_of
from node.storage.schema import state_links, states

__all__ = ["Accounts"]


_HERE, _LINK = states.c, state_links.c
_KEYS = select(_LINK.key).where(
    _LINK.kind == "trade", _LINK.name.in_(("seller", "buyer")), _LINK.value == bindparam("account")
)
# Built once: building it for each question would cost more than running it.
_CHANGED = (
    select(_HERE.updated_seq, _HERE.key, _HERE.document)
    .where(_HERE.kind == "trade", _HERE.key.in_(_KEYS))
    .where(tuple_(_HERE.updated_seq, _HERE.key) > tuple_(bindparam("seq"), bindparam("id")))
    .order_by(_HERE.updated_seq, _HERE.key)
    .limit(bindparam("most"))
)


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def contracts(self, account: bytes, since: Position, limit: int = 500) -> list[tuple[Position, Trade]]:
        """Contracts that the account sold or bought and that changed after the position, oldest change first."""
        asked = {"account": account, "seq": since.seq, "id": since.key, "most": limit}
        async with self._database.read() as connection:
            rows = (await connection.execute(_CHANGED, asked)).all()
        return trades_of(self._database, rows)
