"""The event feed as other programs meet it: a real database and journal behind a real server, and real receivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from node.api import ApiParts, ApiServer, FeedParts, MemoryTokenStore, Tokens, create_api
from node.app.facade.feed import FeedPart, Ground, WebhookPart
from node.clock import ManualClock, SystemClock
from node.config import ApiSettings
from node.runtime.backoff import Backoff
from node.runtime.supervisor import Lifecycle
from node.runtime.webhooks import HookOptions
from node.storage.database import Database
from node.storage.feed import Feed
from node.storage.journal import Journal
from tests.unit.node.api.memory_node import NOW, MemoryNode

__all__ = ["FeedServer", "Receiver", "feed_server", "receiver"]

QUICK = HookOptions(Backoff(0.05, 0.2, lambda: 0.5), patience=600, poll=0.1)


@dataclass
class Receiver:
    """A webhook's other end. `answers` are given in turn, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """On a free port of this machine."""
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class FeedServer:
    """`token` has the scope events:read, `admin` all."""

    journal: Journal
    feed: Feed
    server: ApiServer
    tokens: Tokens
    clock: ManualClock
    http: aiohttp.ClientSession
    token: str
    admin: str

    def url(self, path: str) -> str:
        return f"{self.server.url}/api/v1{path}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def _keep(hooks: WebhookPart, life: Lifecycle) -> None:
    await hooks.service().run(life)


@asynccontextmanager
async def feed_server(folder: Path, *allow: str, options: HookOptions = QUICK) -> AsyncIterator[FeedServer]:
    """Starts on what is in the folder; leaving it stops the server as a node does."""
    database = await Database.open(f"sqlite+aiosqlite:///{folder / 'node.db'}")
    clock = ManualClock(NOW)
    journal, feed = Journal(database, clock), await Feed.open(database)
    ground = Ground(database, journal, clock)
    hooks = WebhookPart(feed, ground, bytes(32), allow, options)
    events = FeedPart(feed, ground, 90)
    tokens = Tokens(MemoryTokenStore(), SystemClock())
    _, token = await tokens.issue("program", frozenset({"events:read"}))
    settings = ApiSettings.model_validate({"listen": "127.0.0.1:0", "idle_timeout_s": 1})
    app = create_api(MemoryNode(), settings, tokens, ApiParts(clock, feed=FeedParts(events, hooks)))
    server, life = ApiServer(app, settings), Lifecycle()
    await server.start()
    running = asyncio.create_task(_keep(hooks, life))
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            yield FeedServer(journal, feed, server, tokens, clock, http, token, tokens.issue_local())
    finally:
        life.stop.set()
        await running
        await server.close()
        await hooks.close()
        await journal.close()
        await database.close()
