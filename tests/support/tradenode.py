"""A node that trades, put together by hand, and what it shows to others over real HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from node.api.problems import problem_response
from node.app.cards import OwnCard
from node.app.chainfeed import ChainFeed
from node.app.core import Core
from node.app.counters import Counters
from node.app.facade.settlement import MarketPart
from node.app.inbox import Inbox
from node.app.parcels import Post
from node.app.trading.asset import AssetRole
from node.app.trading.assetpool import AssetPool
from node.app.trading.assettelling import AssetTelling
from node.app.trading.market import MarketRole
from node.app.trading.ownedassets import OwnedAssets
from node.app.trading.owning import OwnerFunds
from node.app.trading.twins import Twins
from node.errors import NodeError
from node.projection.order import Order
from node.projection.submission import Submission
from node.projection.trade import Trade
from node.runtime.executor import Executor
from node.runtime.scheduler import Scheduler

__all__ = ["Node", "open_face", "serve"]

NODE: web.AppKey[dict[str, Any]] = web.AppKey("node", dict)


@dataclass(slots=True)
class Node:
    """One node with its roles, opened by hand. `shown` is what its meter shows."""

    name: str
    core: Core
    inbox: Inbox
    post: Post
    executor: Executor
    scheduler: Scheduler
    feed: ChainFeed
    asset: AssetRole
    pool: AssetPool
    funds: OwnerFunds
    market: MarketRole | None
    twins: Twins
    assets: OwnedAssets
    telling: AssetTelling
    shown: Counters
    url: str
    folder: Path
    stack: AsyncExitStack = field(repr=False)

    async def work(self) -> None:
        """Everything that is due on this node, once."""
        await self.scheduler.step()
        if self.market is not None:
            await self.market.step()
            await self.market.duties.step()
            await self.market.netting.step()
            await self.market.anchoring.step()
        await self.asset.step()
        await self.pool.step()
        await self.telling.step()
        await self.assets.step()
        await self.twins.step()
        await self.executor.step()
        for each in self.core.chain.batches:
            await each.step()
        await self.core.chain.sender.step()
        for each in self.core.chain.batches:
            await each.settle()

    async def read_chain(self) -> None:
        """All that the chain has by now."""
        indexer = self.core.chain.indexer
        while True:
            batch = await indexer.step()
            if batch is None:
                return
            await self.feed._apply(batch)

    def meter(self, at: int, *, out: int = 0, into: int = 0) -> None:
        """The meter shows absolute counters (Wh) at a time."""
        self.shown.note(at, {"1-0:2.8.1": out, "1-0:1.8.1": into})

    async def trades(self) -> list[Trade]:
        return [trade for _, trade in await self.core.storage.views.page(Trade, limit=5_000)]

    async def trade(self, contract_id: bytes) -> Trade:
        return await self.core.storage.views.one(Trade, contract_id)

    async def order(self, order_id: bytes) -> Order:
        return await self.core.storage.views.one(Order, order_id)

    async def refusals(self) -> list[tuple[str, str]]:
        """Kind and reason of the messages that the chain did not take."""
        rows = await self.core.storage.views.page(Submission, limit=1_000)
        return [(s.kind, s.reason) for _, s in rows if s.reason]

    async def close(self) -> None:
        await self.stack.aclose()


# What a node's REST interface shows to other nodes, over real HTTP.


def open_face() -> web.Application:
    """The addresses of a node that is not there yet: `serve` gives it."""
    app = web.Application()
    app[NODE] = {}
    app.router.add_get("/.well-known/wattpact.json", _card)
    app.router.add_get("/api/v1/market/terms", _terms)
    app.router.add_post("/api/v1/inbox", _inbox)
    return app


def serve(app: web.Application, node: Node) -> None:
    """From now on this node answers."""
    app[NODE]["it"] = node


async def _card(request: web.Request) -> web.Response:
    node: Node = request.app[NODE]["it"]
    return web.json_response(await OwnCard(node.core).signed())


async def _terms(request: web.Request) -> web.Response:
    node: Node = request.app[NODE]["it"]
    shown = await MarketPart(node.core, None, node.market).terms()
    return web.json_response(text=shown.model_dump_json())


async def _inbox(request: web.Request) -> web.Response:
    node: Node = request.app[NODE]["it"]
    try:
        await node.inbox.take(await request.read(), "")
    except NodeError as error:
        return problem_response(error, None)
    return web.Response(status=202)
