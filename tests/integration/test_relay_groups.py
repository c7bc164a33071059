"""Many messages at once share commits: each is on disk when it is answered, and a bad one concerns only itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.ledger.errors import MessageMalformed, RpcError
from node.ledger.finality import Finality
from node.ledger.registry import registry_reason
from node.ledger.relay import Relay
from node.ledger.rpc import Rpc
from node.ledger.sender import Sender, SenderOptions
from node.ledger.stored import StoredTransactions
from node.ledger.transaction import Call, Transaction, TxState
from node.ledger.views import RegistryViews
from node.storage.database import Database
from node.storage.transactions import TransactionRow, TransactionRows

CHAIN, REGISTRY, SENDER = 31337, b"\x42" * 20, b"\x01" * 20
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    yield opened
    await opened.close()


def _grant(owner: bytes, nonce: int) -> m.Grant:
    until = int(time.time()) + 3_600
    return m.Grant(owner, b"\x05" * 20, b"\x22" * 32, (b"\x66" * 32,), 0, m.OPEN_END, 7, b"\x33" * 32, nonce, until)


async def test_a_bad_message_among_many_gets_its_own_error_and_sinks_nobody(database: Database, tmp_path: Path) -> None:
    owner, stranger = LocalSigner.generate(), LocalSigner.generate()
    store = StoredTransactions(TransactionRows(database))
    options = SenderOptions(tmp_path, Finality(1))
    async with (
        Rpc([NOWHERE], CHAIN, SystemClock()) as rpc,
        Sender(rpc, owner, store, SystemClock(), registry_reason, options) as sender,
    ):
        relay = Relay(rpc, sender, RegistryViews(rpc, REGISTRY, CHAIN))
        grants = [_grant(owner.address, nonce) for nonce in range(40)]
        signed = [[await owner.sign_message(grant, relay.domain)] for grant in grants]
        signed[7] = [await stranger.sign_message(grants[7], relay.domain)]  # only a contract could be meant by that
        signed[23] = []
        calls = [relay.accept(grant, made) for grant, made in zip(grants, signed, strict=True)]
        found = await asyncio.gather(*calls, relay.accept(grants[0], signed[0]), return_exceptions=True)
    assert isinstance(found[7], RpcError)
    assert isinstance(found[23], MessageMalformed)
    good = [n for n in range(40) if n not in (7, 23)]
    stored = {tx.key: tx for tx in await store.unfinished(CHAIN, owner.address)}
    assert set(stored) == {m.digest(grants[n], relay.domain) for n in good}
    assert all(tx.state is TxState.GATHERED for tx in stored.values())
    again = found[40]
    assert not isinstance(again, BaseException)
    assert again.digest == m.digest(grants[0], relay.domain)


async def test_a_message_that_is_open_in_the_store_alone_is_taken_up_by_the_relay(
    database: Database, tmp_path: Path
) -> None:
    """A database that went away during the commit stored it and told nobody."""
    owner = LocalSigner.generate()
    store = StoredTransactions(TransactionRows(database))
    async with (
        Rpc([NOWHERE], CHAIN, SystemClock()) as rpc,
        Sender(rpc, owner, store, SystemClock(), registry_reason, SenderOptions(tmp_path, Finality(1))) as sender,
    ):
        relay = Relay(rpc, sender, RegistryViews(rpc, REGISTRY, CHAIN))
        for nonce, again in enumerate([relay.relay, relay.accept]):
            grant = _grant(owner.address, nonce)
            digest = m.digest(grant, relay.domain)
            await store.admit(Transaction(digest, CHAIN, owner.address, Call(REGISTRY, b"what it was"), 5))
            relayed = await again(grant, [await owner.sign_message(grant, relay.domain)])
            assert relayed.transaction is not None
            assert relayed.transaction.call.data == b"what it was"
            assert sender.waiting == nonce + 1


def _row(key: int, document: str = "{}") -> TransactionRow:
    return TransactionRow(CHAIN, SENDER, key.to_bytes(32, "big"), None, "queued", False, 0, document)


async def test_of_two_with_one_key_the_first_is_kept_within_a_group_and_across_groups(database: Database) -> None:
    rows = TransactionRows(database)
    assert await rows.admit(_row(1, "first")) is None
    answers = await asyncio.gather(
        rows.admit(_row(1, "second")), rows.admit(_row(2, "first")), rows.admit(_row(2, "second")), rows.admit(_row(3))
    )
    assert list(answers) == [_row(1, "first"), None, _row(2, "first"), None]
    assert [row.document for row in await rows.unfinished(CHAIN, SENDER)] == ["first", "first", "{}"]


async def test_what_was_admitted_together_is_there_for_another_connection_at_once(
    database: Database, tmp_path: Path
) -> None:
    rows = TransactionRows(database)
    await asyncio.gather(*(rows.admit(_row(n)) for n in range(600)))  # more than one group takes
    other = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    assert len(await TransactionRows(other).unfinished(CHAIN, SENDER)) == 600
    await other.close()


async def test_a_group_that_the_database_refuses_tells_everybody_and_the_next_one_goes_on(database: Database) -> None:
    rows = TransactionRows(database)
    broken = TransactionRow(CHAIN, SENDER, bytes(32), None, None, False, 0, "{}")  # type: ignore[arg-type]
    answers = await asyncio.gather(rows.admit(_row(1)), rows.admit(broken), return_exceptions=True)
    assert all(isinstance(answer, Exception) for answer in answers)
    assert await rows.unfinished(CHAIN, SENDER) == []
    assert await rows.admit(_row(1)) is None
