"""Prices and the live book (market.md, Matching; A-17, O-3): over REST, and over WebSocket as they move."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.support.processes import PATIENCE
from tests.unit.node.api.serving import served

LIVE = "/api/v1/market/live"


async def _next(ws: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        found: dict[str, Any] = json.loads((await ws.receive()).data)
    return found


async def test_a17_unit_price_and_total_of_each_contract() -> None:
    async with served() as api:
        status, found, _ = await api.call("GET", "/api/v1/market/fills?limit=2")
        assert status == 200
        assert [(row["number"], row["price"], row["amount"]) for row in found["items"]] == [
            (9, 200, 100),
            (8, 200, 100),
        ]
        _, found, _ = await api.call("GET", "/api/v1/market/fills?before=8")
        assert [row["number"] for row in found["items"]] == [7]
        _, found, _ = await api.call("GET", "/api/v1/market/trades")
        assert (found["items"][0]["price"], found["items"][0]["amount"]) == (200, 100)


async def test_prices_by_time_of_delivery() -> None:
    async with served() as api:
        _, found, _ = await api.call("GET", "/api/v1/market/prices?start=1000&end=1970-01-01T00:16:41Z")
        assert found["items"] == [
            {
                "start": 1_000,
                "end": 1_900,
                "contracts": 2,
                "wh": 750,
                "amount": 150,
                "low": 190,
                "high": 210,
                "mean": 203,
            }
        ]
        _, found, _ = await api.call("GET", "/api/v1/market/prices?start=1001")
        assert found["items"] == []


async def test_depth_and_prices_live() -> None:
    """First what is there, then each move; several moves at once are told once, as they are then."""
    async with served() as api:
        headers = {"Authorization": f"Bearer {api.admin}"}
        async with api.http.ws_connect(api.server.url + LIVE, headers=headers) as ws:
            assert await _next(ws) == {"type": "hello", "version": 1}
            first = await _next(ws)
            assert first["type"] == "slot"
            assert first["slot"]["offers"] == [{"price": 200, "wh": 500, "orders": 1}]
            assert first["slot"]["prices"]["mean"] == 203
            for best in (199, 198, 197):
                api.settlement.data.move(best)
            assert (await _next(ws))["slot"]["offers"][0]["price"] == 197
            api.settlement.data.move(150)
            assert (await _next(ws))["slot"]["offers"][0]["price"] == 150


async def test_a_token_that_ends_ends_the_stream() -> None:
    async with served() as api:
        status, made, _ = await api.call("POST", "/api/v1/tokens", json={"name": "viewer", "scopes": ["read"]})
        assert status == 201, made
        headers = {"Authorization": f"Bearer {made['token']}"}
        async with api.http.ws_connect(api.server.url + LIVE, headers=headers) as ws:
            await _next(ws)
            await _next(ws)
            status, _, _ = await api.call("DELETE", f"/api/v1/tokens/{made['id']}")
            assert status == 204
            api.settlement.data.move(100)
            told = await _next(ws)
            assert (told["type"], told["problem"]["status"]) == ("problem", 401)
            assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
async def test_nobody_follows_without_a_token(headers: dict[str, str]) -> None:
    async with served() as api:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.http.ws_connect(api.server.url + LIVE, headers=headers)
        assert refused.value.status == 401


async def test_a_node_that_is_no_market_says_so_before_the_connection_turns() -> None:
    async with served() as api:
        api.settlement.data.market = False
        headers = {"Authorization": f"Bearer {api.admin}"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.http.ws_connect(api.server.url + LIVE, headers=headers)
        assert refused.value.status == 403


async def test_the_stream_ends_with_the_server() -> None:
    async with served() as api:
        headers = {"Authorization": f"Bearer {api.admin}"}
        ws = await api.http.ws_connect(api.server.url + LIVE, headers=headers)
        await _next(ws)
        await _next(ws)
        async with asyncio.timeout(PATIENCE):
            await api.server.close()
            assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
