"""What is stored is remembered: whoever gives up during a commit leaves no transaction that nobody sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.ledger.memory import MemoryTransactions
from node.ledger.ports import NOTHING
from node.ledger.sender import Sender
from node.ledger.transaction import Transaction, TxState
from tests.support.processes import PATIENCE
from tests.support.sending import World, key, settle, state, world

pytestmark = pytest.mark.chain


class SlowTransactions(MemoryTransactions):
    """Has what it was given at once. `held` (admit, save) answers when let go, with `failure` if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.has_it = asyncio.Event()
        self.let_go = asyncio.Event()
        self.held = ""
        self.failure: Exception | None = None

    async def _answer(self, asked: str) -> None:
        if self.held == asked:
            self.has_it.set()
            await self.let_go.wait()
        if self.failure is not None:
            raise self.failure

    async def admit(self, fresh: Transaction) -> Transaction:
        known = await super().admit(fresh)
        await self._answer("admit")
        return known

    async def save(self, transactions: Sequence[Transaction], known: Mapping[bytes, Transaction] = NOTHING) -> None:
        await super().save(transactions, known)
        await self._answer("save")


@asynccontextmanager
async def slow_world(tmp_path: Path) -> AsyncIterator[tuple[World, Sender, SlowTransactions]]:
    async with world(tmp_path) as w:
        w.store = store = SlowTransactions()
        async with asyncio.timeout(PATIENCE), w.sender() as sender:
            yield w, sender, store


async def give_up(
    store: SlowTransactions, during: str, call: Coroutine[None, None, Transaction], times: int = 1
) -> None:
    """Cancel it when the store has what it brought and before the store has answered; it leaves nothing running."""
    before = asyncio.all_tasks()
    store.held = during
    task = asyncio.create_task(call)
    await store.has_it.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    store.let_go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("times", [1, 3])
async def test_what_was_being_stored_is_sent_though_its_caller_gave_up(tmp_path: Path, times: int) -> None:
    async with slow_world(tmp_path) as (w, sender, store):
        await give_up(store, "admit", sender.submit(key("a"), w.call(b"a")), times)
        assert sender.waiting == 1
        await settle(w, sender, 2)
        assert await w.words() == [b"a"]


async def test_what_was_being_queued_again_is_sent_though_its_caller_gave_up(tmp_path: Path) -> None:
    async with slow_world(tmp_path) as (w, sender, store):
        await sender.submit(key("a"), w.refusal())
        await sender.step()
        assert await state(sender, "a") is TxState.REFUSED
        await give_up(store, "save", sender.submit(key("a"), w.call(b"a"), again=True))
        assert sender.waiting == 1
        await settle(w, sender, 2)
        assert await w.words() == [b"a"]


async def test_what_was_being_taken_out_stays_out_though_its_caller_gave_up(tmp_path: Path) -> None:
    """Its end is stored: sent all the same, it would be a call that the store calls refused."""
    async with slow_world(tmp_path) as (w, sender, store):
        await sender.submit(key("a"), w.call(b"a"))
        await give_up(store, "save", sender.cancel(key("a")))
        assert sender.waiting == 0
        await settle(w, sender, 2)
        assert await w.words() == []


async def test_a_failure_that_comes_after_its_caller_gave_up_is_not_lost(tmp_path: Path) -> None:
    async with slow_world(tmp_path) as (w, sender, store):
        store.failure = ConnectionResetError("the database went away")
        caught: list[BaseException | None] = []

        async def submit() -> Transaction:
            try:
                return await sender.submit(key("a"), w.call(b"a"))
            except asyncio.CancelledError as cancelled:
                caught.append(cancelled.__cause__)
                raise

        await give_up(store, "admit", submit())
        assert caught == [store.failure]


@pytest.mark.parametrize("chosen", [TxState.QUEUED, TxState.GATHERED])
async def test_what_was_stored_without_an_answer_is_taken_up_when_it_comes_again(
    tmp_path: Path, chosen: TxState
) -> None:
    """A database that goes away during a commit does not tell what became of it."""
    async with slow_world(tmp_path) as (w, sender, store):
        told: list[Transaction] = []

        async def listen(changed: Sequence[Transaction]) -> None:
            told.extend(changed)

        sender.listener = listen
        store.failure = ConnectionResetError("the database went away")
        with pytest.raises(ConnectionResetError):
            await sender.submit(key("a"), w.call(b"a"), state=chosen)
        store.failure = None
        both = await asyncio.gather(*(sender.submit(key("a"), w.call(b"a"), state=chosen) for _ in range(2)))
        assert [tx.state for tx in (*both, *told)] == [chosen] * 3
        assert sender.waiting == 1
        if chosen is TxState.QUEUED:
            await settle(w, sender, 2)
            assert await w.words() == [b"a"]
