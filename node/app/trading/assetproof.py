"""What an asset can prove of a delivery: its meter's absolute counters at both ends, signed by the device."""

from __future__ import annotations

from keys import messages as m
from keys.eip712 import Domain
from node.app.core import Core
from node.app.trading.delivering import COUNTED, Delivery, counted_key
from node.errors import NotFound
from node.projection.order import Order
from node.projection.trade import Trade
from node.wire.settlement import EvidenceGiven

__all__ = ["signed_counters"]


async def signed_counters(core: Core, domain: Domain, trade: Trade, account: bytes, operator: bytes) -> EvidenceGiven:
    """For an own contract, of the side `account`. Raises NotFound where the meter was not read at both ends."""
    terms = trade.terms
    sells = terms is not None and terms.seller == account
    order = await core.storage.views.one(Order, terms.offer if sells else terms.request) if terms is not None else None
    if order is None or order.terms is None:
        raise NotFound("The order of this contract is not here.")
    delivery = Delivery(order.terms.start, order.terms.end, operator, sells)
    found = await core.storage.memory.facts.get(COUNTED, counted_key(delivery)) or {}
    if not {"first", "first_at", "last", "last_at"} <= found.keys():
        raise NotFound("The meter was not read at both ends of this delivery.")
    device = core.keys.identity.device()
    first, last = [m.Counter(device.address, found[name], found[f"{name}_at"]) for name in ("first", "last")]
    return EvidenceGiven(
        contract=trade.contract_id,
        of_seller=sells,
        device=device.address,
        first_wh=first.counter_wh,
        first_at=first.meter_time,
        last_wh=last.counter_wh,
        last_at=last.meter_time,
        first_signature=await device.sign_message(first, domain),
        last_signature=await device.sign_message(last, domain),
    )
