"""Relayed messages that share a transaction: gathered by size and age, carried by the contract's `batch`, told apart.

Every message stays a transaction of its own in the store, under its digest. A batch is one more, the carrier, and what
becomes of it decides what becomes of its members: a rejected item is refused with its reason, the others are mined. A
batch that reverts as a whole sets its members free, and each goes alone: one bad message never sinks the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from eth_utils.crypto import keccak

from node.clock import Clock
from node.ledger.errors import LedgerError, RpcRefused
from node.ledger.keeper import Keeper
from node.ledger.reverts import ErrorDecoder, Reason, reason_of
from node.ledger.rpc import Rpc
from node.ledger.sender import Sender
from node.ledger.transaction import Call, Transaction, TxState
from node.ledger.wire import RawLog, address_hex, data_hex
from node.storage.errors import StorageError

__all__ = ["BatchFace", "BatchOptions", "Batches"]

_log = structlog.get_logger(__name__)
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class BatchFace:
    """How a contract takes batches: makes the call, finds what was rejected in the logs, decodes reverts."""

    call: Callable[[Sequence[Call]], Call]
    rejections: Callable[[Sequence[RawLog]], Mapping[bytes, Reason]]
    reason: ErrorDecoder


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """A batch goes when so many wait, or so much gas, or the first has waited ``age`` seconds.

    ``tries``: so often a message that the simulation refuses is looked at, a new block each time, because what it
    depends on may be on its way.
    """

    size: int = 100
    gas: int = 10_000_000
    age: float = 0.2
    tries: int = 4


class Batches:
    """Makes batches of what one sender has gathered. ``run`` it beside the sender."""

    def __init__(
        self, rpc: Rpc, sender: Sender, face: BatchFace, clock: Clock, options: BatchOptions | None = None
    ) -> None:
        self._rpc = rpc
        self._sender = sender
        self._keeper: Keeper = sender.keeper
        self._face = face
        self._clock = clock
        self._options = options or BatchOptions()
        self._tries: dict[bytes, int] = {}
        self._tried_at: bytes = b""
        self._moved: set[bytes] = set(self._keeper.book.carried())
        self._wake = asyncio.Event()
        self._keeper.on_change.append(self._changed)

    def _changed(self, changed: Sequence[Transaction]) -> None:
        for tx in changed:
            if tx.members and tx.state is not TxState.QUEUED:
                self._moved.add(tx.key)
            elif tx.state is not TxState.GATHERED:
                self._tries.pop(tx.key, None)
        self._wake.set()

    async def run(self) -> None:
        """Make batches and tell results for ever. An endpoint that fails is asked again later."""
        pause = self._options.age
        while True:
            self._wake.clear()
            try:
                await self.settle()
                await self.step()
            except (LedgerError, StorageError) as fault:
                if pause == self._options.age:
                    _log.warning("batch_waits", reason=fault.message)
                pause = min(pause * 2, _LONGEST_PAUSE)
                await asyncio.sleep(pause)
                continue
            pause = self._options.age
            if self._keeper.book.gathered:
                # The first one's age decides; more may join meanwhile.
                await asyncio.sleep(pause)
            elif not self._moved:
                await self._wake.wait()
                await asyncio.sleep(pause if self._keeper.book.gathered else 0)

    # --- making them --------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Put what is gathered into batches. Raises RpcError; then it stays gathered."""
        if not self._keeper.book.gathered:
            return
        head = await self._rpc.head()
        while True:
            group = self._group(head.hash)
            if not group:
                return
            good, bad = await self._simulated(group)
            self._tried_at = head.hash
            held = {tx.key for tx in group} - {tx.key for tx in (*good, *bad)}
            for key in held:
                self._tries[key] = self._tries.get(key, 0) + 1
            async with self._sender.mutex:
                # Cancelled while it was simulated: then it is not there any more.
                still = [tx for tx in good if self._keeper.book.get(tx.key) == tx]
                await self._keeper.keep([*bad, *self._carried(still)])
            self._sender.wake()
            if held or len(group) < self._options.size:
                return

    def _group(self, head: bytes) -> list[Transaction]:
        waiting = self._keeper.book.oldest_gathered(self._options.size + len(self._tries))
        group: list[Transaction] = []
        gas = 0
        for tx in waiting:
            if tx.key in self._tries and head == self._tried_at:
                continue  # nothing has changed since it was refused
            gas += tx.call.known_gas or tx.call.gas
            if len(group) == self._options.size or (group and gas > self._options.gas):
                break
            group.append(tx)
        return group

    async def _simulated(self, group: Sequence[Transaction]) -> tuple[list[Transaction], list[Transaction]]:
        """Return those that the contract would take now, and those that it will not: refused often enough."""
        sender = address_hex(self._sender.address)
        answers = await self._rpc.request_many(
            [
                (
                    "eth_call",
                    [{"to": address_hex(tx.call.to), "data": data_hex(tx.call.data), "from": sender}, "pending"],
                )
                for tx in group
            ]
        )
        good: list[Transaction] = []
        bad: list[Transaction] = []
        for tx, answer in zip(group, answers, strict=True):
            reason = reason_of(answer, self._face.reason) if isinstance(answer, RpcRefused) else None
            if reason is None:
                good.append(tx)
            elif self._tries.get(tx.key, 0) + 1 >= self._options.tries:
                bad.append(tx.to(TxState.REFUSED, reason=reason))
        return good, bad

    def _carried(self, group: Sequence[Transaction]) -> list[Transaction]:
        """Return the carrier and its members; one alone needs none."""
        if not group:
            return []
        if len(group) == 1:
            return [group[0].to(TxState.QUEUED)]
        members = tuple(tx.key for tx in group)
        # The number of the first in the queue keeps a second batch of the same messages apart from the first.
        key = keccak(b"batch" + self._sender.address + group[0].order.to_bytes(8, "big") + b"".join(members))
        call = self._face.call([tx.call for tx in group])
        carrier = Transaction(
            key, self._sender.chain_id, self._sender.address, call, self._clock.now(), order=group[0].order
        )
        return [replace(carrier, members=members), *(tx.to(TxState.CARRIED, carrier=key) for tx in group)]

    # --- telling what became of them ----------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Move the members of every batch that moved. Raises RpcError; then it is tried again."""
        for key in tuple(self._moved):
            carrier = await self._sender.find(key)
            if carrier is not None:
                await self._settle(carrier)
            self._moved.discard(key)

    async def _settle(self, carrier: Transaction) -> None:
        found = [tx for key in carrier.members if (tx := await self._sender.find(key)) and tx.carrier == carrier.key]
        rejected: Mapping[bytes, Reason] = {}
        if carrier.succeeded and carrier.inclusion is not None:
            if carrier.state is TxState.MINED or any(tx.state is not TxState.MINED for tx in found):
                receipt = await self._rpc.receipt(carrier.inclusion.transaction_hash)
                if receipt is None or receipt.block_hash != carrier.inclusion.block_hash:
                    return  # gone since; the sender notices, and this is told again
                rejected = self._face.rejections(receipt.logs)
            changed = [each for tx in found if (each := _with_carrier(tx, carrier, rejected)) is not tx]
        elif carrier.state in (TxState.QUEUED, TxState.SENT):
            changed = [_back(tx, carrier) for tx in found if tx.state is not TxState.CARRIED]
        else:
            # It reverted as a whole, or was refused: each member goes its own way, and is estimated there.
            _log.warning(
                "batch_came_apart", key=carrier.key.hex(), members=len(found), reason=str(carrier.reason or "")
            )
            changed = [_alone(tx) for tx in found if tx.state is TxState.CARRIED]
        async with self._sender.mutex:
            await self._keeper.keep(changed)
        self._sender.wake()


def _with_carrier(tx: Transaction, carrier: Transaction, rejected: Mapping[bytes, Reason]) -> Transaction:
    """The member in the block of its batch, and final with it."""
    found = carrier.inclusion
    if found is None:
        return tx
    if tx.state is TxState.CARRIED or (tx.state is TxState.MINED and not _same_place(tx, carrier)):
        reason = rejected.get(tx.key)
        tx = tx.to(TxState.MINED, inclusion=replace(found, ok=reason is None), reason=reason)
    if carrier.state is TxState.FINAL and tx.state is TxState.MINED:
        return tx.to(TxState.FINAL if tx.succeeded else TxState.REFUSED)
    return tx


def _same_place(tx: Transaction, carrier: Transaction) -> bool:
    mine, theirs = tx.inclusion, carrier.inclusion
    return mine is not None and theirs is not None and mine.block_hash == theirs.block_hash


def _back(tx: Transaction, carrier: Transaction) -> Transaction:
    """The block of the batch is gone; the batch is on its way again."""
    return tx.to(TxState.CARRIED, inclusion=None, reason=None, carrier=carrier.key)


def _alone(tx: Transaction) -> Transaction:
    return tx.to(TxState.QUEUED, carrier=None, call=replace(tx.call, known_gas=0))
