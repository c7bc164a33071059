"""What a party writes into the digital twin of a netted contract: no chain tells of it, so each tells what it saw.

All write the contract; each partner what its meter counted on the way, and its own report; the market both reports,
what counts, and what the day's netting made of it. What counts is written by the partners as well, once it agrees with
what they know: their signed consent.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.trade import TradeStatus
from node.services.twin.records import CONTRACT, STEP, Record, progress_record

__all__ = ["NetStory", "counted_in", "left_in", "net_records"]

REPORT, NETTED = "report", "netted"


@dataclass(frozen=True, slots=True)
class NetStory:
    """A netted contract as one node knows it. Wh, minor units, seconds UTC; `sold` and `used`: what the partners
    reported; `due`: Wh that count and what is owed; `netted`: whether its day's batch paid it (False: it was left out),
    None before; `left`: the line that was left out with this contract in it, its amount and what stayed owed of it when
    it was set off. `period`: days since 1970; `progress`: meter time and Wh so far, of this node's own asset."""

    contract_id: bytes
    operator: bytes
    seller: bytes
    buyer: bytes
    offer: bytes
    request: bytes
    wh: int
    price: int
    start: int
    end: int
    period: int
    sold: int | None = None
    used: int | None = None
    due: tuple[int, int] | None = None
    netted: bool | None = None
    left: tuple[int, int] | None = None
    progress: tuple[tuple[int, int], ...] = ()


def net_records(story: NetStory, author: bytes) -> tuple[Record, ...]:
    """The records of one party, in their order."""
    found: list[Record] = [
        {
            "event": CONTRACT,
            "seller": _hex(story.seller),
            "buyer": _hex(story.buyer),
            "offer": _hex(story.offer),
            "request": _hex(story.request),
            "wh": story.wh,
            "price": story.price,
            "start": story.start,
            "end": story.end,
            "netted": True,
        }
    ]
    if author in (story.seller, story.buyer):
        found += [progress_record(author, wh, meter_time) for meter_time, wh in story.progress]
    for account, wh in ((story.seller, story.sold), (story.buyer, story.used)):
        if wh is not None and author in (account, story.operator):
            found.append({"event": REPORT, "account": _hex(account), "wh": wh})
    if story.due is not None:
        wh, amount = story.due
        found.append({"event": STEP, "status": TradeStatus.DELIVERED.value, "wh": wh, "amount": amount, "number": 0})
    if story.netted is not None and author == story.operator:
        line = {"line": story.left[0], "owed": story.left[1]} if story.left is not None else {}
        found.append({"event": NETTED, "period": story.period, "paid": story.netted, **line})
    return tuple(found)


def counted_in(record: Record) -> tuple[int, int] | None:
    """Wh that count and what is owed for them, where a record says so."""
    if (record.get("event"), record.get("status")) != (STEP, TradeStatus.DELIVERED.value):
        return None
    wh, amount = record.get("wh"), record.get("amount")
    return (wh, amount) if type(wh) is int and type(amount) is int else None


def left_in(record: Record) -> tuple[int, int] | None:
    """The amount of the line that was left out and what stays owed of it, where a record says what a netting made of a
    contract; zeros where it was paid."""
    if record.get("event") != NETTED:
        return None
    line, owed = record.get("line"), record.get("owed")
    if record.get("paid") is not False or type(line) is not int or type(owed) is not int:
        return 0, 0
    return line, owed


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
