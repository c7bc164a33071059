"""Whether what an asset is asked to pay is what it ordered: M-45 to M-51, each looked up where it stands."""

from __future__ import annotations

import json

from keys import messages as m
from keys.errors import KeysError
from node.app.core import Core
from node.app.trading.assetvoice import AssetVoice
from node.projection.order import Order
from node.projection.trade import Trade, TradeStatus
from node.projection.twin import Twin, TwinStatus
from node.services.asset.errors import PaymentRefused
from node.services.asset.rules import Asked, Bill, Ordered, check_asked, check_bill, check_initial

__all__ = ["verified_bill"]

_DELIVERED = 4
"""`State.Delivered` of the contract."""


async def verified_bill(core: Core, voice: AssetVoice, trade: Trade, operator: bytes) -> Bill:
    """The contract as a bill that stands up to everything in hand. Raises PaymentRefused; RpcError to try again."""
    terms, delivered = trade.terms, trade.delivered
    if terms is None or delivered is None or trade.status is not TradeStatus.DELIVERED or not trade.settled:
        raise PaymentRefused("The contract is not one that is to be paid now.", field="status")  # M-46
    twin = await core.storage.views.one(Twin, trade.contract_id)
    if twin.status is TwinStatus.FORKED:
        raise PaymentRefused("Somebody told two histories in the contract's digital twin.", field="twin")  # M-47
    order = await core.storage.views.one(Order, terms.request)
    stored = None
    if order.own and order.terms is not None:
        own = order.terms
        stored = Ordered(terms.request, own.account, own.wh, own.price)
    bill = Bill(
        trade.contract_id,
        terms.buyer,
        terms.request,
        terms.wh,
        terms.price,
        delivered.wh,
        delivered.amount,
        delivered.block.number,
        terms.escrowed,
    )
    check_bill(bill, stored)
    check_initial(stored, _signed(voice, order, operator))
    found = await voice.views().contract(operator, trade.contract_id)
    check_asked(bill, Asked(found.state == _DELIVERED, found.wh, found.price, found.first_wh, found.due))
    return bill


def _signed(voice: AssetVoice, order: Order, operator: bytes) -> Ordered | None:
    """What the signed request says; None where this asset's own key did not sign it (M-48)."""
    signer = voice.signer(operator).address
    try:
        message, domain = m.from_typed_data(json.loads(order.body))
        m.verify(message, domain, order.signature, signer)
    except (KeysError, ValueError):
        return None
    if not isinstance(message, m.Request) or domain != voice.domain() or message.account != signer:
        return None
    return Ordered(m.digest(message, domain), message.account, message.wh, message.price)
