"""What a contract of the market waits for, and from when on: the life cycle's timers as one function (A-12 to A-14).

Every wait counts from the block in which the last step happened, as the contract on chain counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from node.projection.settlement_events import Waits

__all__ = [
    "OVER",
    "REMINDERS",
    "SEED",
    "TRY_AGAIN_S",
    "UNPAID",
    "TradeDue",
    "TradeStatus",
    "Watch",
    "seed_of",
    "tell_at",
    "waits_for",
]

REMINDERS = 3
"""Before a claim (A-13)."""

TRY_AGAIN_S = 600
"""What fell due and is not done is told again after so long."""


class TradeStatus(StrEnum):
    """The values are the contract's own states; `SEED` names them as the life cycle does."""

    NONE = "none"
    MATCHED = "matched"
    REPORTED = "reported"
    CONTESTED = "contested"
    DELIVERED = "delivered"
    PAID = "paid"
    CONFIRMED = "confirmed"
    CLAIMED = "claimed"
    DISPUTED = "disputed"
    CURED = "cured"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class TradeDue(StrEnum):
    """What can fall due: words of the partners (the first three), then calls that anybody may make."""

    REPORT = "report"
    REMIND = "remind"
    CLAIM = "claim"
    LAPSE = "lapse"
    STAND = "stand"
    SMALLER = "smaller"
    CLOSE = "close"
    COLLECT = "collect"


_T = TradeStatus
OVER = frozenset({_T.CONFIRMED, _T.CURED, _T.RESOLVED, _T.CANCELLED})
"""Nothing more happens to a contract in these."""


FINISHED = "Energy provision finished"
SEED: Mapping[TradeStatus, str] = MappingProxyType(
    {
        TradeStatus.NONE: "",
        TradeStatus.MATCHED: "Contract created",
        TradeStatus.REPORTED: "Contract created",
        TradeStatus.CONTESTED: FINISHED,
        TradeStatus.DELIVERED: "Payment requested",
        TradeStatus.PAID: "Payment processed",
        TradeStatus.CONFIRMED: "Payment confirmed",
        TradeStatus.CLAIMED: "Claim issued",
        TradeStatus.DISPUTED: "Claim issued",
        TradeStatus.CURED: "Claim cured",
        TradeStatus.RESOLVED: "Claim resolved",
        TradeStatus.CANCELLED: "Cancelled",
    }
)
"""What the marketplace's life cycle calls a state of the contract (M-31 to M-38); a delivery that is not final yet has
a name of its own, see `seed_of`."""

UNPAID = frozenset({FINISHED, "Payment requested", "Payment processed", "Claim issued"})
"""In these a contract may still have to be paid, or what was paid is not confirmed (M-40)."""


def seed_of(status: TradeStatus, final: bool) -> str:
    """The life cycle's name. Both partners have finished, and payment is requested once no reorganisation can take the
    delivery back (M-32, M-33)."""
    return FINISHED if status is TradeStatus.DELIVERED and not final else SEED[status]


@dataclass(frozen=True, slots=True)
class Watch:
    """What this node wants to be told about, and when it was told last."""

    waits: Waits
    seller: bool
    buyer: bool
    operator: bool
    told_at: int = 0


Due = tuple[tuple[TradeDue, int], ...]


def waits_for(status: TradeStatus, mark: int, reminders: int, watch: Watch, *, silent: bool, ruled: bool) -> Due:
    """What this node has to do if nothing else happens, and from when on (seconds UTC).

    `mark`: time of the last step; `silent`: a partner of this node has not reported; `ruled`: a dispute was decided.
    """
    return (*_of_partners(status, mark, reminders, watch, silent), *_of_operator(status, mark, watch, ruled))


def _of_partners(status: TradeStatus, mark: int, reminders: int, watch: Watch, silent: bool) -> Due:
    """A-13: reminders at T, 2T, 3T, the claim at 4T; A-14: none after it."""
    waits = watch.waits
    if status in (_T.MATCHED, _T.REPORTED):
        return ((TradeDue.REPORT, waits.end),) if silent else ()
    if status is not _T.DELIVERED or not watch.seller:
        return ()
    wait = waits.reminder_every if reminders else waits.payment_due
    return ((TradeDue.CLAIM if reminders == REMINDERS else TradeDue.REMIND, mark + wait),)


def _of_operator(status: TradeStatus, mark: int, watch: Watch, ruled: bool) -> Due:
    """The calls that need nobody's word; the market makes them, since it has the means to."""
    waits = watch.waits
    if not watch.operator:
        return ()
    match status:
        case _T.MATCHED:
            return ((TradeDue.LAPSE, waits.end + waits.provision_grace + waits.dispute_window),)
        case _T.REPORTED:
            return ((TradeDue.STAND, mark + waits.provision_grace),)
        case _T.CONTESTED:
            return ((TradeDue.SMALLER, mark + waits.dispute_window),)
        case _T.DISPUTED:
            return ((TradeDue.CLOSE, mark + waits.ruling_window),)
        case _T.CLAIMED:
            return ((TradeDue.COLLECT, mark + (0 if ruled else waits.dispute_window)),)
        case _:
            return ()


def tell_at(watch: Watch, due: int) -> int:
    """When it is to be told: at its time, and again for as long as it is not done."""
    return due if due > watch.told_at else watch.told_at + TRY_AGAIN_S
