"""Whether what an asset is asked to pay is what it ordered: M-45 to M-51, each looked up where it stands."""

from __future__ import annotations

from typing import Protocol

from channels.errors import ChannelError
from channels.twin import Twin as Logs
from keys import messages as m
from keys.errors import KeysError
from node.app.core import Core
from node.app.trading.assetvoice import AssetVoice
from node.projection.order import Order
from node.projection.trade import Trade, TradeStatus
from node.projection.twin import Twin, TwinStatus
from node.services.asset.errors import PaymentRefused, PaymentWaits
from node.services.asset.rules import Asked, Bill, Ordered, check_asked, check_bill, check_initial
from node.services.twin.records import CONTRACT, decode_record, records_of

__all__ = ["TwinLogs", "verified_bill"]

_DELIVERED = 4
"""`State.Delivered` of the contract."""

_COMPARED = ("seller", "buyer", "offer", "request", "wh", "price", "amount")
"""Of a contract's record. Where it is on the chain may change with a reorganisation, what it says may not."""


class TwinLogs(Protocol):
    """Where digital twins are, with their logs opened; None for one that was not opened here. Raises ChannelError."""

    async def logs(self, contract_id: bytes) -> tuple[Twin, Logs | None]: ...


async def verified_bill(
    core: Core, voice: AssetVoice, trade: Trade, operator: bytes, twins: TwinLogs | None = None
) -> Bill:
    """The contract as a bill that stands up to everything in hand. Raises PaymentRefused, PaymentWaits; RpcError to
    try again. Without `twins` nothing is compared with the contract's twin but whether it forked."""
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
    if twins is not None:
        await _check_twin(twins, trade, voice.signer(operator).address)
    check_initial(stored, _signed(voice, order, operator))
    found = await voice.views().contract(operator, trade.contract_id)
    check_asked(bill, Asked(found.state == _DELIVERED, found.wh, found.price, found.first_wh, found.due))
    return bill


async def _check_twin(twins: TwinLogs, trade: Trade, account: bytes) -> None:
    """What this asset wrote into its own log of the twin, under its own signature, is the contract that is to be paid
    (M-47 to M-51). What others wrote there is theirs: it holds up no payment.

    A twin that does not come, or that cannot be read, is waited for until the seller reminds. A market could withhold
    it else, and have a buyer claimed against who meant to pay; all other checks hold without it.
    """
    logs, lacks = None, "is not here yet"
    try:
        _, logs = await twins.logs(trade.contract_id)
    except (ChannelError, KeysError) as damage:
        lacks = f"cannot be read: {damage}"
    told = [decode_record(each.content) for each in logs.log(account)] if logs is not None else []
    own = next((record for record in told if record is not None and record["event"] == CONTRACT), None)
    if own is None:
        if trade.reminders:
            return
        raise PaymentWaits(f"The contract's digital twin {lacks}.", field="twin")
    wanted = next(record for record in records_of(trade) if record["event"] == CONTRACT)
    differs = [name for name in _COMPARED if own.get(name) != wanted[name]]
    if differs:
        raise PaymentRefused(f"The contract's digital twin says otherwise: {', '.join(differs)}.", field="twin")


def _signed(voice: AssetVoice, order: Order, operator: bytes) -> Ordered | None:
    """What the signed request says; None where this asset's own key did not sign it (M-48)."""
    signer = voice.signer(operator).address
    try:
        message, domain = m.from_stored(order.body)
        m.verify(message, domain, order.signature, signer)
    except KeysError:
        return None
    if not isinstance(message, m.Request) or domain != voice.domain() or message.account != signer:
        return None
    return Ordered(m.digest(message, domain), message.account, message.wh, message.price)
