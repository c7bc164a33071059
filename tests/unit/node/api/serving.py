"""A real server on a free port over a node in memory, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from node.api import ApiParts, ApiServer, MemoryTokenStore, Tokens, create_api
from node.clock import ManualClock
from node.config import ApiSettings
from node.observability import Metrics
from node.runtime.interfaces import Network, own_networks
from node.web import page_routes
from tests.unit.node.api.memory_node import NOW, MemoryNode
from tests.unit.node.api.memory_settlement import MemorySettlement


@dataclass(frozen=True, slots=True)
class Served:
    node: MemoryNode
    server: ApiServer
    tokens: Tokens
    clock: ManualClock
    metrics: Metrics
    http: aiohttp.ClientSession
    admin: str
    settlement: MemorySettlement

    async def call(
        self, method: str, path: str, *, token: str | None = "", headers: Mapping[str, str] | None = None, **rest: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON (or bytes) and headers. `token` "" is the admin's, None none."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.admin}"
        async with self.http.request(method, self.server.url + path, headers=sent, **rest) as response:
            data = await response.read()
            if "json" in response.content_type:
                return response.status, await response.json(content_type=None), dict(response.headers)
            return response.status, data, dict(response.headers)


def settings(**changed: Any) -> ApiSettings:
    return ApiSettings.model_validate({"listen": "127.0.0.1:0", **changed})


@asynccontextmanager
async def served(
    chosen: ApiSettings | None = None,
    networks: Callable[[], tuple[Network, ...]] = own_networks,
    node: MemoryNode | None = None,
) -> AsyncIterator[Served]:
    chosen = chosen or settings()
    node, clock, metrics = node or MemoryNode(), ManualClock(NOW), Metrics()
    tokens = Tokens(MemoryTokenStore(), clock)
    settlement = MemorySettlement()
    parts = ApiParts(clock, metrics, settlement=settlement, networks=networks, pages=page_routes())
    app = create_api(node, chosen, tokens, parts)
    server = ApiServer(app, chosen, metrics)
    await server.start()
    try:
        jar = aiohttp.CookieJar(unsafe=True)  # the server is known by its address alone
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), cookie_jar=jar) as http:
            yield Served(node, server, tokens, clock, metrics, http, tokens.issue_local(), settlement)
    finally:
        await server.close()
