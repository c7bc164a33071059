"""What became of the transactions that are out: in which block, final, gone with their block, or pushed aside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from node.ledger.endpoint import Endpoint
from node.ledger.errors import RpcDisagrees, RpcError, RpcGarbled, RpcLags, RpcRefused
from node.ledger.headers import Header
from node.ledger.keeper import Keeper
from node.ledger.reverts import ErrorDecoder, Reason, reason_of
from node.ledger.rpc import Rpc
from node.ledger.transaction import Inclusion, Transaction, TxState
from node.ledger.usurper import Finding, who_used
from node.ledger.wire import Receipt
from node.types import address_to_text

__all__ = ["CANCELLED", "Sight", "Watch"]

_log = structlog.get_logger(__name__)

CANCELLED = Reason("Cancelled", (), "It was cancelled before the chain took it.")
# From so many on, the receipts of whole blocks are cheaper than one call for each transaction.
_MANY = 16
# Blocks whose receipts are read in one pass; what is older is looked up by hash.
_BLOCKS = 32
# Receipts of batches that are kept for whoever tells what became of their items: some hundred logs each.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Sight:
    """What one endpoint says in one pass: its head, the sender's next nonce there, the highest final height, and what
    the head asked for gas (wei)."""

    endpoint: Endpoint
    head: Header
    nonce: int
    final: int
    base_fee: int


class Watch:
    """Follows what a sender has out. ``look`` makes one round; it asks in batches and by block, never one by one."""

    def __init__(self, rpc: Rpc, keeper: Keeper, address: bytes, decoder: ErrorDecoder) -> None:
        self._rpc = rpc
        self._keeper = keeper
        self._address = address
        self._decode = decoder
        self._read_to: int | None = None
        self._checked: bytes = b""
        self._by_blocks = True
        self._missing_since: dict[bytes, int] = {}
        self._looked: set[bytes] = set()
        self._receipts: dict[bytes, Receipt] = {}

    def forget_place(self) -> None:
        """The chain was reorganised: nothing that was read from blocks counts."""
        self._read_to = None
        self._checked = b""

    def read_receipt(self, carrier: Transaction) -> Receipt | None:
        """The receipt of one with members, if it was read here and says what is known of it; it is told once."""
        receipt, found = self._receipts.pop(carrier.key, None), carrier.inclusion
        if receipt is None or found is None:
            return None
        same = (receipt.transaction_hash, receipt.block_hash) == (found.transaction_hash, found.block_hash)
        return receipt if same else None

    async def look(self, sight: Sight, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Move everything that is out to where it belongs; do ``meanwhile`` as soon as it is clear what is gone.

        What is final or in a block, and looking for it, does not hold up ``meanwhile``, which may change what waits and
        what the chain has not used, nothing else. Raises RpcError, and what ``meanwhile`` raises; neither stops the
        other.
        """
        await self._reopen(sight)
        final = await self._standing(sight)
        used = self._keeper.book.used(sight.nonce)
        followed, done = await asyncio.gather(self._follow(sight, final, used), meanwhile(), return_exceptions=True)
        if isinstance(followed, BaseException):
            raise followed
        if isinstance(done, BaseException):
            raise done

    async def _follow(self, sight: Sight, final: Sequence[Transaction], used: Sequence[Transaction]) -> None:
        """Save what is final and what the chain has used since."""
        await self._keeper.keep(final)
        self._checked = sight.head.hash
        if await self._place(sight, used, await self._receipts_of(sight, used)):
            self._checked = b""  # the blocks that they are in have not been looked at
            await self._keeper.keep(await self._standing(sight))
            self._checked = sight.head.hash

    # --- below finality -----------------------------------------------------------------------------------------------

    async def _reopen(self, sight: Sight) -> None:
        """Take up again what was final and is gone: a reorganisation below finality gave its nonces back."""
        book = self._keeper.book
        if sight.nonce >= book.floor:
            return
        endpoint = sight.endpoint
        finished = await self._keeper.store.finished_from(self._rpc.chain_id, self._address, sight.nonce)
        gone: list[Transaction] = []
        for tx in finished:
            found = tx.inclusion
            if found is not None and found.block_number > sight.head.number:
                # A chain may be shorter after a reorganisation, but a late endpoint looks the same: ask again later.
                raise RpcLags(f"{endpoint.name} does not know block {found.block_number}, which was final")
            if found is not None and await self._holds(endpoint, found):
                raise RpcLags(f"{endpoint.name} counts fewer transactions than its own blocks hold")
            gone.append(tx.to(TxState.SENT, inclusion=None, reason=None))
            _log.error("final_transaction_gone", key=tx.key.hex(), nonce=tx.nonce)
        self.forget_place()
        book.floor = sight.nonce
        await self._keeper.keep(gone)

    @staticmethod
    async def _holds(endpoint: Endpoint, found: Inclusion) -> bool:
        block = await endpoint.block(found.block_number)
        return block is not None and block.header.hash == found.block_hash

    # --- mined --------------------------------------------------------------------------------------------------------

    async def _standing(self, sight: Sight) -> list[Transaction]:
        """Look once at each block that holds ours: take back what was replaced, return what is final, to be saved."""
        places = list(self._keeper.book.blocks)
        if not places or sight.head.hash == self._checked:
            return []
        known = [place for place in places if place[0] <= sight.head.number]
        blocks = await sight.endpoint.blocks([number for number, _ in known])
        gone: list[Transaction] = []
        final: list[Transaction] = []
        for (number, block_hash), block in zip(known, blocks, strict=True):
            txs = [tx for key in self._keeper.book.blocks[number, block_hash] if (tx := self._keeper.book.get(key))]
            if block is None:
                raise RpcGarbled(f"{sight.endpoint.name} does not have block {number}, which is below its head")
            if block.header.hash != block_hash:
                gone += [tx.to(TxState.SENT, inclusion=None, reason=None) for tx in txs]
            elif number <= sight.final:
                wrong = await self._contradicted(sight.endpoint, txs)
                await self._second_opinion(sight.endpoint, [tx for tx in txs if tx.key not in wrong])
                gone += [tx.to(TxState.SENT, inclusion=None, reason=None) for tx in txs if tx.key in wrong]
                final += [_ended(tx) for tx in txs if tx.key not in wrong]
        if gone:
            _log.warning("transactions_gone_with_their_blocks", count=len(gone))
            self.forget_place()
        await self._keeper.keep(gone)
        return final

    async def _contradicted(self, endpoint: Endpoint, txs: Sequence[Transaction]) -> set[bytes]:
        """Return the keys of those whose record, made from another endpoint's answer, this one does not share."""
        if len(self._rpc.endpoints) < 2:
            return set()
        included = [(tx.key, tx.inclusion) for tx in txs if tx.inclusion is not None]
        said = await _receipts(endpoint, [f.transaction_hash for _, f in included], included[0][1].block_number)
        return {
            key
            for key, found in included
            if (theirs := said.get(found.transaction_hash)) is None
            or (theirs.block_hash, theirs.ok) != (found.block_hash, found.ok)
        }

    async def _second_opinion(self, endpoint: Endpoint, txs: Sequence[Transaction]) -> None:
        """Before anything counts as final another endpoint is asked, where there is one.

        Raises RpcDisagrees when it tells the opposite. Who is asked and does not know (late, pruned) has no say.
        """
        for other in self._rpc.others(endpoint)[: 1 if txs else 0]:
            included = [tx.inclusion for tx in txs if tx.inclusion is not None]
            try:
                said = await _receipts(other, [found.transaction_hash for found in included], included[0].block_number)
            except RpcError as fault:
                if not isinstance(fault, RpcRefused):
                    other.demote(fault)
                return
            for found in included:
                theirs = said.get(found.transaction_hash)
                if theirs is not None and (theirs.block_hash, theirs.ok) != (found.block_hash, found.ok):
                    self._accuse(endpoint, other, found)

    def _accuse(self, endpoint: Endpoint, other: Endpoint, found: Inclusion) -> None:
        fault = RpcDisagrees(
            f"{endpoint.name} and {other.name} tell different receipts of a transaction in block {found.block_number}"
        )
        # Of two the one configured first is right; of its answers nothing else is known to be wrong.
        (other if self._rpc.trusted_more(endpoint, other) else endpoint).suspect(fault)
        raise fault

    # --- sent ---------------------------------------------------------------------------------------------------------

    async def _place(self, sight: Sight, used: Sequence[Transaction], found: Mapping[bytes, Receipt]) -> bool:
        """Put those whose nonce the chain has used in their blocks, or take them back; tell if any was found."""
        changed: list[Transaction] = []
        for tx in used:
            receipt = next((found[a.hash] for a in reversed(tx.attempts) if a.hash in found), None)
            if receipt is None:
                continue
            self._missing_since.pop(tx.key, None)
            self._looked.discard(tx.key)
            if tx.members:
                self._receipts[tx.key] = receipt
                if len(self._receipts) > _KEPT:
                    del self._receipts[next(iter(self._receipts))]
            changed.append(await self._included(sight.endpoint, tx, receipt))
        await self._keeper.keep(changed)
        there = {tx.key for tx in changed}
        for tx in used:
            if tx.key not in there:
                await self._missing(sight, tx)
        return bool(changed)

    async def _receipts_of(self, sight: Sight, used: Sequence[Transaction]) -> dict[bytes, Receipt]:
        """Return receipts by transaction hash: from the new blocks when many are due, else by hash."""
        first = None if self._read_to is None else self._read_to + 1
        self._read_to = sight.head.number
        if not used:
            return {}
        found: dict[bytes, Receipt] = {}
        asked = list(used)
        if self._by_blocks and first is not None and len(used) >= _MANY and sight.head.number - first < _BLOCKS:
            heights = range(first, sight.head.number + 1)
            try:
                receipts = await sight.endpoint.receipts_in(heights, {a.hash for tx in used for a in tx.attempts})
            except RpcRefused:
                self._by_blocks = False
            else:
                found = {receipt.transaction_hash: receipt for receipt in receipts}
                missed = [tx for tx in used if not any(a.hash in found for a in tx.attempts)]
                # The nonce may already be that of a block to come. Who is missed twice is asked for by hash: a
                # reorganisation may have put it further down.
                asked = [tx for tx in missed if tx.key in self._looked]
                self._looked.update(tx.key for tx in missed)
        hashes = [attempt.hash for tx in asked for attempt in tx.attempts]
        for receipt in await sight.endpoint.receipts(hashes) if hashes else ():
            if receipt is not None:
                found[receipt.transaction_hash] = receipt
        return found

    async def _included(self, endpoint: Endpoint, tx: Transaction, receipt: Receipt) -> Transaction:
        inclusion = Inclusion(
            receipt.block_number,
            receipt.block_hash,
            receipt.transaction_hash,
            receipt.gas_used,
            receipt.gas_price,
            receipt.ok,
        )
        mined = tx.to(TxState.MINED, inclusion=inclusion, reason=None)
        if mined.cancelled:
            return mined.to(TxState.MINED, reason=CANCELLED)
        return mined if receipt.ok else mined.to(TxState.MINED, reason=await self._why(endpoint, tx, receipt))

    async def _why(self, endpoint: Endpoint, tx: Transaction, receipt: Receipt) -> Reason:
        """Run the call again on the state before its block to learn why it reverted."""
        if receipt.gas_used >= tx.gas:
            return Reason("OutOfGas", (("limit", str(tx.gas)),))
        try:
            await endpoint.call(tx.call.to, tx.call.data, sender=self._address, at=receipt.block_number - 1)
        except RpcRefused as refusal:
            reason = reason_of(refusal, self._decode)
            return reason or Reason("reverted")
        return Reason("reverted")

    async def _missing(self, sight: Sight, tx: Transaction) -> None:
        """Its nonce is used and it has no receipt. Only what is shown in a final block counts as pushed aside.

        An endpoint that hides a receipt, by lie or by lateness, must not have the work done twice.
        """
        if tx.nonce is None or sight.final < self._missing_since.setdefault(tx.key, sight.head.number):
            return
        hashes = {attempt.hash for attempt in tx.attempts}
        finding = await who_used(sight.endpoint, self._address, tx.nonce, hashes, sight.final)
        if finding is Finding.OURS:
            raise RpcGarbled(f"{sight.endpoint.name} hides the receipt of a transaction that is in its own block")
        if finding is Finding.UNSEEN:
            return
        if finding is Finding.PRUNED:
            _log.warning("nonce_used_in_history_that_is_gone", key=tx.key.hex(), nonce=tx.nonce)
        else:
            address = address_to_text(self._address)
            _log.error("nonce_used_by_another", key=tx.key.hex(), nonce=tx.nonce, address=address)
        self._missing_since.pop(tx.key, None)
        self._looked.discard(tx.key)
        # Whether the effect is there already the contract decides: so this one is estimated.
        again = replace(tx.call, known_gas=0)
        await self._keeper.keep([tx.to(TxState.QUEUED, nonce=None, attempts=(), gas=0, call=again)])


async def _receipts(endpoint: Endpoint, hashes: Sequence[bytes], height: int) -> dict[bytes, Receipt]:
    """Receipts by hash, from one block when there are many."""
    if len(hashes) >= _MANY:
        return {r.transaction_hash: r for r in await endpoint.receipts_in([height], frozenset(hashes))}
    return {r.transaction_hash: r for r in await endpoint.receipts(hashes) if r is not None}


def _ended(tx: Transaction) -> Transaction:
    return tx.to(TxState.REFUSED if tx.cancelled else TxState.FINAL)
