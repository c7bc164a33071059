"""M-84: which carrier a contract is of, by what its orders say; what was stored before they did is electricity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.app.trading.statements import delivery_of
from node.projection.events import LoggedFinalized
from node.projection.order import Order
from node.wire.orderdetails import OrderDetails, carrier_of, details_of_carrier
from tests.unit.app.test_statements import BOTH, ORDERS, TERMS, trade
from tests.unit.node.projection.kit import h32

DONE = trade(*BOTH, LoggedFinalized(3, 30))


def of(carrier: str | None, *, offer: bool = True) -> dict[bytes, Order]:
    """One of the two orders, as an asset of that carrier places it."""
    found = details_of_carrier(carrier) if carrier is not None else None
    key = h32("o") if offer else h32("r")
    text = found.model_dump_json() if found is not None else ""
    return {key: Order(key, terms=replace(TERMS, sells=offer), details=text)}


@pytest.mark.parametrize(
    ("orders", "wanted"),
    [
        (ORDERS, "electric"),
        (of("electric"), "electric"),
        (of("thermal"), "thermal"),
        (of("thermal", offer=False), "thermal"),
        (of("thermal") | of("thermal", offer=False), "thermal"),
        (of("thermal") | of(None, offer=False), "thermal"),
        (of(None) | of("thermal", offer=False), "electric"),
    ],
)
def test_m84_a_contract_is_of_what_its_offer_sells(orders: dict[bytes, Order], wanted: str) -> None:
    """The offer is what is delivered; the request alone tells where only that is known, as at a buyer."""
    row = delivery_of(DONE, orders)
    assert row is not None
    assert row.carrier == wanted


def test_details_without_a_kind_of_energy_are_of_electricity() -> None:
    assert carrier_of("") == "electric"
    assert carrier_of(OrderDetails(salt=bytes(32), area="north").model_dump_json()) == "electric"
    assert carrier_of(OrderDetails(salt=bytes(32), energy="thermal").model_dump_json()) == "thermal"
