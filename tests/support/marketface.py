"""A node's addresses of the marketplace over real HTTP, and what is sealed for them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from keys import messages as m
from keys.errors import SignerError
from keys.parcel import pack
from keys.signers import LocalSigner
from node.api import ApiParts, ApiServer, MemoryTokenStore, Tokens, create_api
from node.app.facade.jobs import JobsPart
from node.app.facade.marketplace import MarketplacePart
from node.projection.order import Order
from node.wire.refusals import OrderRefusal
from tests.support.tradeworld import HOUR, Node, World
from tests.unit.node.api.memory_node import MemoryNode
from tests.unit.node.api.serving import settings

CONFIG = {"offer_price": 100, "limit_price": 300, "min_offer_wh": 200}


async def no_signature(*_: object) -> OrderRefusal:
    """In place of `signed_refusal`, of a market whose key is out of reach. A no that nobody signed may be anybody's, so
    the order stands and its job has failed."""
    raise SignerError("the key is out of reach")


@dataclass(frozen=True, slots=True)
class Face:
    """A node's addresses, and a client of them."""

    node: Node
    url: str
    http: aiohttp.ClientSession
    tokens: Tokens

    async def post(
        self, path: str, body: Any, token: str | None = None, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def sealed(self, path: str, sender: LocalSigner, kind: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        return await self.post(path, await encrypted(self.node, self.node, sender, kind, body))


async def encrypted(at: Node, to: Node, sender: LocalSigner, kind: str, body: Mapping[str, Any]) -> dict[str, str]:
    core = at.core
    sealing, chain_id, now = to.core.keys.sealing.public_bytes, core.settings.chain.chain_id, core.clock.now()
    raw = await pack(sender, sealing, kind, body, chain_id=chain_id, now=now, lifetime=600)
    return {"encrypted": base64.b64encode(raw).decode()}


@asynccontextmanager
async def face(node: Node) -> AsyncIterator[Face]:
    tokens = Tokens(MemoryTokenStore(), node.core.clock)
    jobs = JobsPart(node.core, node.pool)
    parts = SimpleNamespace(marketplace=MarketplacePart(node.core, node.inbox, node.pool), jobs=jobs)
    chosen = settings()
    app = create_api(MemoryNode(), chosen, tokens, ApiParts(node.core.clock, settlement=cast(Any, parts)))
    server = ApiServer(app, chosen, node.core.metrics)
    await server.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Face(node, server.url, http, tokens)
    finally:
        await server.close()


async def an_order(world: World, name: str, *, sells: bool = True, **changes: Any) -> dict[str, Any]:
    """The body of an order's parcel, signed by the asset."""
    node, now = world.nodes[name], world.clock.now()
    assert world.market.market is not None
    kind = m.Offer if sells else m.Request
    signer = node.asset.account(world.operator)
    values: dict[str, Any] = {
        "account": signer.address,
        "operator": world.operator,
        "terms": world.market.market.terms_id,
        "partner": bytes(20),
        "device": bytes(20),
        "wh": 500,
        "price": 100,
        "start": now + HOUR,
        "end": now + 2 * HOUR,
        "nonce": now,
        "deadline": now + HOUR,
    }
    message = kind(**(values | changes))
    domain = node.asset.voice.domain()
    signature = await signer.sign_message(message, domain)
    return {
        "typed": m.typed_data(message, domain),
        "signature": "0x" + signature.hex(),
        "card": node.core.card.to_json(),
    }


async def orders(node: Node) -> int:
    return len(await node.core.storage.views.page(Order, limit=100))


async def set_up(world: World, name: str, **changes: Any) -> tuple[int, Any]:
    """The owner sets an asset up, over HTTP."""
    owner = world.nodes[f"{name}'s owner"]
    async with face(world.nodes[name]) as api:
        config = {"market": world.market.url, **CONFIG, **changes}
        return await api.sealed("/asset/init", owner.core.signer, "asset.init", config)
