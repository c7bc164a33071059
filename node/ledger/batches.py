"""Relayed messages that share a transaction: gathered by size and age, carried by the contract's `batch`, told apart.

Every message stays a transaction of its own in the store, under its digest. A batch is one more, the carrier, and what
becomes of it decides what becomes of its members: a rejected item is refused with its reason, the others are mined. A
batch that reverts as a whole sets its members free, and each goes alone: one bad message never sinks the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import structlog
from eth_utils.crypto import keccak

from node.clock import Clock
from node.ledger.errors import LedgerError, RpcRefused
from node.ledger.headers import Header
from node.ledger.keeper import Keeper
from node.ledger.reverts import ErrorDecoder, Reason, reason_of
from node.ledger.rpc import Rpc
from node.ledger.sender import Sender
from node.ledger.transaction import Call, Transaction, TxState
from node.ledger.wire import RawLog, Receipt
from node.storage.errors import StorageError

__all__ = ["BatchFace", "BatchOptions", "Batches"]

_log = structlog.get_logger(__name__)
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class BatchFace:
    """How a contract takes batches: makes the call, finds what was rejected in the logs, decodes reverts.

    ``contract`` (bytes20): only what goes there is gathered; empty where a sender serves one contract.
    ``lane`` of an item: those of one lane go one after the other, the next when a block follows the one that has the
    one before, so that time has passed between them; None: no lane, it waits for nobody.
    """

    call: Callable[[Sequence[Call]], Call]
    rejections: Callable[[Sequence[RawLog]], Mapping[bytes, Reason]]
    reason: ErrorDecoder
    contract: bytes = b""
    lane: Callable[[bytes], bytes | None] = lambda _: None

    def takes(self, call: Call) -> bool:
        """Whether a call is for this contract."""
        return not self.contract or call.to == self.contract


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
        self._moved: dict[bytes, Transaction | None] = dict.fromkeys(self._keeper.book.carried())
        self._settling = asyncio.Lock()
        self._ahead: dict[bytes, bytes] = {}
        self._placed: dict[bytes, int] = {}
        self._wake = asyncio.Event()
        self._note_lanes(self._keeper.book.unplaced())
        self._keeper.on_change.append(self._changed)

    def _note_lanes(self, changed: Sequence[Transaction]) -> None:
        """Who is on the way in each lane (carried, queued or sent, and in no block), and in which block the last is."""
        for tx in changed:
            if not tx.call.item or not self._face.takes(tx.call) or (lane := self._face.lane(tx.call.item)) is None:
                continue
            if tx.state in (TxState.CARRIED, TxState.QUEUED, TxState.SENT):
                self._ahead[lane] = tx.key
            elif self._ahead.get(lane) == tx.key:
                del self._ahead[lane]
                if tx.inclusion is not None:
                    self._placed[lane] = tx.inclusion.block_number

    def _changed(self, changed: Sequence[Transaction]) -> None:
        self._note_lanes(changed)
        for tx in changed:
            if not self._face.takes(tx.call):
                continue
            if tx.members and tx.state is not TxState.QUEUED:
                self._moved[tx.key] = tx
            elif tx.state is not TxState.GATHERED:
                self._tries.pop(tx.key, None)
                continue
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
            if self._gathered:
                # The first one's age decides; more may join meanwhile.
                await asyncio.sleep(pause)
            elif not self._moved:
                await self._wake.wait()
                await asyncio.sleep(pause if self._gathered else 0)

    @property
    def _gathered(self) -> bool:
        return self._keeper.book.any_gathered(self._face.contract)

    # --- making them --------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Put what is gathered into batches. Raises RpcError; then it stays gathered."""
        if not self._gathered:
            return
        head = await self._rpc.head()
        while True:
            group, more = self._group(head)
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
            if held or not more:
                return

    def _group(self, head: Header) -> tuple[list[Transaction], bool]:
        """The next ones that go together, and whether the bounds of a batch have left others behind."""
        group: list[Transaction] = []
        # On the state of the block that has the one before, nothing could have come about since.
        self._placed = {lane: height for lane, height in self._placed.items() if height >= head.number}
        taken = self._ahead.keys() | self._placed.keys()
        gas = 0
        for tx in self._keeper.book.gathered(self._face.contract):
            lane = self._face.lane(tx.call.item)
            if lane is not None:
                if lane in taken:
                    continue
                taken.add(lane)
            if tx.key in self._tries and head.hash == self._tried_at:
                continue  # nothing has changed since it was refused
            gas += tx.call.known_gas or tx.call.gas
            if len(group) == self._options.size or (group and gas > self._options.gas):
                return group, True
            group.append(tx)
        return group, len(group) == self._options.size

    async def _simulated(self, group: Sequence[Transaction]) -> tuple[list[Transaction], list[Transaction]]:
        """Return those that the contract would take now, and those that it will not: refused often enough."""
        calls = [(tx.call.to, tx.call.data) for tx in group]
        answers = await self._rpc.call_many(calls, sender=self._sender.address, at="latest")
        # What is out may be what one waits for: a stream and its first grant follow each other. Only these are asked
        # again, because an endpoint may carry out everything that is out for each question about what is pending.
        later = [place for place, answer in enumerate(answers) if isinstance(answer, RpcRefused)]
        if later and self._sender.waiting:
            asked = [calls[place] for place in later]
            again = await self._rpc.call_many(asked, sender=self._sender.address, at="pending")
            for place, answer in zip(later, again, strict=True):
                answers[place] = answer
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
        """Move the members of every batch that moved, in one commit. Raises RpcError; then it is tried again. When it
        is over, all is told that had moved when it was called."""
        async with self._settling:
            moved, self._moved = self._moved, {}  # what moves again meanwhile is told again
            with ExitStack() as untold:
                untold.callback(self._put_back, moved)
                await self._settle(moved)
                untold.pop_all()

    def _put_back(self, moved: Mapping[bytes, Transaction | None]) -> None:
        self._moved = {**moved, **self._moved}

    async def _settle(self, moved: Mapping[bytes, Transaction | None]) -> None:
        # As it is now; one that is finished is not in the book any more, and is as it was when it moved.
        found = [self._keeper.book.get(key) or tx or await self._sender.find(key) for key, tx in moved.items()]
        carriers = [tx for tx in found if tx is not None and self._face.takes(tx.call)]
        members = {carrier.key: await self._members(carrier) for carrier in carriers}
        receipts = await self._receipts([c for c in carriers if _untold(c, members[c.key])])
        changed = [each for c in carriers for each in self._outcome(c, members[c.key], receipts)]
        if changed:
            async with self._sender.mutex:
                await self._keeper.keep(changed)
            self._sender.wake()

    async def _receipts(self, carriers: Sequence[Transaction]) -> dict[bytes, Receipt | None]:
        """By key; those that the sender has not just read itself are asked for."""
        read = {carrier.key: self._sender.read_receipt(carrier) for carrier in carriers}
        asked = {c.key: c.inclusion.transaction_hash for c in carriers if c.inclusion and read[c.key] is None}
        found = await self._rpc.receipts(list(asked.values())) if asked else []
        return {**read, **dict(zip(asked, found, strict=True))}

    async def _members(self, carrier: Transaction) -> list[Transaction]:
        return [tx for key in carrier.members if (tx := await self._sender.find(key)) and tx.carrier == carrier.key]

    def _outcome(
        self, carrier: Transaction, members: Sequence[Transaction], receipts: Mapping[bytes, Receipt | None]
    ) -> list[Transaction]:
        """What the state of a batch makes of its members; only those that change."""
        if carrier.succeeded and carrier.inclusion is not None:
            rejected: Mapping[bytes, Reason] = {}
            if carrier.key in receipts:
                receipt = receipts[carrier.key]
                if receipt is None or receipt.block_hash != carrier.inclusion.block_hash:
                    return []  # gone since; the sender notices, and this is told again
                rejected = self._face.rejections(receipt.logs)
            return [each for tx in members if (each := _with_carrier(tx, carrier, rejected)) is not tx]
        if carrier.state in (TxState.QUEUED, TxState.SENT):
            return [_back(tx, carrier) for tx in members if tx.state is not TxState.CARRIED]
        # It reverted as a whole, or was refused: each member goes its own way, and is estimated there.
        _log.warning("batch_came_apart", key=carrier.key.hex(), members=len(members), reason=str(carrier.reason or ""))
        return [_alone(tx) for tx in members if tx.state is TxState.CARRIED]


def _untold(carrier: Transaction, members: Sequence[Transaction]) -> bool:
    """Whether the receipt of a batch is needed to tell which of its items were rejected."""
    new = carrier.state is TxState.MINED or any(tx.state is not TxState.MINED for tx in members)
    return carrier.succeeded and new


def _with_carrier(tx: Transaction, carrier: Transaction, rejected: Mapping[bytes, Reason]) -> Transaction:
    """The member in the block of its batch, and final with it."""
    found = carrier.inclusion
    if found is None:
        return tx
    if tx.state is TxState.CARRIED or (tx.state is TxState.MINED and not _same_place(tx, carrier)):
        reason = rejected.get(tx.key)
        tx = tx.to(TxState.MINED, inclusion=found if reason is None else replace(found, ok=False), reason=reason)
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
