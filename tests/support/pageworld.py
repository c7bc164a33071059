"""A household, its asset and a market with real trades behind the pages, all in one process, with time set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from playwright.async_api import Browser, Page

from node.api import ApiParts, ApiServer, FeedParts, MemoryTokenStore, Tokens, create_api
from node.api.views import PairingView, StatusView
from node.app.facade.assets import AssetsPart
from node.app.facade.feed import FeedPart, Ground
from node.app.facade.jobs import JobsPart
from node.app.facade.lifecycle import LifePart
from node.app.facade.marketdata import MarketDataPart
from node.app.facade.settlement import MarketPart
from node.app.facade.statements import StatementPart
from node.app.facade.twins import TwinPart
from node.app.trading.statements import StatementBook
from node.web import page_routes
from node.wire.assets import AssetConfig
from tests.support.browser import chromium
from tests.support.tradeworld import HOUR, Node, World, trading
from tests.unit.node.api.memory_node import MemoryNode
from tests.unit.node.api.serving import settings

__all__ = ["HOSTILE", "PageWorld", "page_world"]

HOSTILE = 'Roof <img src=x onerror="document.title=1"><script>document.title=2</script>'


class AllInOne(MemoryNode):
    """What the pages show besides trade, as if household, gateway and market were one node; each has its own here."""

    def __init__(self, gateway: bytes) -> None:
        super().__init__()
        self._gateway = gateway

    async def status(self) -> StatusView:
        return (await super().status()).model_copy(update={"roles": ("home", "gateway", "market")})

    async def pairing_status(self) -> PairingView:
        return PairingView(state="paired", peer=self._gateway)


@dataclass(slots=True)
class PageWorld:
    """`contracts`: two that were delivered and paid, at two prices, then ten that nothing was delivered of yet."""

    world: World
    owner: Node
    browser: Browser
    url: str
    admin: str
    http: aiohttp.ClientSession
    contracts: tuple[bytes, ...]

    @property
    def device(self) -> str:
        return "0x" + self.world.nodes["seller"].core.signer.address.hex()

    async def get(self, path: str) -> Any:
        """What the REST interface answers to a program."""
        headers = {"Authorization": f"Bearer {self.admin}"}
        async with self.http.get(f"{self.url}/api/v1{path}", headers=headers) as answer:
            return await answer.json()

    async def enter(self, page: Page, where: str = "") -> None:
        """Logs in by a fresh link and goes to a page."""
        headers = {"Authorization": f"Bearer {self.admin}"}
        async with self.http.post(f"{self.url}/api/v1/session-links", json={}, headers=headers) as answer:
            path = (await answer.json())["path"]
        await page.goto(self.url + path)
        await page.get_by_role("button", name="Log out").wait_for()
        if where:
            await page.evaluate("where => { location.hash = where; }", f"#/{where}")


@asynccontextmanager
async def page_world(root: Path) -> AsyncIterator[PageWorld]:
    """Everything is made once; what a test changes the next ones see."""
    async with trading(root) as world, chromium() as browser, aiohttp.ClientSession() as http:
        owner = await world.open("seller's owner")
        form = {"market": world.market.url, "role": "producer", "offer_price": 150, "limit_price": 0}
        words = {"name": HOSTILE, "location": "Linden street 5", "description": "Bought with the neighbours"}
        await owner.assets.configure(AssetConfig.model_validate({**form, "min_offer_wh": 500, **words}))
        await world.give("buyer", 1_000_000)
        first = await _delivered(world, price=200, out=1_500)
        second = await _delivered(world, price=300, out=2_000)
        others = await world.contract(wh=700, price=250, count=10)
        await world.mint(owner.core.keys.identity.wallet().address, 9_000_000)
        start = world.clock.now() + 3 * HOUR
        await world.order("seller", "offer", 4_000, 260, start)
        await world.order("buyer", "request", 3_000, 180, start)
        await world.rounds(3)
        tokens = Tokens(MemoryTokenStore(), world.clock)
        chosen = settings(max_connections_per_address=200)
        storage = world.market.core.storage
        events = FeedPart(storage.feed, Ground(storage.database, storage.journal, world.clock), 90)
        settlement, feed = cast(Any, _parts(world, owner)), FeedParts(events, cast(Any, None))
        parts = ApiParts(world.clock, feed=feed, settlement=settlement, pages=page_routes())
        app = create_api(AllInOne(world.nodes["seller"].core.signer.address), chosen, tokens, parts)
        server = ApiServer(app, chosen)
        await server.start()
        try:
            yield PageWorld(world, owner, browser, server.url, tokens.issue_local(), http, (first, second, *others))
        finally:
            await server.close()


async def _delivered(world: World, *, price: int, out: int) -> bytes:
    (contract,) = await world.contract(wh=1_000, price=price)
    await world.deliver(contract, out=out, into=out)
    await world.reach(contract, "confirmed")
    return contract


def _parts(world: World, owner: Node) -> SimpleNamespace:
    """The product's own parts, each of the node whose role it is."""
    seller, market = world.nodes["seller"], world.market
    return SimpleNamespace(
        assets=AssetsPart(owner.core, owner.assets),
        market=MarketPart(seller.core, seller.asset, market.market),
        data=MarketDataPart(market.core, market.market),
        twins=TwinPart(market.core, market.twins),
        life=LifePart(seller.asset, None),
        jobs=JobsPart(seller.core, seller.pool),
        statements=StatementPart(market.core, StatementBook(market.core), None, market.market),
    )
