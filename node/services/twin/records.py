"""What a party writes into a trade's digital twin, and what a list of such records amounts to (M-42, M-43, M-81).

Of the chain only what is final is written, so nothing is ever taken back. Every party writes what it saw itself: where
one saw something else, its log differs from the others'. During the delivery each partner writes what its own meter
counted so far, which stands beside the facts of the chain and decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from node.projection.trade import Made, Trade, TradeStatus, TradeStep

__all__ = [
    "CONTRACT",
    "Record",
    "decode_record",
    "encode_record",
    "missing",
    "progress_of",
    "progress_record",
    "records_of",
    "summary",
]

Record = Mapping[str, Any]
"""JSON: `event`, and what it says; bytes as hex with 0x in front, energy in Wh, money in minor units."""

CONTRACT = "contract"
STEP = "step"
PROGRESS = "progress"


def encode_record(record: Record) -> bytes:
    """One spelling, so that the same fact is the same bytes in every log."""
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def decode_record(content: bytes) -> Record | None:
    """None for what is no record of this program: a later one may write more, and that is no fault."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        return None
    # Records are flat: what another party wrote is shown to people and programs as it stands.
    return None if any(isinstance(value, dict | list) for value in found.values()) else found


def records_of(trade: Trade) -> tuple[Record, ...]:
    """All final facts of a contract, in the order of the chain."""
    made = [_contract(fact) for fact in trade.made if fact.final]
    return (*made, *(_step(fact) for fact in trade.steps if fact.final))


def progress_of(trade: Trade, account: bytes) -> tuple[Record, ...]:
    """What the meter of a partner counted for the contract during its delivery, in the order of its time (M-43)."""
    return tuple(
        progress_record(account, each.wh, each.meter_time) for each in trade.progress if each.account == account
    )


def progress_record(account: bytes, wh: int, meter_time: int) -> Record:
    """Wh that a partner's meter counted for a contract until a time (seconds UTC)."""
    return {"event": PROGRESS, "account": _hex(account), "wh": wh, "meter_time": meter_time}


def _contract(made: Made) -> Record:
    return {
        "event": CONTRACT,
        "block": made.block.number,
        "block_hash": _hex(made.block.hash),
        "seller": _hex(made.seller),
        "buyer": _hex(made.buyer),
        "offer": _hex(made.offer),
        "request": _hex(made.request),
        "wh": made.wh,
        "price": made.price,
        "amount": made.amount,
        "escrowed": made.escrowed,
    }


def _step(step: TradeStep) -> Record:
    return {
        "event": STEP,
        "block": step.block.number,
        "block_hash": _hex(step.block.hash),
        "status": step.status.value,
        "account": _hex(step.account),
        "wh": step.wh,
        "amount": step.amount,
        "number": step.number,
    }


def summary(records: Iterable[Record]) -> dict[str, Any]:
    """What the records say of the contract now: terms, status, deliveries and payments, field by field."""
    found: dict[str, Any] = {}
    for record in records:
        if record["event"] == CONTRACT:
            found = {name: value for name, value in record.items() if name not in ("event", "block", "block_hash")}
            found |= {"status": TradeStatus.MATCHED.value, "paid": 0}
        elif record["event"] == STEP and found:
            found["status"] = record.get("status")
            _take(found, record)
    return found


def _take(found: dict[str, Any], record: Record) -> None:
    match record.get("status"), record.get("number"):
        case TradeStatus.DELIVERED | TradeStatus.RESOLVED, 0 if "delivered_wh" not in found:
            found |= {"delivered_wh": record.get("wh"), "due": record.get("amount")}
        case TradeStatus.PAID, _:
            found["paid"] += _number(record.get("amount"))
        case TradeStatus.DELIVERED, number:
            found["reminders"] = number


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def missing(wanted: Sequence[Record], written: Iterable[bytes]) -> tuple[Record, ...]:
    """The records that a log does not hold yet, in their order."""
    have = set(written)
    return tuple(record for record in wanted if encode_record(record) not in have)
