"""The transaction sender: one nonce owner per key, everything saved before it is broadcast, watched until final.

A pass (``step``) looks at what is out first and then sends what waits. Nothing here depends on having run before: after
a crash the next pass finds the saved transactions, broadcasts them again (a transaction is its own hash, so twice is
once) and goes on. A transaction that a reorganisation removed goes out again with the nonce it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import structlog
from eth_utils.crypto import keccak

from keys.signers import Signer
from node.clock import Clock
from node.ledger.endpoint import Endpoint
from node.ledger.errors import LedgerError, RpcError, RpcRefused, SenderUnfunded
from node.ledger.fees import FeePolicy, Fees
from node.ledger.finality import Finality
from node.ledger.headers import Header
from node.ledger.nonce_lock import NonceLock
from node.ledger.pool import PoolAnswer, pool_answer
from node.ledger.ports import TransactionStore
from node.ledger.reverts import ErrorDecoder, Reason, reason_of, reverted
from node.ledger.rpc import Rpc
from node.ledger.transaction import Attempt, Call, Inclusion, Transaction, TxState
from node.ledger.wire import Receipt
from node.types import address_to_text

__all__ = ["Sender", "SenderOptions"]

_log = structlog.get_logger(__name__)
_RANK = {TxState.REFUSED: -1, TxState.QUEUED: 0, TxState.SENT: 1, TxState.MINED: 2, TxState.FINAL: 3}


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """``lock_folder`` holds the nonce lock. Times in seconds: passes, fee bump of a stuck transaction, rebroadcast."""

    lock_folder: Path
    finality: Finality = field(default_factory=Finality)
    fees: FeePolicy = field(default_factory=FeePolicy)
    poll: float = 0.3
    longest_pause: float = 5.0
    idle_pause: float = 10.0
    bump_after: int = 30
    rebroadcast_after: int = 10
    in_flight: int = 16
    gas_margin_percent: int = 25


class Sender:
    """Sends from one address on one chain. An async context manager: entering takes the nonce lock.

    ``fault`` is what keeps the queue from moving (SenderUnfunded, FeesTooHigh, RpcError, ...) or None.
    ``listener`` is told every change of a transaction after it was saved.
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
        self.fault: LedgerError | None = None
        self.listener: Callable[[Transaction], Awaitable[None]] | None = None
        self._rpc = rpc
        self._signer = signer
        self._store = store
        self._clock = clock
        self._decode = decoder
        self._options = options
        self._lock = NonceLock(options.lock_folder, rpc.chain_id, signer.address)
        self._mutex = asyncio.Lock()
        self._open: dict[bytes, Transaction] = {}
        self._broadcast_at: dict[bytes, int] = {}
        self._missing_since: dict[bytes, int] = {}
        self._cheap: set[bytes] = set()
        self._passed_at: float | None = None
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()

    @property
    def address(self) -> bytes:
        """The address that pays (bytes20)."""
        return self._signer.address

    @property
    def waiting(self) -> int:
        """How many transactions are not yet in a block."""
        return sum(1 for tx in self._open.values() if tx.state in {TxState.QUEUED, TxState.SENT})

    async def __aenter__(self) -> Sender:
        with ExitStack() as undo:
            undo.enter_context(self._lock)
            for tx in await self._store.unfinished(self._rpc.chain_id, self.address):
                self._open[tx.key] = tx
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    async def submit(self, key: bytes, call: Call, *, again: bool = False) -> Transaction:
        """Queue a call under ``key`` (bytes32, the message digest); a known key returns what became of it.

        ``again`` queues a refused one anew. The transaction is durable when this returns.
        """
        async with self._mutex:
            known = self._open.get(key) or await self._store.find(self._rpc.chain_id, self.address, key)
            if known is not None and not (again and known.state is TxState.REFUSED):
                return known
            if known is not None:
                fresh = known.to(TxState.QUEUED, reason=None, created_at=self._clock.now(), call=call)
            else:
                fresh = Transaction(key, self._rpc.chain_id, self.address, call, self._clock.now())
            await self._keep(fresh)
        self._wake.set()
        return fresh

    async def find(self, key: bytes) -> Transaction | None:
        """Return what became of a key, None when it was never submitted here."""
        return self._open.get(key) or await self._store.find(self._rpc.chain_id, self.address, key)

    async def wait(self, key: bytes, until: TxState = TxState.MINED) -> Transaction:
        """Return when the transaction is at least this far. Raises CallReverted when it was refused or reverted."""
        async with self._changed:
            while True:
                tx = await self.find(key)
                if tx is not None and (tx.state is TxState.REFUSED or (tx.inclusion and not tx.inclusion.ok)):
                    reason = tx.reason or Reason("reverted")
                    raise reverted(reason)
                if tx is not None and _RANK[tx.state] >= _RANK[until]:
                    return tx
                await self._changed.wait()

    async def run(self) -> None:
        """Make passes for ever. Failures stay in ``fault`` and are tried again with growing pauses."""
        pause = self._options.poll
        while True:
            self._wake.clear()
            try:
                await self.step()
                pause = self._options.poll
            except LedgerError:
                pause = min(pause * 2, self._options.longest_pause)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def look_again(self) -> None:
        """The chain was reorganised: the next pass comes at once and looks, also when nothing is out."""
        self._passed_at = None
        self._wake.set()

    async def step(self) -> None:
        """Make one pass. Raises RpcError, FeesTooHigh, SenderUnfunded; whatever was possible before that is done."""
        async with self._mutex:
            now = self._clock.monotonic()
            if not self._open and self._passed_at is not None and now - self._passed_at < self._options.idle_pause:
                return
            self._passed_at = now
            try:
                await self._guarded_pass(await self._rpc.choose())
            except LedgerError as fault:
                if type(fault) is not type(self.fault):
                    _log.warning("sender_waits", reason=fault.message, remedy=fault.remedy)
                self.fault = fault
                raise
            self.fault = None

    async def _guarded_pass(self, endpoint: Endpoint) -> None:
        try:
            await self._pass(endpoint)
        except RpcRefused:
            raise
        except RpcError as fault:
            endpoint.demote(fault)
            raise

    async def _pass(self, endpoint: Endpoint) -> None:
        head = await endpoint.head()
        nonce = await endpoint.nonce(self.address)
        final = await self._options.finality.height(endpoint, head)
        await self._reopen(endpoint, nonce)
        for tx in list(self._open.values()):
            if tx.state is TxState.MINED:
                await self._watch(endpoint, tx, final)
            elif tx.state is TxState.SENT:
                await self._look(endpoint, tx, head, nonce, final)
        await self._keep_alive(endpoint, nonce)
        await self._send_queued(endpoint, nonce)

    # --- what is out --------------------------------------------------------------------------------------------------

    async def _reopen(self, endpoint: Endpoint, nonce: int) -> None:
        """Take up again what was final and is gone: a reorganisation below finality gave its nonces back."""
        for tx in await self._store.from_nonce(self._rpc.chain_id, self.address, nonce):
            if tx.state is TxState.FINAL and await self._receipt(endpoint, tx) is None:
                _log.error("final_transaction_gone", key=tx.key.hex(), nonce=tx.nonce)
                await self._keep(tx.to(TxState.SENT, inclusion=None, reason=None))

    async def _receipt(self, endpoint: Endpoint, tx: Transaction) -> Receipt | None:
        for attempt in reversed(tx.attempts):
            receipt = await endpoint.receipt(attempt.hash)
            if receipt is not None:
                return receipt
        return None

    async def _look(self, endpoint: Endpoint, tx: Transaction, head: Header, nonce: int, final: int) -> None:
        """A sent one: included, still out, or pushed aside by a transaction of somebody else with this key."""
        if tx.nonce is None or tx.nonce >= nonce:
            self._missing_since.pop(tx.key, None)
            return
        receipt = await self._receipt(endpoint, tx)
        if receipt is not None:
            self._missing_since.pop(tx.key, None)
            await self._include(endpoint, tx, receipt, final)
        elif final >= self._missing_since.setdefault(tx.key, head.number):
            # The nonce is used in a final block and none of our versions is in one: only then is it surely lost.
            _log.error("nonce_used_by_another", key=tx.key.hex(), nonce=tx.nonce, address=address_to_text(self.address))
            self._missing_since.pop(tx.key, None)
            await self._keep(tx.to(TxState.QUEUED, nonce=None, attempts=()))

    async def _include(self, endpoint: Endpoint, tx: Transaction, receipt: Receipt, final: int) -> None:
        inclusion = Inclusion(
            receipt.block_number,
            receipt.block_hash,
            receipt.transaction_hash,
            receipt.gas_used,
            receipt.gas_price,
            receipt.ok,
        )
        if tx.inclusion != inclusion:
            reason = None if receipt.ok else await self._why(endpoint, tx, receipt)
            tx = tx.to(TxState.MINED, inclusion=inclusion, reason=reason)
            await self._keep(tx)
        if final >= receipt.block_number:
            await self._keep(tx.to(TxState.FINAL))

    async def _watch(self, endpoint: Endpoint, tx: Transaction, final: int) -> None:
        """A mined one: still there, moved to another block, or gone with its block."""
        receipt = await self._receipt(endpoint, tx)
        if receipt is not None:
            await self._include(endpoint, tx, receipt, final)
            return
        _log.warning("transaction_gone_with_its_block", key=tx.key.hex(), nonce=tx.nonce)
        self._broadcast_at.pop(tx.key, None)
        await self._keep(tx.to(TxState.SENT, inclusion=None, reason=None))

    async def _why(self, endpoint: Endpoint, tx: Transaction, receipt: Receipt) -> Reason:
        """Run the call again on the state before its block to learn why it reverted."""
        if receipt.gas_used >= tx.gas:
            return Reason("OutOfGas", (("limit", str(tx.gas)),))
        try:
            await endpoint.call(tx.call.to, tx.call.data, sender=self.address, at=receipt.block_number - 1)
        except RpcRefused as refusal:
            reason = reason_of(refusal, self._decode)
            return reason or Reason("reverted")
        return Reason("reverted")

    async def _keep_alive(self, endpoint: Endpoint, nonce: int) -> None:
        """Broadcast again what may have been dropped; replace what is stuck."""
        now = self._clock.now()
        for tx in list(self._open.values()):
            latest = tx.latest
            if tx.state is not TxState.SENT or latest is None or tx.nonce is None or tx.nonce < nonce:
                continue
            # Only the lowest nonce can be stuck by its own fee; those behind it wait for it.
            lowest = tx.nonce == nonce
            if lowest and (tx.key in self._cheap or now - latest.sent_at >= self._options.bump_after):
                self._cheap.discard(tx.key)
                if await self._replace(endpoint, tx, latest):
                    continue
            seen = self._broadcast_at.get(tx.key)
            if seen is None or now - seen >= self._options.rebroadcast_after:
                await self._broadcast(tx)

    async def _replace(self, endpoint: Endpoint, tx: Transaction, latest: Attempt) -> bool:
        """Broadcast a version with higher fees; False where the caps or the balance leave no room."""
        today = await self._options.fees.current(endpoint)
        fees = self._options.fees.bumped(Fees(latest.max_fee, latest.priority_fee), today)
        if fees is None or await endpoint.balance(self.address) < tx.gas * fees.max_fee + tx.call.value:
            return False
        _log.info("transaction_replaced", key=tx.key.hex(), nonce=tx.nonce, max_fee=fees.max_fee)
        signed = await self._sign(tx, fees)
        await self._keep(signed)
        await self._broadcast(signed)
        return True

    # --- what waits ---------------------------------------------------------------------------------------------------

    async def _send_queued(self, endpoint: Endpoint, nonce: int) -> None:
        queued = [tx for tx in self._open.values() if tx.state is TxState.QUEUED]
        if not queued:
            return
        fees = await self._options.fees.current(endpoint)
        balance = await endpoint.balance(self.address)
        for tx in queued:
            out = [t for t in self._open.values() if t.state is TxState.SENT]
            if len(out) >= self._options.in_flight:
                return
            gas = await self._gas(endpoint, tx, depends=bool(out))
            if gas is None:
                continue
            promised = sum(t.gas * t.latest.max_fee + t.call.value for t in out if t.latest is not None)
            needed = promised + gas * fees.max_fee + tx.call.value
            if balance < needed:
                raise SenderUnfunded(self.address, needed, balance)
            used = {t.nonce for t in self._open.values() if t.nonce is not None}
            free = nonce
            while free in used:
                free += 1
            signed = await self._sign(replace(tx, nonce=free, gas=gas), fees)
            await self._keep(signed)
            await self._broadcast(signed)

    async def _gas(self, endpoint: Endpoint, tx: Transaction, *, depends: bool) -> int | None:
        """Return the gas limit; None when the contract refuses now (it may accept once what is out is included)."""
        call = tx.call
        try:
            found = await endpoint.estimate_gas(call.to, call.data, sender=self.address, value=call.value)
        except RpcRefused as refusal:
            reason = reason_of(refusal, self._decode)
            if reason is None:
                if pool_answer(refusal.reason) is PoolAnswer.POOR:
                    balance = await endpoint.balance(self.address)
                    raise SenderUnfunded(self.address, max(call.value, balance + 1), balance) from refusal
                return call.gas  # the endpoint does not estimate; the static bound of the call serves
            if not depends:
                await self._keep(tx.to(TxState.REFUSED, reason=reason))
            return None
        return max(found * (100 + self._options.gas_margin_percent) // 100, call.least_gas)

    async def _sign(self, tx: Transaction, fees: Fees) -> Transaction:
        raw = await self._signer.sign_transaction(
            {
                "type": 2,
                "chainId": tx.chain_id,
                "nonce": tx.nonce,
                "to": address_to_text(tx.call.to),
                "data": tx.call.data,
                "value": tx.call.value,
                "gas": tx.gas,
                "maxFeePerGas": fees.max_fee,
                "maxPriorityFeePerGas": fees.priority_fee,
            }
        )
        attempt = Attempt(keccak(raw), raw, fees.max_fee, fees.priority_fee, self._clock.now())
        return tx.to(TxState.SENT, attempts=(*tx.attempts, attempt))

    async def _broadcast(self, tx: Transaction) -> None:
        """Hand the newest version to the pool. It was saved before."""
        latest = tx.latest
        if latest is None:
            return
        self._broadcast_at[tx.key] = self._clock.now()
        try:
            await self._rpc.send_raw(latest.raw)
        except RpcRefused as refusal:
            answer = pool_answer(refusal.reason)
            if answer is PoolAnswer.CHEAP:
                self._cheap.add(tx.key)
            elif answer is PoolAnswer.POOR:
                needed = tx.gas * latest.max_fee + tx.call.value
                raise SenderUnfunded(self.address, needed, await self._rpc.balance(self.address)) from refusal
            elif answer is PoolAnswer.OTHER:
                _log.warning("pool_refused", key=tx.key.hex(), reason=refusal.reason)
                raise

    async def _keep(self, tx: Transaction) -> None:
        """Save, then remember, then tell."""
        await self._store.save(tx)
        if tx.state in {TxState.FINAL, TxState.REFUSED}:
            self._open.pop(tx.key, None)
            self._broadcast_at.pop(tx.key, None)
        else:
            self._open[tx.key] = tx
        async with self._changed:
            self._changed.notify_all()
        if self.listener is not None:
            await self.listener(tx)
