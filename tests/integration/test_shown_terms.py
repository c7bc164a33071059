"""What a market shows of itself, read over HTTP by a node that would trade there, beside a real chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from node.app.facade.settlement import MarketPart
from node.app.trading.markets import fetch_terms
from node.errors import Refused
from tests.support.tradeworld import World, trading

pytestmark = pytest.mark.chain


@asynccontextmanager
async def shown(answer: dict[str, Any]) -> AsyncIterator[str]:
    """A market's address at which it shows this."""

    async def terms(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/api/v1/market/terms", terms)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def own_terms(world: World) -> dict[str, Any]:
    """What the world's own market shows through its interface."""
    view = await MarketPart(world.market.core, None, world.market.market).terms()
    return dict(view.model_dump(mode="json"))


async def test_terms_of_a_market_of_a_later_version_are_read(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        asset, answer = world.nodes["seller"].core, await own_terms(world)
        async with shown(answer | {"said_in_a_later_version": [1, 2]}) as url:
            read = await fetch_terms(asset, url)
        assert (read.settle, read.terms.hex()) == ("gross", answer["terms"][2:])


async def test_a_market_in_other_contracts_is_refused(tmp_path: Path) -> None:
    """One that nets elsewhere would have orders signed that no contract of this node's keeps."""
    async with trading(tmp_path, terms={"settle": "net"}) as world:
        asset, answer = world.nodes["seller"].core, await own_terms(world)
        assert (await fetch_terms(asset, world.market.url)).settle == "net"
        elsewhere = "0x" + "11" * 20
        lies: tuple[tuple[dict[str, Any], str], ...] = (
            ({"market": elsewhere}, "settles in another market contract"),
            ({"net_settlement": elsewhere}, "nets in another contract"),
            ({"net_settlement": None}, "nets in another contract"),
            ({"terms": "0x12"}, "shows no terms"),
        )
        for changes, reason in lies:
            async with shown(answer | changes) as url:
                with pytest.raises(Refused, match=reason):
                    await fetch_terms(asset, url)
