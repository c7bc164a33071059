"""The small stores: transactions of the sender, tokens, facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from node.errors import NotFound
from node.storage.database import Database
from node.storage.facts import Facts
from node.storage.tokens import TokenRow, TokenRows
from node.storage.transactions import TransactionRow, TransactionRows
from tests.unit.node.projection.kit import address, h32

SENDER = address("s")


def row(letter: str, nonce: int | None, at: int, finished: bool = False) -> TransactionRow:
    return TransactionRow(31337, SENDER, h32(letter), nonce, "sent", finished, at, f'{{"v":1,"n":"{letter}"}}')


async def test_transactions_are_kept_by_their_message(database: Database) -> None:
    rows = TransactionRows(database)
    await rows.save([row("a", 1, 10), row("b", 2, 11), row("c", None, 9), row("d", 0, 8, True)])
    assert await rows.find(31337, SENDER, h32("a")) == row("a", 1, 10)
    assert await rows.find(1, SENDER, h32("a")) is None
    assert [each.key[:1] for each in await rows.unfinished(31337, SENDER)] == [b"c", b"a", b"b"]
    await rows.save([replace(row("a", 1, 10), status="final", finished=True, document="{}")])
    assert [each.key[:1] for each in await rows.unfinished(31337, SENDER)] == [b"c", b"b"]
    assert [each.key[:1] for each in await rows.finished_from(31337, SENDER, 1)] == [b"a"]
    assert await rows.newest_finished_nonce(31337, SENDER) == 1
    assert await rows.newest_finished_nonce(1, SENDER) is None
    assert await rows.unfinished(31337, address("z")) == []


async def test_what_a_transaction_does_is_written_once(database: Database) -> None:
    rows = TransactionRows(database)
    first = replace(row("a", None, 10), call=b"does")
    assert await rows.admit(first) is None
    assert await rows.admit(replace(first, call=b"another")) == first
    await rows.save([replace(first, nonce=1, call=None), replace(row("b", 2, 11), call=b"")])
    assert await rows.find(31337, SENDER, h32("a")) == replace(first, nonce=1)
    await rows.save([replace(first, call=b"another")])
    found = await rows.unfinished(31337, SENDER)
    assert [each.call for each in found] == [b"another", b""]


async def test_tokens_are_found_by_hash_until_revoked(database: Database) -> None:
    rows = TokenRows(database)
    token = TokenRow("t1", "grafana", frozenset({"read", "consent"}), h32("d"), 5, 99)
    await rows.add(token)
    assert await rows.find(h32("d")) == token
    assert await rows.find(h32("e")) is None
    with pytest.raises(IntegrityError):
        await rows.add(replace(token, id="t2"))
    await rows.revoke("t1", 50)
    assert await rows.find(h32("d")) is None
    assert await rows.records() == [replace(token, revoked_at=50)]
    for unknown in ("t1", "t9"):
        with pytest.raises(NotFound):
            await rows.revoke(unknown, 51)


async def test_facts_are_remembered_replaced_and_forgotten(database: Database) -> None:
    facts = Facts(database)
    await facts.set("streams", "a", {"name": "Main meter", "n": [1, 2]})
    await facts.set("streams", "b", "x")
    await facts.set("other", "a", False)
    assert await facts.get("streams", "a") == {"name": "Main meter", "n": [1, 2]}
    assert await facts.get("other", "a") is False
    await facts.set("streams", "a", 1)
    await facts.set("streams", "b", None)
    assert await facts.all("streams") == {"a": 1}
    assert await facts.get("streams", "b") is None
    for name in ("0", "1", "999"):
        await facts.set("many", name, 1)
    await facts.forget("many", [*map(str, range(1, 1_000))])
    assert await facts.all("many") == {"0": 1}
    assert await facts.all("streams") == {"a": 1}


async def test_a_reading_transaction_sees_one_state_and_changes_nothing(database: Database) -> None:
    """What is written between two statements of one look is not in the second one either."""
    facts = Facts(database)
    await facts.set("a", "b", 1)
    count = text("SELECT count(*) FROM facts")
    async with database.read() as connection:
        first = (await connection.execute(count)).scalar_one()
        await facts.set("a", "c", 2)
        assert (await connection.execute(count)).scalar_one() == first
    async with database.read() as connection:
        assert (await connection.execute(count)).scalar_one() == first + 1
        if database.concurrent:
            with pytest.raises(DBAPIError, match="read-only"):
                await connection.execute(text("DELETE FROM facts"))
