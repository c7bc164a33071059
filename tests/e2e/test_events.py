"""The event feed of a real node: a reader and a webhook lose nothing over kill -9 and restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from node.config import read_access
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.feedserver import Receiver, receiver
from tests.support.processes import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker, pytest.mark.long]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters, hook: Receiver) -> AsyncIterator[Cluster]:
    """A paired household whose home may tell the receiver of its events."""
    allowed = {"home": {"webhooks.allow": (hook.url.rsplit("/", 1)[0],)}}
    async with clusters(Plan(providers=("alpha",), settings=allowed)) as cluster:
        await cluster.pair()
        yield cluster


async def _read(cluster: Cluster, seen: list[int], until_done: asyncio.Event) -> None:
    """Follow the home under one name for ever, acknowledging now and then; take up a cut connection again."""
    home = cluster.home
    while not until_done.is_set():
        try:
            access = read_access(home.folder)
            headers = {"Authorization": f"Bearer {access.token}"}
            address = f"{home.url}/api/v1/events/ws?subscription=e2e"
            async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(address) as ws:
                async for message in ws:
                    document: dict[str, Any] = json.loads(message.data)
                    if document["type"] == "event":
                        seen.append(document["event"]["seq"])
                        if len(seen) % 3 == 0:
                            await ws.send_json({"type": "ack", "seq": seen[-1]})
        except (OSError, aiohttp.ClientError, ValueError):
            pass
        await asyncio.sleep(0.1)


async def test_nothing_is_lost_over_kills(cluster: Cluster, hook: Receiver) -> None:
    """Grants and revocations go on while the home is killed four times: no number is missing, at either reader."""
    home = cluster.home
    await home.post("/subscriptions", {"name": "e2e", "after": 0})
    await home.post("/webhooks", {"url": hook.url, "after": 0})
    seen: list[int] = []
    done = asyncio.Event()
    reading = asyncio.create_task(_read(cluster, seen, done))

    async def complete() -> bool:
        page = await home.get("/events?after=0&limit=1000")
        kinds, last = [event["kind"] for event in page["items"]], page["last"]
        if not kinds.count("consent.live") == kinds.count("consent.revoked") == 4:
            return False
        told = {json.loads(body)["seq"] for _, body in hook.got}
        return set(seen) == told == set(range(1, last + 1))

    try:
        for _ in range(4):
            grant = await cluster.grant("alpha")
            await home.kill()
            await home.start()
            await cluster.revoke(grant)
        await until("every number at both readers", complete)
    finally:
        done.set()
        reading.cancel()
        await asyncio.wait([reading])
    ids = [headers["webhook-id"] for headers, _ in hook.got]
    assert len(set(ids)) == max(seen)
    assert "whsec_" not in home.process.said()
