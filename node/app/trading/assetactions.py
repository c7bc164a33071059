"""What a person, or another program, has an asset say about an order or a contract, and the market's refusals of it."""

from __future__ import annotations

import structlog
from eth_utils.crypto import keccak

from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core, peer_of
from node.app.inbox import Kept
from node.app.trading.assetproof import signed_counters
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.markets import MarketTerms
from node.errors import Conflict, NotFound, Refused
from node.projection.order import Order, OrderStatus
from node.projection.settlement_events import ReceivedRefusal
from node.projection.trade import Trade, TradeStatus
from node.wire.settlement import WordRefused

__all__ = ["REFUSED", "AssetActions"]

_log = structlog.get_logger(__name__)

REFUSED = "asset_refused"
"""Namespace of facts: words that a market's chain did not take, by digest: kind, reason, when it was heard."""


class AssetActions:
    """Cancelling, contesting and proving, on request. Each returns the digest of what was signed."""

    def __init__(self, core: Core, voice: AssetVoice) -> None:
        self._core = core
        self._voice = voice

    async def cancel_order(self, order_id: bytes) -> bytes:
        """Takes an own order back. What is matched stays: the first in the order of the chain wins (A-28)."""
        order = await self._core.storage.views.one(Order, order_id)
        if not order.own or order.terms is None:
            raise NotFound("This asset made no order with this id.")
        if order.status is not OrderStatus.OPEN:
            raise Conflict(f"The order is {order.status.value} already.", remedy="Look at its contracts.")
        joined = await self._market_of(order.terms.account)
        now = self._core.clock.now()
        message = m.Cancel(order.terms.account, bytes(joined.operator), order_id, now + VALID_S)
        return await self._send(joined, message, b"\x00")

    async def cancel_contract(self, contract_id: bytes) -> bytes:
        """Ends an own contract before its delivery began (A-15), or when nobody reported within the start grace."""
        trade, account, joined = await self._own(contract_id)
        now = self._core.clock.now()
        if trade.status is not TradeStatus.MATCHED:
            raise Conflict(f"The contract is {trade.status.value}: delivery has been reported.", remedy="Settle it.")
        if trade.watch is not None:
            start = trade.watch.waits.start
            if start <= now < start + trade.watch.waits.start_grace:
                raise Conflict("The delivery has begun.", remedy="Wait for the start grace of the market's terms.")
        message = m.Cancel(account, bytes(joined.operator), contract_id, now + VALID_S)
        return await self._send(joined, message, b"\x01")

    async def dispute(self, contract_id: bytes, reason: str) -> bytes:
        """Contests a claim against this asset. The text stays here and with whoever is shown it; its hash is signed."""
        trade, account, joined = await self._own(contract_id)
        if trade.status is not TradeStatus.CLAIMED or trade.terms is None or trade.terms.buyer != account:
            raise Conflict("There is no claim against this asset to contest.", remedy="Look at the contract's state.")
        digest = bytes(keccak(reason.encode()))
        now = self._core.clock.now()
        message = m.Dispute(account, bytes(joined.operator), contract_id, digest, now + VALID_S)
        return await self._send(joined, message)

    async def evidence(self, contract_id: bytes) -> bytes:
        """Shows the market the own meter's counters, signed by the device; returns the digest of the last one.

        Raises Conflict where nothing is contested, NotFound where the meter was not read at both ends.
        """
        trade, account, joined = await self._own(contract_id)
        if trade.status not in (TradeStatus.CONTESTED, TradeStatus.DISPUTED) or trade.terms is None:
            raise Conflict(f"The contract is {trade.status.value}: nothing is contested.", remedy="Look at its state.")
        body = await signed_counters(self._core, self._voice.domain(), trade, account, bytes(joined.operator))
        await self._voice.post.send(peer_of(joined.card), "market.evidence", body.to_json(), VALID_S)
        return m.digest(m.Counter(body.device, body.last_wh, body.last_at), self._voice.domain())

    async def take_refusal(self, parcel: Parcel) -> Kept:
        """A market tells that the chain did not take a word, or that it does not take an order; signed by its operator.
        Whether an order is that market's is decided where the order is kept, too."""
        body = WordRefused.model_validate(parcel.body)
        if parcel.sender not in await self._voice.markets():
            raise Refused("This asset does not trade in that market.")
        order = await self._core.storage.views.one(Order, bytes(body.about))
        if order.own and order.peer is not None:
            if parcel.sender != order.peer.address:
                raise Refused("That order was placed in another market.", field="about")
            return Kept((ReceivedRefusal(order.order_id, parcel.sender, body.reason, self._core.clock.now()),))
        _log.warning("word_refused", kind=body.kind, reason=body.reason)
        value = {"kind": body.kind, "reason": body.reason, "at": self._core.clock.now()}
        return Kept((), ((REFUSED, bytes(body.about).hex(), value),))

    async def _own(self, contract_id: bytes) -> tuple[Trade, bytes, MarketTerms]:
        trade = await self._core.storage.views.one(Trade, contract_id)
        await self._voice.markets()
        accounts = (trade.terms.seller, trade.terms.buyer) if trade.terms is not None else ()
        account = next((each for each in accounts if each in self._voice.accounts), None)
        if account is None:
            raise NotFound("This asset has no contract with this id.")
        return trade, account, await self._market_of(account)

    async def _market_of(self, account: bytes) -> MarketTerms:
        markets = await self._voice.markets()
        operator = self._voice.accounts.get(account)
        if operator is None:
            raise NotFound("This asset has left that market.")
        return markets[operator]

    async def _send(self, joined: MarketTerms, message: m.Message, *opening: bytes) -> bytes:
        """Straight to the market: who asks wants to know whether it arrived. Raises NodeUnreachable, Refused."""
        return await self._voice.send(joined, message, opening)
