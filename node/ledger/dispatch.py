"""Puts transactions out: gives nonces, signs, saves, hands them to the pool in groups, and keeps them moving there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import structlog
from eth_utils.crypto import keccak

from keys.signers import Signer
from node.clock import Clock
from node.ledger.errors import RpcRefused, SenderUnfunded
from node.ledger.fees import Fees
from node.ledger.keeper import Keeper
from node.ledger.options import SenderOptions
from node.ledger.pool import PoolAnswer, pool_answer
from node.ledger.reverts import ErrorDecoder, reason_of
from node.ledger.rpc import Rpc
from node.ledger.transaction import Attempt, Call, Transaction, TxState
from node.ledger.watch import Sight
from node.types import address_to_text

__all__ = ["Dispatch"]

_log = structlog.get_logger(__name__)

# Signed, saved and broadcast together.
_GROUP = 500
# Sent in one pass: what the chain does meanwhile is to be seen soon.
_IN_ONE_PASS = 4 * _GROUP
# Signed without letting others go on.
_SIGNED_AT_ONCE = 25
# Looked at in one pass when the chain stands still: enough to repair, too few to flood.
_REPAIR = 500
_LEAST_WINDOW = 16
_TRANSFER_GAS = 21_000


class Dispatch:
    """The sending half of a sender. Durations are measured with the monotonic clock: wall clocks step.

    ``more``: the bound of a pass left something that could have gone out.
    """

    def __init__(
        self, rpc: Rpc, signer: Signer, keeper: Keeper, clock: Clock, decoder: ErrorDecoder, options: SenderOptions
    ) -> None:
        self._rpc = rpc
        self._signer = signer
        self._keeper = keeper
        self._clock = clock
        self._decode = decoder
        self._options = options
        self.more = False
        self._window = options.in_flight
        self._pending: dict[bytes, None] = {}
        self._handed: dict[bytes, float] = {}
        self._cheap: set[bytes] = set()
        self._parked: dict[bytes, None] = {}
        self._refused_at: dict[bytes, int] = {}
        self._moved = (-1, 0.0)
        self._repaired = 0.0
        keeper.on_change.append(self._changed)

    def _changed(self, changed: Sequence[Transaction]) -> None:
        """Remember what is sent by the book but not handed to a pool by this process, or taken back by the chain."""
        for tx in changed:
            if tx.state is TxState.SENT:
                self._pending[tx.key] = None
            else:
                self._pending.pop(tx.key, None)
                self._handed.pop(tx.key, None)
                self._parked.pop(tx.key, None)
                self._cheap.discard(tx.key)
            if tx.state is not TxState.QUEUED:
                self._refused_at.pop(tx.key, None)

    async def work(self, sight: Sight) -> None:
        """Hand out what is due, repair what stands still, send what waits.

        Raises RpcError, FeesTooHigh, SenderUnfunded; whatever was possible before that is done.
        """
        await self._hand_out([tx for key in tuple(self._pending) if (tx := self._keeper.book.get(key))])
        await self._keep_moving(sight)
        await self._send_queued(sight)

    # --- what is out --------------------------------------------------------------------------------------------------

    async def _hand_out(self, txs: Sequence[Transaction]) -> None:
        """Hand the newest versions to the pool, in groups and in the order given. They were saved before."""
        for start in range(0, len(txs), _GROUP):
            group = [tx for tx in txs[start : start + _GROUP] if tx.state is TxState.SENT]
            answers = await self._rpc.send_raw_many([tx.attempts[-1].raw for tx in group])
            now = self._clock.monotonic()
            for tx in group:
                self._pending.pop(tx.key, None)
                self._handed[tx.key] = now
            for tx, refusal in zip(group, answers, strict=True):
                if refusal is not None:
                    await self._pool_said(tx, refusal)

    async def _pool_said(self, tx: Transaction, refusal: RpcRefused) -> None:
        answer = pool_answer(refusal.reason)
        if answer is PoolAnswer.CHEAP:
            self._cheap.add(tx.key)
        elif answer is PoolAnswer.POOR:
            raise SenderUnfunded(self._signer.address, tx.cost, await self._rpc.balance(self._signer.address))
        elif answer is PoolAnswer.FULL:
            # It is saved and goes out again once something before it has been included.
            self._parked[tx.key] = None
            smaller = max(_LEAST_WINDOW, self._keeper.book.out // 2)
            if smaller < self._window:
                _log.info("pool_full", in_flight=smaller, reason=refusal.reason)
            self._window = min(self._window, smaller)
        elif answer is PoolAnswer.OTHER:
            _log.warning("pool_refused", key=tx.key.hex(), reason=refusal.reason)
            raise refusal

    async def _keep_moving(self, sight: Sight) -> None:
        """When the chain takes nothing more: hand out again what the pool lost, replace what is too cheap."""
        book, now = self._keeper.book, self._clock.monotonic()
        if sight.nonce != self._moved[0]:
            if sight.nonce > self._moved[0]:
                self._window = min(self._options.in_flight, self._window + _LEAST_WINDOW)
                self._pending.update(self._parked)
                self._parked.clear()
            self._moved = (sight.nonce, now)
        lowest = book.lowest()
        if lowest is None or lowest.nonce is None:
            return
        still = now - max(self._moved[1], self._handed.get(lowest.key, now))
        if lowest.nonce > sight.nonce:
            if still >= self._options.rebroadcast_after:
                await self._fill_gap(sight.nonce, lowest.nonce)
            return
        if lowest.key in self._cheap or still >= self._options.bump_after:
            await self._replace(sight, book.sent_from(lowest.nonce, _REPAIR))
        elif min(still, now - self._repaired) >= self._options.rebroadcast_after:
            self._repaired = now
            await self._repair(sight, lowest.nonce)

    async def _repair(self, sight: Sight, lowest: int) -> None:
        """Hand out again what the pool does not have: it counts what it holds without a gap."""
        held = max(lowest, await sight.endpoint.nonce(self._signer.address, at="pending"))
        lost = self._keeper.book.sent_from(held, _REPAIR)
        first = self._keeper.book.sent_from(lowest, 1)  # also the lowest: "pending" may be an old answer
        await self._hand_out([*first, *(tx for tx in lost if tx not in first)])

    async def _replace(self, sight: Sight, txs: Sequence[Transaction]) -> None:
        """Broadcast the lowest with higher fees, and with it those behind it that could not be included either."""
        today = await self._options.fees.current(sight.endpoint, sight.base_fee)
        balance = await sight.endpoint.balance(self._signer.address)
        changed: list[Transaction] = []
        extra = 0
        for place, tx in enumerate(txs):
            latest = tx.attempts[-1]
            if place and latest.max_fee >= today.base:
                continue
            self._cheap.discard(tx.key)
            fees = self._options.fees.bumped(Fees(latest.max_fee, latest.priority_fee), today)
            if fees is None:
                continue
            extra += tx.gas * (fees.max_fee - latest.max_fee)
            if balance < self._keeper.book.promised + extra:
                break
            changed.append(await self._signed(tx, fees, cancels=latest.cancels))
        if not changed:
            self._handed[txs[0].key] = self._clock.monotonic()  # the caps leave no room: look again later
            await self._hand_out(txs[:1])
            return
        _log.info("transactions_replaced", count=len(changed), max_fee=changed[0].attempts[-1].max_fee)
        await self._keeper.keep(changed)
        await self._hand_out(changed)

    async def _fill_gap(self, first: int, end: int) -> None:
        """A nonce below ours is free again, because somebody else's transaction vanished: nothing would move."""
        for nonce in range(first, min(end, first + _LEAST_WINDOW)):
            if not self._keeper.book.holds_nonce(nonce) and not self._keeper.book.any_queued:
                _log.warning("nonce_gap_filled", nonce=nonce)
                key = keccak(b"gap" + self._signer.address + nonce.to_bytes(8, "big") + self._clock.now().to_bytes(8))
                call = Call(self._signer.address, b"", known_gas=_TRANSFER_GAS)
                fresh = Transaction(key, self._rpc.chain_id, self._signer.address, call, self._clock.now())
                await self._keeper.admit(fresh)

    async def cancel(self, tx: Transaction) -> Transaction:
        """Take the nonce of one that is out with a transfer of nothing to the sender itself, at higher fees."""
        endpoint = await self._rpc.choose()
        latest = tx.attempts[-1]
        today = await self._options.fees.current(endpoint)
        fees = self._options.fees.bumped(Fees(latest.max_fee, latest.priority_fee), today)
        if fees is None:
            raise self._options.fees.too_high(latest.max_fee)
        changed = await self._signed(tx, fees, cancels=True)
        await self._keeper.keep([changed])
        await self._hand_out([changed])
        return changed

    # --- what waits ---------------------------------------------------------------------------------------------------

    async def _send_queued(self, sight: Sight) -> None:
        """Send what waits and what comes to wait meanwhile, up to the bound of a pass."""
        book = self._keeper.book
        self.more = False
        if not book.any_queued or book.out >= self._window:
            return
        fees = await self._options.fees.current(sight.endpoint, sight.base_fee)
        balance = await sight.endpoint.balance(self._signer.address)
        looked: set[bytes] = set()
        signed: Sequence[Transaction] = ()
        poor: SenderUnfunded | None = None
        while poor is None and book.out < self._window and len(looked) < _IN_ONE_PASS:
            group = [tx for tx in book.queued(_GROUP + len(looked)) if tx.key not in looked][:_GROUP]
            if not group and not signed:
                break
            looked.update(tx.key for tx in group)
            # While the pool takes one group, the next one is signed and saved. Neither is stopped by what befalls the
            # other: what was saved and not handed out is pending, and goes with the next pass.
            handed, made = await asyncio.gather(
                self._hand_out(signed), self._prepared(sight, group, fees, balance), return_exceptions=True
            )
            if isinstance(handed, BaseException):
                raise handed
            if isinstance(made, BaseException):
                raise made
            signed, poor = made
        await self._hand_out(signed)
        if poor is not None:
            raise poor
        self.more = len(looked) >= _IN_ONE_PASS

    async def _prepared(
        self, sight: Sight, waiting: Sequence[Transaction], fees: Fees, balance: int
    ) -> tuple[Sequence[Transaction], SenderUnfunded | None]:
        """Sign and save those of a group for which there is room and money; tell also if the money was not enough."""
        group = (await self._ready(sight, waiting))[: max(0, self._window - self._keeper.book.out)]
        poor: SenderUnfunded | None = None
        signed: list[Transaction] = []
        promised = self._keeper.book.promised
        # All before the first is signed: what becomes final meanwhile no longer holds its nonce.
        nonces = tuple(islice(self._keeper.book.free_nonces(sight.nonce), len(group)))
        for place, (tx, nonce) in enumerate(zip(group, nonces, strict=True), 1):
            needed = promised + tx.gas * fees.max_fee + tx.call.value
            if balance < needed:
                poor = SenderUnfunded(self._signer.address, needed, balance)
                break
            promised = needed
            signed.append(await self._signed(tx, fees, nonce=nonce))
            if not place % _SIGNED_AT_ONCE:
                await asyncio.sleep(0)
        await self._keeper.keep(signed)
        return signed, poor

    async def _ready(self, sight: Sight, txs: Sequence[Transaction]) -> list[Transaction]:
        """Return those of a group that may go out, with their gas limits."""
        unknown = [tx for tx in txs if not tx.call.known_gas and self._refused_at.get(tx.key, -1) < sight.nonce]
        calls = [(tx.call.to, tx.call.data, tx.call.value) for tx in unknown]
        answers = await sight.endpoint.estimate_gas_many(calls, sender=self._signer.address) if calls else []
        gas = {tx.key: tx.call.known_gas for tx in txs if tx.call.known_gas}
        refused: list[Transaction] = []
        for tx, answer in zip(unknown, answers, strict=True):
            if not isinstance(answer, RpcRefused):
                gas[tx.key] = max(answer * (100 + self._options.gas_margin_percent) // 100, tx.call.least_gas)
                continue
            limit = await self._refusal(sight, tx, answer, refused)
            if limit is not None:
                gas[tx.key] = limit
        await self._keeper.keep(refused)
        return [replace(tx, gas=gas[tx.key]) for tx in txs if tx.key in gas]

    async def _refusal(
        self, sight: Sight, tx: Transaction, refusal: RpcRefused, refused: list[Transaction]
    ) -> int | None:
        """Return the gas of one whose estimate was refused; None when the contract refuses it, for now or for good."""
        reason = reason_of(refusal, self._decode)
        if reason is None:
            if pool_answer(refusal.reason) is PoolAnswer.POOR:
                balance = await sight.endpoint.balance(self._signer.address)
                raise SenderUnfunded(self._signer.address, max(tx.call.value, balance + 1), balance) from refusal
            return tx.call.gas  # the endpoint does not estimate; the static bound of the call serves
        # It may depend on what is out: only when all of that has been included the refusal counts.
        last = self._keeper.book.last_nonce
        if last is None or self._refused_at.get(tx.key, last) < sight.nonce:
            refused.append(tx.to(TxState.REFUSED, reason=reason))
        else:
            self._refused_at.setdefault(tx.key, last)
        return None

    async def _signed(
        self, tx: Transaction, fees: Fees, *, nonce: int | None = None, cancels: bool = False
    ) -> Transaction:
        """One version more, with the nonce that it has, or its first one."""
        nonce = tx.nonce if nonce is None else nonce
        raw = await self._signer.sign_transaction(
            {
                "type": 2,
                "chainId": tx.chain_id,
                "nonce": nonce,
                "to": address_to_text(self._signer.address if cancels else tx.call.to),
                "data": b"" if cancels else tx.call.data,
                "value": 0 if cancels else tx.call.value,
                "gas": _TRANSFER_GAS if cancels else tx.gas,
                "maxFeePerGas": fees.max_fee,
                "maxPriorityFeePerGas": fees.priority_fee,
            }
        )
        attempt = Attempt(keccak(raw), raw, fees.max_fee, fees.priority_fee, self._clock.now(), cancels)
        return tx.to(TxState.SENT, nonce=nonce, attempts=(*tx.attempts, attempt))
