"""Deliveries and tariffs as hypothesis makes them, and a few by hand."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from node.services.settlement.lines import Delivery
from node.services.settlement.tariff import GridFee, Tariff, Tariffs

OPERATOR, GRID, OTHER_GRID = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
PARTIES = tuple(bytes([0x10 + number]) * 20 for number in range(5))
QUARTER = 900
NORTH, SOUTH = "10YNORTH-------1", "10YSOUTH-------2"


def account(name: str) -> bytes:
    return name.encode().ljust(20, b"\x00")


SELLER, BUYER = account("seller"), account("buyer")


def delivery(contracted: int, delivered: int, price: int = 200_000, **more: Any) -> Delivery:
    """One contract of one quarter of an hour."""
    due = more.pop("due", delivered * price // 1000)
    return Delivery(b"\x07" * 32, 1_800, 2_700, SELLER, BUYER, contracted, price, delivered, due, **more)


def tariffs(shortfall: int = 0, feed_in: int = 0, overdraw: int = 0) -> Tariffs:
    fees = {NORTH: GridFee(GRID, per_kwh=10_000), SOUTH: GridFee(OTHER_GRID, bps=500)}
    return Tariffs(OPERATOR, [Tariff(0, shortfall, feed_in, overdraw, fees)], NORTH, {BUYER: NORTH, PARTIES[0]: SOUTH})


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    seller, buyer = draw(st.permutations(PARTIES))[:2]
    contracted = draw(st.integers(1, 2**40))
    delivered = draw(st.integers(0, contracted))
    price = draw(st.integers(0, 2**40))
    start = draw(st.integers(0, 300)) * QUARTER
    said = st.none() | st.integers(0, 2**41)
    due = delivered * price // 1000 + draw(st.integers(0, 1))
    contract = draw(st.binary(min_size=32, max_size=32))
    carrier = draw(st.sampled_from(("electric", "thermal", "solar")))
    agreed = (contract, start, start + QUARTER, seller, buyer, contracted, price)
    return Delivery(*agreed, delivered, due, draw(said), draw(said), carrier=carrier)


@st.composite
def some_tariffs(draw: st.DrawFn) -> Tariffs:
    price = st.integers(0, 2**40)
    made = []
    for since in draw(st.sets(st.integers(0, 250_000), max_size=3)):
        fees = {}
        if draw(st.booleans()):
            fees[NORTH] = GridFee(GRID, per_kwh=draw(price))
        if draw(st.booleans()):
            fees[SOUTH] = GridFee(OTHER_GRID, bps=draw(st.integers(0, 10_000)))
        carriers = draw(st.sampled_from((("electric",), ("thermal",), ("electric", "thermal"))))
        made.append(Tariff(since, draw(price), draw(price), draw(price), fees, carriers))
    return Tariffs(OPERATOR, made, NORTH, {PARTIES[0]: SOUTH, PARTIES[1]: SOUTH})
