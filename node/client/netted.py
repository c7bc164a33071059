"""Contracts of a market that nets, as it shows them to an account that has no node: those that its own orders allow."""

from __future__ import annotations

from collections.abc import Iterable

from node.client.book import Netted, OrderBook
from node.wire.desk import DeskContract

__all__ = ["allowed"]


def allowed(
    told: Iterable[DeskContract], account: bytes, book: OrderBook
) -> tuple[dict[bytes, DeskContract], list[bytes]]:
    """Of contracts that are to be netted those that this account's own orders allow, by id, and the ids of those that
    go beyond them. What names no order of its own is neither. What is allowed is remembered, and what counts of it."""
    found, beyond, fresh, taken = dict[bytes, DeskContract](), list[bytes](), list[Netted](), dict[bytes, int]()
    for each in told:
        sells = each.seller == account
        order_id = each.offer if sells else each.request
        if account not in (each.seller, each.buyer) or book.get(order_id) is None:
            continue
        netted, known = _netted(each, order_id), book.netted.get(each.id)
        same = known is not None and (known.order, *_terms(known)) == (netted.order, *_terms(netted))
        if not same and (known is not None or not _fits(each, order_id, sells, book, taken.get(order_id, 0))):
            beyond.append(each.id)
        else:
            found[each.id] = each
            if known is None:
                taken[order_id] = taken.get(order_id, 0) + each.wh
                fresh.append(netted)
    book.take(*fresh)
    book.count(
        {
            key: (each.delivered, each.due)
            for key, each in found.items()
            if each.delivered is not None and each.due is not None and _fresh_count(book.netted[key], each)
        }
    )
    return found, beyond


def _fits(contract: DeskContract, order_id: bytes, sells: bool, book: OrderBook, beside: int) -> bool:
    """Whether an own order allows it, beside so many Wh that were told with it."""
    own, placed = book.get(order_id), book.placed(order_id)
    if own is None or contract.wh + book.taken(order_id) + beside > own.wh:
        return False
    if placed is not None and not placed.start <= contract.start < contract.end <= placed.end:
        return False
    return contract.price >= own.price if sells else contract.price <= own.price


def _netted(each: DeskContract, order_id: bytes) -> Netted:
    return Netted(each.id, order_id, each.request, each.seller, each.buyer, each.wh, each.price, each.start)


def _terms(each: Netted) -> tuple[bytes, bytes, bytes, int, int, int]:
    return each.request, each.seller, each.buyer, each.wh, each.price, each.start


def _fresh_count(known: Netted, told: DeskContract) -> bool:
    """Whether what counts is told for the first time, and can be so: the smaller report, at the price (A-10)."""
    if known.counted is not None or told.delivered is None:
        return False
    most = known.wh if known.said is None else min(known.wh, known.said)
    if told.delivered > most or told.due != told.delivered * known.price // 1000:
        return False
    sells = known.order != known.request
    own, other = (told.by_seller, told.by_buyer) if sells else (told.by_buyer, told.by_seller)
    if known.said is None or own is None:
        return True
    return own == known.said and told.delivered == min(most, known.wh if other is None else other)
