"""Writes a small database of the present schema as SQL: `python -m tests.upgrade.save_fixture`. Never overwrites."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path

from node.clock import ManualClock
from node.projection import events as e
from node.storage.database import Database
from node.storage.extras import ChainUpdate, SeenParcel, SetFact, StoredHeader
from node.storage.journal import Journal
from node.storage.migrate import newest_schema
from node.storage.tokens import TokenRow, TokenRows
from node.storage.transactions import TransactionRow, TransactionRows
from tests.unit.node.projection.kit import OWNER, PROVIDER, address, block, commit, granted, h32, revoked

EVENTS = (
    e.LoggedStreamRegistered(block(1), h32("s"), OWNER, address("w"), h32("n"), h32("k"), 0, 60),
    granted(2, end=2_000_000_000),
    commit(3, 1),
    e.LoggedFinalized(3, 30),
    granted(4, grant="a"),
    revoked(5, grant="a"),
    e.LoggedKeyRegistered(block(5), h32("g"), h32("K")),
    e.ReceivedPairing(h32("d"), OWNER, address("d"), h32("z"), PROVIDER, "meter", 1),
    e.LoggedDevicePaired(block(5), OWNER, h32("d"), address("d")),
    e.ReceivedConsentRequest(h32("q"), PROVIDER, '{"purpose":"x"}', 4_000_000_000, 1),
    e.RequestedConsent(h32("p"), PROVIDER, '{"purpose":"x"}', 4_000_000_000, 1),
    e.RequestedSubmission(h32("m"), "Revoke", "{}", (b"\x01" * 65,), None, 1),
    e.LoggedMessageIncluded(block(6), h32("m")),
    e.LoggedRolledBack(5),
)


async def fill(path: Path) -> None:
    database = await Database.open(f"sqlite:///{path}")
    journal = Journal(database, ManualClock(1_700_000_000))
    header = StoredHeader(5, block(5).hash, block(4).hash, 50)
    extras = (ChainUpdate([header], cursor=("registry", 5, header.hash)), SeenParcel(h32("i"), 9), SetFact("a", "b", 1))
    await journal.apply(EVENTS, *extras)
    await TokenRows(database).add(TokenRow("t", "test", frozenset({"read"}), h32("t"), 1))
    await TransactionRows(database).save([TransactionRow(1, OWNER, h32("m"), 0, "sent", False, 1, '{"v":1}')])
    await journal.close()
    await database.close()


def main() -> int:
    target = Path(__file__).parent / "schemas" / f"{newest_schema()}.sql"
    if target.exists():
        print(f"{target.name} exists; a saved schema is never written again")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.db"
        asyncio.run(fill(path))
        with sqlite3.connect(path) as connection:
            target.write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
