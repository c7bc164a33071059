"""Transactions that a database has from before their calls had a table of their own go on where they were."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from node.ledger.stored import StoredTransactions
from node.ledger.transaction import Attempt, Transaction, TxState
from node.storage.database import Database
from node.storage.transactions import TransactionRows
from tests.unit.node.ledger.test_document import SECOND
from tests.upgrade.test_schemas import FIXTURES, restore

SENDER = b"\xbb" * 20


def _old(path: Path, *states: str) -> None:
    restore(FIXTURES / "0005.sql", path)
    with sqlite3.connect(path) as connection:
        for place, state in enumerate(states):
            doc = SECOND | {"state": state, "key": f"{place:064x}", "nonce": place}
            text, finished = json.dumps(doc), state in ("final", "refused")
            row = (5, SENDER, bytes.fromhex(doc["key"]), place, state, finished, 1_700, text)  # type: ignore[arg-type]
            connection.execute("insert into transactions values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()


async def _reopened(path: Path) -> tuple[Database, StoredTransactions]:
    database = await Database.open(f"sqlite:///{path}")
    return database, StoredTransactions(TransactionRows(database))


async def test_what_is_on_its_way_moves_on_with_its_call_and_what_is_finished_still_reads(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    _old(path, "mined", "sent", "final", "refused")
    database, store = await _reopened(path)
    mined, sent = await store.unfinished(5, SENDER)
    assert (mined.call.data, mined.call.item, mined.members) == (b"\x01", b"\x02", (b"\xff" * 32,))
    attempt = Attempt(b"\x01" * 32, b"again", 8, 7, 1_702)
    moved = [mined.to(TxState.FINAL), sent.to(TxState.SENT, attempts=(*sent.attempts, attempt))]
    await store.save(moved, {mined.key: mined, sent.key: sent})
    final, refused = await store.finished_from(5, SENDER, 2)
    # A reorganisation below finality: it is in nobody's memory, so it is written whole.
    again = final.to(TxState.SENT, inclusion=None)
    await store.save([again])
    await database.close()
    database, store = await _reopened(path)
    assert list(await store.unfinished(5, SENDER)) == [moved[1], again]
    assert await store.find(5, SENDER, mined.key) == moved[0]
    assert await store.find(5, SENDER, refused.key) == refused
    await database.close()


async def test_a_key_of_an_earlier_time_that_is_asked_for_again_keeps_its_call(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    _old(path, "refused")
    database, store = await _reopened(path)
    (before,) = await store.finished_from(5, SENDER, 0)
    fresh = Transaction(before.key, 5, SENDER, replace(before.call, data=b"another"), 1_800)
    assert await store.admit(fresh) == before
    assert await store.find(5, SENDER, before.key) == before
    await store.save([fresh])
    assert await store.find(5, SENDER, before.key) == fresh
    await database.close()


async def test_a_damaged_transaction_stays_damaged(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    restore(FIXTURES / "0005.sql", path)
    with sqlite3.connect(path) as connection:
        row = (5, SENDER, b"\x01" * 32, 0, "sent", False, 1_700, '{"v":2')
        connection.execute("insert into transactions values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()
    database, store = await _reopened(path)
    with pytest.raises(ValueError, match="Expecting"):
        await store.unfinished(5, SENDER)
    await database.close()


async def test_a_row_of_an_older_program_that_runs_on_beside_this_one_keeps_its_call(tmp_path: Path) -> None:
    """It came after the upgrade, which therefore did not see it."""
    path = tmp_path / "node.db"
    database, _ = await _reopened(path)
    await database.close()
    doc = SECOND | {"state": "sent", "key": f"{1:064x}", "nonce": 0}
    with sqlite3.connect(path) as connection:
        row = (5, SENDER, bytes.fromhex(doc["key"]), 0, "sent", False, 1_700, json.dumps(doc))  # type: ignore[arg-type]
        connection.execute("insert into transactions values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()
    database, store = await _reopened(path)
    (sent,) = await store.unfinished(5, SENDER)
    moved = sent.to(TxState.SENT, attempts=(*sent.attempts, Attempt(b"\x01" * 32, b"again", 8, 7, 1_702)))
    await store.save([moved], {sent.key: sent})
    again = moved.to(TxState.SENT, attempts=(*moved.attempts, Attempt(b"\x02" * 32, b"more", 9, 8, 1_703)))
    await store.save([again], {moved.key: moved})
    await database.close()
    database, store = await _reopened(path)
    assert list(await store.unfinished(5, SENDER)) == [again]
    await database.close()
