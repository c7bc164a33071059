"""Why an open order of this asset makes no contract as things stand: the chain would refuse the match."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.bindings import market as abi
from node.app.trading.assetvoice import AssetVoice
from node.ledger.errors import RpcError
from node.projection.order import Order, OrderStatus

__all__ = ["waiting_orders"]


async def waiting_orders(voice: AssetVoice, orders: Iterable[Order]) -> dict[bytes, str]:
    """By the order's id, in words. Nothing of orders that may be matched, of those of others and of markets that net,
    nor of anything while the chain does not answer."""
    found, members = dict[bytes, str](), dict[bytes, abi.Member]()
    markets = await voice.markets()
    for order in orders:
        operator = voice.accounts.get(order.terms.account) if order.terms is not None else None
        if order.status is not OrderStatus.OPEN or not order.own or operator is None:
            continue
        if markets[operator].settle == "net":
            continue
        try:
            if operator not in members:
                members[operator] = await voice.views().member(operator, voice.signer(operator).address)
            why = await _why(voice, order, members[operator])
        except RpcError:
            return {}
        if why:
            found[order.order_id] = why
    return found


async def _why(voice: AssetVoice, order: Order, member: abi.Member) -> str:
    if member.open_claims:
        return "A claim against this asset is open; while it is, nobody makes a contract with it."
    terms, agreed = order.terms, await voice.agreed(order.order_id)
    if terms is None or agreed is None or terms.sells or not (agreed.escrow or not member.serial):
        return ""
    cost = (terms.wh - order.filled) * terms.price // 1_000
    if member.balance >= cost:
        return ""
    return f"It may cost {cost} minor units, and the market's book has {member.balance} of this asset: deposit more."
