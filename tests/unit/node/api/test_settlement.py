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


async def test_a_yes_names_the_proposal_that_was_looked_at() -> None:
    digest = "0x" + "0c" * 32
    async with served() as api:
        for word in ("accept", "approve"):
            path = f"/api/v1/energy/sources/{SOURCE}/{word}"
            status, _, _ = await api.call("POST", path, json={"digest": digest})
            assert status < 300
            status, problem, _ = await api.call("POST", path, json={"digest": "0x12"})
            assert (status, problem["field"]) == (422, "digest")
        assert api.settlement.energy.said == [
            ("accept", SOURCE, b"\x0c" * 32),
            ("approve", SOURCE, b"\x0c" * 32),
        ]


async def test_p27_flows_of_a_community() -> None:
    async with served() as api:
        path = "/api/v1/energy/flows"
        status, found, _ = await api.call("GET", f"{path}?from=0&to=900&by=quarter")
        assert (status, found["units"], found["items"][0]["members"][0]["green_wh"]) == (200, 3, 600)
        assert found["items"][0]["pairs"] == []
        _, found, _ = await api.call("GET", f"{path}?from=0&to=900&pairs=yes")
        assert [row["wh"] for row in found["items"][0]["pairs"]] == [600]
        for query, field in (("from=0", "to"), ("from=0&to=900&by=quarter&pairs=yes", "pairs"),
                             ("from=0&to=900&pairs=all", "pairs"), ("from=9&to=9", "to"), ("from=0&to=9&by=week", "by"),
                             ("from=0&to=9&member=0x1", "member")):  # fmt: skip
            status, problem, _ = await api.call("GET", f"{path}?{query}")
            assert (status, problem["field"]) == (422, field), query
        assert len(api.settlement.flows.asked) == 2


async def test_an_account_asks_the_desk_without_a_token() -> None:
    """M-85: the question is signed; its form is checked before anything of it is looked at."""
    question = {"account": "0x" + "0b" * 20, "nonce": "0x" + "01" * 32, "signed_at": 5, "signature": "0x" + "02" * 65}
    async with served() as api:
        status, found, _ = await api.call("POST", "/api/v1/market/desk", token=None, json=question)
        assert (status, found["contracts"], found["more"]) == (200, [], False)
        for change in ({"account": "0x12"}, {"signed_at": -1}, {"seen_seq": 2**63}, {"extra": 1}):
            status, _, _ = await api.call("POST", "/api/v1/market/desk", token=None, json=question | change)
            assert status == 422, change
        assert len(api.settlement.market.said) == 1
