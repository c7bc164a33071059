"""Energy and money over HTTP: forms are checked, a node without a settlement says so (M-1 to M-20 as REST)."""

from __future__ import annotations

from typing import Any

import pytest

from node.api.settlementviews import OrderForm
from tests.unit.node.api.memory_settlement import CONTRACT, OPERATOR, SOURCE
from tests.unit.node.api.serving import served

ORDER: dict[str, Any] = {
    "market": "https://market.example:8750", "side": "offer", "wh": 10, "price": 200, "start": 1_000, "end": 1_900,
}  # fmt: skip


async def test_what_is_there_is_shown() -> None:
    async with served() as api:
        _, energy, _ = await api.call("GET", "/api/v1/energy")
        assert energy["sources"][0]["source"] == SOURCE
        assert energy["asked"][0]["waits_for"] == "owner"
        _, trades, _ = await api.call("GET", "/api/v1/market/trades")
        assert trades["items"][0]["id"] == "0x" + CONTRACT.hex()
        assert trades["items"][0]["seed_status"] == "Payment requested"
        status, terms, _ = await api.call("GET", "/api/v1/market/terms", token=None)
        assert (status, terms["operator"].lower()) == (200, "0x" + OPERATOR.hex())


async def test_an_order_reaches_the_node_as_it_was_meant() -> None:
    async with served() as api:
        status, made, _ = await api.call("POST", "/api/v1/market/orders", json=ORDER)
        assert (status, made["side"]) == (201, "offer")
        (form,) = api.settlement.market.said
        assert isinstance(form, OrderForm)
        assert (form.wh, form.price, form.start, form.end) == (10, 200, 1_000, 1_900)


@pytest.mark.parametrize(
    "change",
    [
        {"wh": 0}, {"wh": -5}, {"wh": 2**63}, {"wh": 1.5}, {"price": -1}, {"price": 2**80}, {"side": "both"},
        {"end": 1_000}, {"market": "ftp://market.example"}, {"energy": 5},
    ],
)  # fmt: skip
async def test_senseless_orders_are_refused_with_the_field(change: dict[str, Any]) -> None:
    """Negative, zero, huge and fractional energy and price; nothing reaches the node."""
    async with served() as api:
        status, problem, _ = await api.call("POST", "/api/v1/market/orders", json=ORDER | change)
        assert status == 422
        assert problem["remedy"]
        assert api.settlement.market.said == []


async def test_a_large_source_keeps_its_number() -> None:
    async with served() as api:
        status, _, _ = await api.call("POST", f"/api/v1/energy/sources/{SOURCE}/accept")
        assert status == 204
        assert api.settlement.energy.said == [("accept", SOURCE)]
        status, problem, _ = await api.call("POST", "/api/v1/energy/sources/8/accept")
        assert (status, problem["code"]) == (404, "not_found")
