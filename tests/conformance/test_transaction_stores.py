"""One suite for every TransactionStore: in memory, and on the database with a restart in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.ledger.memory import MemoryTransactions
from node.ledger.ports import TransactionStore
from node.ledger.reverts import Reason
from node.ledger.stored import StoredTransactions
from node.ledger.transaction import Attempt, Call, Inclusion, Transaction, TxState
from node.storage.database import Database
from node.storage.transactions import TransactionRows

CHAIN, SENDER = 31337, b"\x01" * 20


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TransactionStore]:
    if request.param == "memory":
        yield MemoryTransactions()
        return
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    try:
        yield StoredTransactions(TransactionRows(database))
    finally:
        await database.close()


def tx(name: str, *, at: int = 0, sender: bytes = SENDER, chain_id: int = CHAIN) -> Transaction:
    return Transaction(name.encode().rjust(32, b"\0"), chain_id, sender, Call(b"\x02" * 20, b"data", 1, 2, 3), at)


def sent(transaction: Transaction, nonce: int) -> Transaction:
    attempt = Attempt(b"\x0a" * 32, b"raw", 10**12, 10**9, 5)
    return transaction.to(TxState.SENT, nonce=nonce, gas=50_000, attempts=(attempt,))


async def test_what_was_saved_is_found_whole_and_replaced_by_key(store: TransactionStore) -> None:
    first = tx("a")
    await store.save([first])
    assert await store.find(CHAIN, SENDER, first.key) == first
    second = sent(first, 4)
    await store.save([second])
    assert await store.find(CHAIN, SENDER, first.key) == second
    assert await store.find(CHAIN, SENDER, b"\xff" * 32) is None


async def test_what_changes_is_written_beside_a_call_that_is_stored(store: TransactionStore) -> None:
    """Whoever says what is there saves the writing of it, and finds the same; another call is written anew."""
    first, other = tx("a"), tx("b")
    await store.save([first])
    second = sent(first, 4)
    await store.save([second, other], {first.key: first})
    assert await store.find(CHAIN, SENDER, first.key) == second
    assert await store.find(CHAIN, SENDER, other.key) == other
    third = second.to(TxState.QUEUED, nonce=None, gas=0, attempts=(), call=replace(second.call, known_gas=7, data=b""))
    await store.save([third], {first.key: second})
    assert await store.find(CHAIN, SENDER, first.key) == third


async def test_unfinished_ones_come_oldest_first(store: TransactionStore) -> None:
    late, early = tx("a", at=9), tx("b", at=1)
    refused = tx("c").to(TxState.REFUSED, reason=Reason("Why", (("id", "7"),), "So."))
    for transaction in (early, late, refused):
        await store.save([transaction])
    assert list(await store.unfinished(CHAIN, SENDER)) == [early, late]
    found = await store.find(CHAIN, SENDER, refused.key)
    assert found == refused


def final(transaction: Transaction) -> Transaction:
    found = Inclusion(7, b"\x0b" * 32, b"\x0a" * 32, 21_000, 10**9, True)
    return transaction.to(TxState.MINED, inclusion=found).to(TxState.FINAL)


async def test_finished_ones_are_found_by_nonce(store: TransactionStore) -> None:
    assert await store.newest_finished_nonce(CHAIN, SENDER) is None
    await store.save([final(sent(tx(str(number), at=number), number)) for number in range(4)])
    await store.save([sent(tx("out"), 4), tx("queued"), tx("no").to(TxState.REFUSED, reason=Reason("No"))])
    assert sorted(row.nonce or 0 for row in await store.finished_from(CHAIN, SENDER, 2)) == [2, 3]
    assert await store.newest_finished_nonce(CHAIN, SENDER) == 3


async def test_admitting_finds_the_first_also_among_those_that_come_at_once(store: TransactionStore) -> None:
    first = tx("a")
    assert await store.admit(first) == first
    await store.save([sent(first, 4)])
    later = [tx("a", at=9), tx("b"), tx("b", at=9), tx("c")]
    found = await asyncio.gather(*(store.admit(each) for each in later))
    assert [each.created_at for each in found] == [0, 0, 0, 0]
    assert found[0].state is TxState.SENT
    assert [each.key for each in await store.unfinished(CHAIN, SENDER)] == [tx(n).key for n in "abc"]


async def test_the_order_of_the_queue_outlives_the_process_within_one_second(store: TransactionStore) -> None:
    await store.save([replace(tx(name), order=place) for place, name in enumerate("cab")])
    assert [row.key for row in await store.unfinished(CHAIN, SENDER)] == [tx(name).key for name in "cab"]


async def test_senders_and_chains_are_apart(store: TransactionStore) -> None:
    await store.save([sent(tx("a"), 0)])
    await store.save([sent(tx("a", sender=b"\x09" * 20), 0)])
    await store.save([sent(tx("a", chain_id=1), 0)])
    assert len(await store.unfinished(CHAIN, SENDER)) == 1
    assert len(await store.unfinished(CHAIN, b"\x09" * 20)) == 1
    assert await store.find(2, SENDER, tx("a").key) is None
