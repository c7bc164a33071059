"""Saves changes of transactions in groups, then remembers them, then tells whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from node.ledger.book import TransactionBook
from node.ledger.ports import TransactionStore
from node.ledger.transaction import Transaction

__all__ = ["Keeper", "Listener"]

T = TypeVar("T")
# Told what changed, after it was saved, in order.
Listener = Callable[[Sequence[Transaction]], Awaitable[None]]
# Whether a transaction has come as far as somebody waits for.
Reached = Callable[[Transaction], bool]


class Keeper:
    """The book and its durable copy. Nothing is remembered, told or broadcast before it was saved. What was saved is
    remembered and told, also when its caller is cancelled meanwhile: the cancellation comes when that is done.

    ``on_change`` hears of every change at once, ``listener`` after it.
    """

    def __init__(self, store: TransactionStore) -> None:
        self.book = TransactionBook()
        self.store = store
        self.listener: Listener | None = None
        self.on_change: list[Callable[[Sequence[Transaction]], None]] = []
        self.last_order = 0
        self._waiters: dict[bytes, dict[asyncio.Future[Transaction], Reached]] = {}

    async def load(self, chain_id: int, sender: bytes) -> None:
        """Take up what an earlier process left."""
        found = await self.store.unfinished(chain_id, sender)
        newest = await self.store.newest_finished_nonce(chain_id, sender)
        self.book = TransactionBook(found, floor=0 if newest is None else newest + 1)
        self.last_order = max((tx.order for tx in found), default=0)
        for hear in self.on_change:
            hear(found)

    async def admit(self, fresh: Transaction) -> Transaction:
        """Store a new one and remember it, or return what is stored under its key. Calls at one time share a commit."""
        return await _unbroken(self._admit(fresh))

    async def _admit(self, fresh: Transaction) -> Transaction:
        known = await self.store.admit(fresh)
        if known is fresh:
            await self.saved([fresh])
        return known

    async def keep(self, changed: Sequence[Transaction]) -> None:
        """One commit for all. Raises StorageError or the database's own; then nothing changed."""
        if changed:
            await _unbroken(self._keep(changed))

    async def _keep(self, changed: Sequence[Transaction]) -> None:
        # What the book has is stored: it came from there, or was put in after it had been saved.
        known = {tx.key: before for tx in changed if (before := self.book.get(tx.key)) is not None}
        await self.store.save(changed, known)
        await self.saved(changed)

    async def saved(self, changed: Sequence[Transaction]) -> None:
        """Remember and tell what the store has already."""
        for tx in changed:
            self.book.put(tx)
        for hear in self.on_change:
            hear(changed)
        for tx in changed:
            for waiter, reached in self._waiters.get(tx.key, {}).items():
                if not waiter.done() and reached(tx):
                    waiter.set_result(tx)
        if self.listener is not None:
            await self.listener(changed)

    @property
    def waited_for(self) -> int:
        """How many keys somebody waits for."""
        return len(self._waiters)

    @contextmanager
    def waiting(self, key: bytes, reached: Reached) -> Iterator[asyncio.Future[Transaction]]:
        """A future that gives this transaction after the first change from now on with which it is ``reached``.

        It is forgotten when the block ends, also by cancellation: who stops waiting leaves nothing behind.
        """
        waiter: asyncio.Future[Transaction] = asyncio.get_running_loop().create_future()
        mine = self._waiters.setdefault(key, {})
        mine[waiter] = reached
        try:
            yield waiter
        finally:
            waiter.cancel()
            del mine[waiter]
            if not mine:
                del self._waiters[key]


async def _unbroken(work: Coroutine[None, None, T]) -> T:
    """Do it to its end. Cancelled meanwhile, raise that only then: a commit is not taken back, and the caller's locks
    hold until the book has it."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as again:
            cancelled = cancelled or again
    if cancelled is not None:
        raise cancelled from None if task.cancelled() else task.exception()
    return task.result()
