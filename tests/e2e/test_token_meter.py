"""A meter of somebody else at a real household: with a token and three lines of HTTP its energy is on offer in a real
market; paused from the home it is not, and continued it is again (M-8, M-70, M-75, M-77, M-85)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cluster import Plan
from tests.support.nodes import NodeProcess
from tests.support.processes import until
from tests.support.tradecluster import Trading

pytestmark = [pytest.mark.long, pytest.mark.chain, pytest.mark.broker]


async def produce(gateway: NodeProcess, token: str | None, wh: int) -> tuple[int, dict[str, Any]]:
    """What the unit does, with nothing of this project."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{gateway.url}/asset/produce", json={"energy": wh}) as answer,
    ):
        return answer.status, await answer.json()


async def test_m85_energy_of_a_third_partys_meter_is_offered_paused_and_offered_again(tmp_path: Path) -> None:
    async with Trading(tmp_path, Plan(money=True)) as cluster:
        market, gateway, home = cluster.nodes["alpha"], cluster.gateway, cluster.home
        await cluster.pair(live=False)
        form = {
            "market": market.url, "role": "producer", "offer_price": 200_000, "limit_price": 0, "min_offer_wh": 1_000,
            "delivery_s": 3_600, "name": "Roof",
        }  # fmt: skip
        device = (await home.post("/assets", form))["device"]
        made = await gateway.post("/tokens", {"name": "roof meter", "scopes": ["asset:meter"]})
        token = made["token"]
        status, answer = await produce(gateway, None, 1_500)
        assert (status, answer["success"]) == (401, False)
        assert await produce(gateway, token, 900) == (200, {"success": True})
        assert await produce(gateway, token, 600) == (200, {"success": True})

        async def offered(states: list[str]) -> bool:
            found = await market.items("/market/orders")
            return [(each["side"], each["wh"], each["state"]) for each in reversed(found)] == [
                ("offer", 1_500, state) for state in states
            ]

        await until("the market has the offer", lambda: offered(["open"]))
        assert (await gateway.raw("GET", "/status")).status == 200
        await home.post(f"/assets/{device}/pause")
        await until("the offer is taken back", lambda: offered(["cancelled"]))
        await home.post(f"/assets/{device}/continue")
        await until("it is offered again", lambda: offered(["cancelled", "open"]))
        await home.post(f"/assets/{device}/retire")
        await until("and taken back for good", lambda: offered(["cancelled", "cancelled"]))
        status, answer = await produce(gateway, token, 1_500)
        assert (status, answer["success"]) == (409, False)
