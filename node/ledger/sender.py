"""The transaction sender: one nonce owner per key, everything saved before it is broadcast, watched until final.

A pass (``step``) looks at what is out first and then sends what waits. Nothing here depends on having run before: after
a crash the next pass finds the saved transactions, broadcasts them again (a transaction is its own hash, so twice is
once) and goes on. A transaction that a reorganisation removed goes out again with the nonce it had.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from types import TracebackType

import structlog

from keys.signers import Signer
from node.clock import Clock
from node.ledger.dispatch import Dispatch
from node.ledger.endpoint import Endpoint
from node.ledger.errors import CancelRefused, LedgerError, RpcDisagrees, RpcError, RpcRefused
from node.ledger.keeper import Keeper, Listener
from node.ledger.nonce_lock import NonceLock
from node.ledger.options import SenderOptions
from node.ledger.ports import TransactionStore
from node.ledger.reverts import ErrorDecoder, Reason, reverted
from node.ledger.rpc import Rpc
from node.ledger.transaction import Call, Transaction, TxState
from node.ledger.watch import CANCELLED, Sight, Watch
from node.ledger.wire import Receipt
from node.storage.errors import StorageError

__all__ = ["Sender", "SenderOptions"]

_log = structlog.get_logger(__name__)
_RANK = {
    TxState.REFUSED: -1,
    TxState.GATHERED: 0,
    TxState.QUEUED: 0,
    TxState.CARRIED: 1,
    TxState.SENT: 1,
    TxState.MINED: 2,
    TxState.FINAL: 3,
}


def _failed(tx: Transaction) -> bool:
    return tx.state is TxState.REFUSED or (tx.inclusion is not None and not tx.succeeded)


async def _nothing() -> None:
    """While the chain is looked at."""


class Sender:
    """Sends from one address on one chain. An async context manager: entering takes the nonce lock.

    ``fault`` is what keeps the queue from moving (SenderUnfunded, FeesTooHigh, RpcError, StorageFull, ...) or None.
    """

    def __init__(
        self,
        rpc: Rpc,
        signer: Signer,
        store: TransactionStore,
        clock: Clock,
        decoder: ErrorDecoder,
        options: SenderOptions,
    ) -> None:
        self.fault: LedgerError | StorageError | None = None
        self._rpc = rpc
        self._signer = signer
        self._clock = clock
        self._options = options
        self._lock = NonceLock(options.lock_folder, rpc.chain_id, signer.address)
        self._keeper = Keeper(store)
        self._watch = Watch(rpc, self._keeper, signer.address, decoder)
        self._dispatch = Dispatch(rpc, signer, self._keeper, clock, decoder, options)
        self._mutex = asyncio.Lock()
        self._passed_at: float | None = None
        self._wake = asyncio.Event()

    @property
    def address(self) -> bytes:
        """The address that pays (bytes20)."""
        return self._signer.address

    @property
    def waiting(self) -> int:
        """How many transactions are not yet in a block."""
        return self._keeper.book.waiting

    @property
    def keeper(self) -> Keeper:
        """The book and its durable copy, for whoever makes batches of what is gathered."""
        return self._keeper

    @property
    def chain_id(self) -> int:
        return self._rpc.chain_id

    @property
    def mutex(self) -> asyncio.Lock:
        """Held during a pass; whoever changes transactions besides holds it too."""
        return self._mutex

    def wake(self) -> None:
        """Something was queued: the next pass comes at once."""
        self._wake.set()

    @property
    def open_count(self) -> int:
        """How many transactions may still move: queued, sent, or in a block that is not final."""
        return len(self._keeper.book)

    @property
    def listener(self) -> Listener | None:
        """Told every change of transactions after it was saved, in groups."""
        return self._keeper.listener

    @listener.setter
    def listener(self, listener: Listener | None) -> None:
        self._keeper.listener = listener

    async def __aenter__(self) -> Sender:
        with ExitStack() as undo:
            undo.enter_context(self._lock)
            await self._keeper.load(self._rpc.chain_id, self.address)
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    async def submit(
        self, key: bytes, call: Call, *, again: bool = False, state: TxState = TxState.QUEUED
    ) -> Transaction:
        """Queue a call under ``key`` (bytes32, the message digest); a known key returns what became of it.

        ``again`` queues a refused one anew; ``state`` GATHERED leaves it to whoever makes batches. The transaction is
        durable when this returns. Many may be submitted at one time: they share commits.
        """
        open_one = self._keeper.book.get(key)
        if open_one is not None:
            return open_one
        self._keeper.last_order += 1
        order = self._keeper.last_order
        fresh = Transaction(key, self._rpc.chain_id, self.address, call, self._clock.now(), state, order=order)
        known = await self._keeper.admit(fresh)
        if again and known.state is TxState.REFUSED:
            return await self._again(key, call, order, state)
        if known is not fresh:
            return self._keeper.book.get(key) or (known if known.finished else await self._take_up(key))
        self._wake.set()
        return fresh

    async def _take_up(self, key: bytes) -> Transaction:
        """One that is open in the store alone: a database that went away during the commit told nobody what became of
        it. Raises ValueError for a key that the store does not have."""
        async with self._mutex:
            known = await self.find(key)
            if known is None:
                raise ValueError("only what the store has is taken up")
            if not known.finished and self._keeper.book.get(key) is None:
                await self._keeper.saved([known])
        self._wake.set()
        return known

    async def _again(self, key: bytes, call: Call, order: int, state: TxState) -> Transaction:
        async with self._mutex:
            known = await self.find(key)
            if known is None:
                raise ValueError("only a refused transaction is queued again")
            if known.state is not TxState.REFUSED:
                return known  # somebody else queued it again in the meantime
            fresh = known.to(
                state,
                reason=None,
                created_at=self._clock.now(),
                call=call,
                nonce=None,
                gas=0,
                attempts=(),
                inclusion=None,
                order=order,
                carrier=None,
            )
            await self._keeper.keep([fresh])
        self._wake.set()
        return fresh

    async def cancel(self, key: bytes) -> Transaction:
        """Give up on a call that is in no block yet: what waits is taken out, what is out gets its nonce taken.

        Returns the transaction: refused at once, or sent, and refused once the cancellation is final. The call may
        still win the race, and then it is mined as if nothing had been said. Raises CancelRefused for one that is in a
        block, finished or unknown, FeesTooHigh, RpcError.
        """
        async with self._mutex:
            tx = self._keeper.book.get(key)
            if tx is None or tx.state is TxState.MINED:
                raise CancelRefused("the transaction is in a block already, or was never sent from here")
            if tx.carrier is not None or tx.members:
                raise CancelRefused("the message is on its way together with others")
            if tx.state in (TxState.QUEUED, TxState.GATHERED):
                gone = tx.to(TxState.REFUSED, reason=CANCELLED)
                await self._keeper.keep([gone])
                return gone
            return tx if tx.cancelling else await self._dispatch.cancel(tx)

    async def find(self, key: bytes) -> Transaction | None:
        """Return what became of a key, None when it was never submitted here."""
        known = self._keeper.book.get(key)
        return known or await self._keeper.store.find(self._rpc.chain_id, self.address, key)

    def read_receipt(self, carrier: Transaction) -> Receipt | None:
        """The receipt by which one with members was put into its block, where this process read it a short while ago;
        told once. None otherwise: ask for it."""
        return self._watch.read_receipt(carrier)

    async def wait(self, key: bytes, until: TxState = TxState.MINED) -> Transaction:
        """Return when the transaction is at least this far. Raises CallReverted when it was refused or reverted."""
        least = _RANK[until]

        def reached(tx: Transaction) -> bool:
            return _failed(tx) or _RANK[tx.state] >= least

        # Before looking: a change while the store answers must not be missed.
        with self._keeper.waiting(key, reached) as change:
            tx = await self.find(key)
            if tx is None or not reached(tx):
                tx = await change
        if _failed(tx):
            raise reverted(tx.reason or Reason("reverted"))
        return tx

    async def run(self) -> None:
        """Make passes for ever. Failures stay in ``fault`` and are tried again with growing pauses."""
        pause = self._options.poll
        while True:
            self._wake.clear()
            began = self._clock.monotonic()
            try:
                await self.step()
                pause = self._options.poll
            except (LedgerError, StorageError):
                pause = min(pause * 2, self._options.longest_pause)
            # Every pass asks where the chain is: what comes in a stream goes out in groups.
            await asyncio.sleep(self._options.pace - (self._clock.monotonic() - began))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def look_again(self) -> None:
        """The chain moved or was reorganised: the next pass comes at once and looks, also when nothing is out."""
        self._passed_at = None
        self._wake.set()

    async def look(self) -> None:
        """Learn what became of all that is out, as of now, and send nothing. Raises RpcError."""
        async with self._mutex:
            await self._watch.look(await self._sight(await self._rpc.choose()), _nothing)

    async def step(self) -> None:
        """Make one pass. Raises RpcError, FeesTooHigh, SenderUnfunded, StorageFull; what came before that is done."""
        async with self._mutex:
            now = self._clock.monotonic()
            idle = not len(self._keeper.book)
            if idle and self._passed_at is not None and now - self._passed_at < self._options.idle_pause:
                return
            self._passed_at = now
            try:
                await self._guarded_pass(await self._rpc.choose())
            except (LedgerError, StorageError) as fault:
                if type(fault) is not type(self.fault):
                    _log.warning("sender_waits", reason=fault.message, remedy=fault.remedy)
                self.fault = fault
                raise
            self.fault = None
            if self._dispatch.more:
                self._wake.set()

    async def _guarded_pass(self, endpoint: Endpoint) -> None:
        try:
            sight = await self._sight(endpoint)
        except RpcError as fault:  # a refusal too: what is asked for a sight any node answers that can serve us
            endpoint.demote(fault)
            raise
        try:
            await self._watch.look(sight, lambda: self._dispatch.work(sight))
        except (RpcRefused, RpcDisagrees):  # the first is an answer, of the second the watch has said who is suspect
            raise
        except RpcError as fault:
            endpoint.demote(fault)
            raise

    async def _sight(self, endpoint: Endpoint) -> Sight:
        newest = await endpoint.newest()
        head = newest.header
        # At this very block: a nonce of a later one would speak of transactions that the head does not have.
        nonce = await endpoint.nonce(self.address, at=head.number)
        return Sight(endpoint, head, nonce, await self._options.finality.height(endpoint, head), newest.base_fee)
