"""M-84: statements of a database from before deliveries had a carrier: kept as electricity, and all made anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from node.storage.database import Database
from node.storage.deliveries import Deliveries, DeliveryRow, Position, Span
from node.storage.facts import Facts
from tests.upgrade.test_schemas import FIXTURES, restore


async def test_m84_deliveries_from_before_are_electricity_until_they_are_made_anew(tmp_path: Path) -> None:
    """Contracts on chain are followed from the beginning again, and each day of a market that nets is to be written."""
    path = tmp_path / "node.db"
    restore(FIXTURES / "0004.sql", path)
    with sqlite3.connect(path) as connection:
        connection.execute("insert into cursors (name, number, hash) values ('deliveries', 7, x'01')")
        row = (b"\x07" * 32, 900, 1_800, b"\x01" * 20, b"\x02" * 20, 500, "200", 480, "96")
        connection.execute(f"insert into deliveries values ({', '.join('?' * 9)}, null, null, null, null)", row)
        facts = [("net_due_20000", "aa", "{}"), ("net_due_20000", "bb", "{}"), ("net_due_20001", "cc", "{}"),
                 ("net_unwritten", "20001", "1"), ("net_duel", "x", "1")]  # fmt: skip
        connection.executemany("insert into facts values (?, ?, ?)", facts)
    connection.close()
    database = await Database.open(f"sqlite:///{path}")
    deliveries = Deliveries(database)
    found = [each async for page in deliveries.pages(Span(0, 2**40), DeliveryRow) for each in page]
    assert [(each.delivered, each.due, each.carrier) for each in found] == [(480, 96, "electric")]
    assert await deliveries.position() == Position()
    assert await Facts(database).all("net_unwritten") == {"20000": 1, "20001": 1}
    await database.close()
