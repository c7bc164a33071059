"""What a contract costs an asset, as its market's desk shows it, and money on its way into a book."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from keys import messages as m
from node.errors import NodeUnreachable
from node.services.asset.rules import Bill, Ordered
from node.wire.desk import DeskContract, DeskMoney
from node.wire.settlement import NetLeftOut

__all__ = ["allowed", "arrival", "arrived", "bill_of", "booked", "left_order"]

LASTS_S: Final = 7 * 86_400
EARLY_S: Final = 300
"""An order for what was left out lasts so long, and begins so much before now: clocks differ."""


def left_order(body: NetLeftOut, terms: bytes, now: int, *, sells: bool) -> m.Offer | m.Request:
    """What an account signs for a line that a netting left out: for its partner alone, known by its nonce. `terms`:
    those that hold where the line names none."""
    wh, price = body.ordered
    kind, account, other = (m.Offer, body.seller, body.buyer) if sells else (m.Request, body.buyer, body.seller)
    return kind(
        account=bytes(account),
        operator=bytes(body.operator),
        terms=terms if body.terms is None else bytes(body.terms),
        partner=bytes(other),
        device=bytes(20),
        wh=wh,
        price=price,
        start=now - EARLY_S,
        end=now + LASTS_S,
        nonce=int.from_bytes(body.leaf, "big"),
        deadline=now + LASTS_S,
    )


def bill_of(contract: DeskContract) -> Bill:
    """A contract as something to be paid."""
    delivered, due = contract.delivered or 0, contract.due or 0
    return Bill(
        contract.id,
        contract.buyer,
        contract.request,
        contract.wh,
        contract.price,
        delivered,
        due,
        contract.since,
        contract.escrowed,
    )


def allowed(
    told: Iterable[DeskContract], account: bytes, ordered: Callable[[bytes], Ordered | None]
) -> tuple[dict[bytes, DeskContract], list[bytes]]:
    """Of contracts that are to be netted those that this account's own orders allow, by id, and the ids of those that
    go beyond them. What names no order of its own is neither."""
    found, beyond = dict[bytes, DeskContract](), list[bytes]()
    for each in told:
        sells = each.seller == account
        own = ordered(each.offer if sells else each.request)
        if account not in (each.seller, each.buyer) or own is None:
            continue
        if each.wh > own.wh or (each.price < own.price if sells else each.price > own.price):
            beyond.append(each.id)
        else:
            found[each.id] = each
    return found, beyond


async def arrival(
    ask: Callable[[], Awaitable[DeskMoney]], before: DeskMoney, amount: int, patience: int, *, net: bool
) -> None:
    """Returns once a deposit is in its book. Raises NodeUnreachable after `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            # The market is asked, it tells nobody: there is no event to wait for.
            while not arrived(before, await ask(), amount, net=net):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    except TimeoutError as late:
        raise NodeUnreachable("The deposit is not in the book yet.", remedy="Look at `money` later.") from late


def arrived(before: DeskMoney, after: DeskMoney, amount: int, *, net: bool) -> bool:
    """Whether a deposit is in a book, or was until a contract that waited for it took it: then its permit is used, and
    the wallet has so much less."""
    if booked(after, net=net) >= booked(before, net=net) + amount:
        return True
    return after.permit_nonce > before.permit_nonce and after.wallet + amount <= before.wallet


def booked(money: DeskMoney, *, net: bool) -> int:
    """What an account has in the market's own book, or in the one from which days are paid."""
    return money.net.balance if net and money.net is not None else money.balance
