"""What can happen to one order, trade or source: the alphabets of `test_machines` for settlement."""

from __future__ import annotations

from node.projection import events as e
from node.projection import settlement_events as s
from node.projection import twin_events as t
from node.projection.base import Event
from tests.unit.node.projection.kit import PROVIDER, STRANGER, address, block, h32

__all__ = ["SETTLEMENT", "matched", "order_terms"]

SELLER, BUYER = address("s"), address("b")
SOURCE = bytes(7) + b"\x01"


def order_terms(*, sells: bool = True, wh: int = 10, account: bytes = SELLER, price: int = 20) -> s.OrderTerms:
    return s.OrderTerms(sells, account, wh, price, 1_000, 2_000, 900)


def matched(number: int, *, wh: int = 10, contract: str = "c", branch: str = "a") -> s.LoggedMatched:
    return s.LoggedMatched(
        block(number, branch), h32(contract), SELLER, BUYER, h32("o"), h32("r"), wh, 20, wh * 20 // 1000, False,
    )  # fmt: skip


def _orders() -> tuple[Event, ...]:
    return (
        matched(5, wh=6),
        matched(6, wh=4, contract="d"),
        matched(6, wh=10, contract="e"),
        s.LoggedOrderCancelled(block(5), SELLER, h32("o")),
        s.LoggedOrderCancelled(block(5), STRANGER, h32("o")),
        s.DueOrderEnd(h32("o"), 901),
        s.ReceivedRefusal(h32("o"), PROVIDER.address, "no", 2),
        s.ReceivedRefusal(h32("o"), STRANGER, "no", 2),
        e.LoggedRolledBack(3),
        e.LoggedRolledBack(5),
        e.LoggedFinalized(6, 1),
    )


def _trades(*more: Event) -> tuple[Event, ...]:
    c = h32("c")
    return (
        matched(5),
        s.LoggedProvisioned(block(6), c, SELLER, 12),
        s.LoggedProvisioned(block(7), c, BUYER, 10),
        s.LoggedProvisioned(block(7), c, BUYER, 8),
        s.LoggedDelivered(block(8), c, 10, 5),
        *more,
        *(e.LoggedRolledBack(height) for height in range(3, 13)),
        e.LoggedFinalized(20, 1),
    )


def _endings() -> tuple[tuple[bytes, tuple[Event, ...]], ...]:
    c = h32("c")
    spoken = s.RequestedTradeWord((c,), "Provision", h32("w"), "{}", 100, PROVIDER, 50)
    waits = s.Waits(1_000, 2_000, 60, 600, 700, 800, 900, 950)
    watched = s.RequestedTradeWatch(c, waits, True, False, True, 900)
    told = tuple(s.RequestedTradeProgress(c, SELLER, wh, 1_000 + at, 9) for wh, at in ((3, 300), (4, 300), (7, 600)))
    due = (s.DueTradeStep(c, 2_000), s.DueTradeStep(c, 9_000))
    return (
        (c, _trades(s.LoggedContractCancelled(block(6), c, SELLER, 0), s.LoggedDelivered(block(8), c, 0, 0), spoken)),
        (c, (matched(5), *told, s.LoggedProvisioned(block(6), c, SELLER, 9))),
        (c, (matched(5), watched, *due, s.LoggedProvisioned(block(6), c, SELLER, 12, 2_100))),
        (c, _trades(s.LoggedPaid(block(9), c, 5), s.LoggedConfirmed(block(10), c), s.LoggedReminded(block(9), c, 1))),
        (
            c,
            _trades(
                s.LoggedClaimIssued(block(9), c, 6, 0, h32("e")),
                s.LoggedClaimCured(block(10), c, 6),
                s.LoggedCollected(block(10), c, 1, 5),
                s.LoggedCollected(block(11), c, 5, 0),
            ),
        ),
        (
            c,
            _trades(
                s.LoggedClaimIssued(block(9), c, 6, 0, h32("e")),
                s.LoggedDisputed(block(10), c, h32("y")),
                s.LoggedRuled(block(11), c, 4),
                s.LoggedRuled(block(11), c, 0),
                s.LoggedClaimCured(block(12), c, 4),
                s.LoggedCollected(block(12), c, 4, 0),
            ),
        ),
    )


def _openings() -> tuple[Event, ...]:
    parties, invited = (SELLER, BUYER, PROVIDER.address), (t.Invitation(PROVIDER, "{}"),)
    return (
        t.RequestedTwin(h32("c"), PROVIDER.address, b"k", parties, (PROVIDER,), invited, 1),
        t.ReceivedTwin(h32("c"), PROVIDER.address, b"k", parties, (PROVIDER,), (PROVIDER,), invited, 1),
    )


def _written() -> tuple[Event, ...]:
    return (
        t.RequestedTwinEntry(h32("c"), b"mine", 2),
        t.ReceivedTwinEntry(h32("c"), b"theirs", 2),
        t.ReceivedTwinFork(h32("c"), b"one", b"other", 3),
        t.RequestedTwinAnchor(h32("c"), t.TwinAnchor(h32("r"), 9, (h32("e"),), (b"",)), 4),
        t.ReceivedTwinAnchor(h32("c"), t.TwinAnchor(h32("R"), 9, (h32("e"),), (b"",)), 4),
    )


SETTLEMENT: dict[str, tuple[tuple[bytes, tuple[Event, ...]], ...]] = {
    "order": (
        (h32("o"), (s.ReceivedOrder(h32("o"), order_terms(), "{}", b"\x01" * 65, PROVIDER, 1), *_orders())),
        (h32("o"), (s.RequestedOrder(h32("o"), order_terms(), "{}", b"\x01" * 65, "{}", PROVIDER, 1), *_orders())),
    ),
    "trade": _endings(),
    "twin": tuple((h32("c"), (opening, *_written())) for opening in _openings()),
    "source": (
        (
            SOURCE,
            (
                s.LoggedSourceRegistered(block(5), SOURCE, SELLER, address("d"), 100, 5_000, 1_000),
                s.LoggedSharesIssued(block(6), SOURCE, SELLER, 1_000),
                s.LoggedProduced(block(6), SOURCE, 1, 130, 1_000),
                s.LoggedMeterReset(block(7), SOURCE, address("D"), 1, 140, 0, 5_000),
                s.LoggedSourcePauseSet(block(6), SOURCE, SELLER, True),
                s.LoggedSourcePauseSet(block(7), SOURCE, SELLER, False),
                s.RequestedReading(SOURCE, 1, 130, 1_000, b"\x01" * 65, "{}", PROVIDER, 1_001),
                e.LoggedRolledBack(3),
                e.LoggedRolledBack(5),
                e.LoggedRolledBack(6),
                e.LoggedFinalized(7, 1),
            ),
        ),
    ),
}
