"""The event feed over real connections: pages, Server-Sent Events, WebSocket; resume, acknowledge, back-pressure."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from node.projection import events as e
from tests.support.feedserver import FeedServer, feed_server
from tests.support.processes import PATIENCE, until
from tests.unit.node.projection.kit import block, granted, h32


def grants(first: int, count: int) -> list[e.LoggedGranted]:
    """One in each block, each another grant."""
    return [
        e.LoggedGranted(
            block(n), n.to_bytes(32, "big"), h32("o")[:20], h32("r")[:20], h32("k"), (h32("s"),), 0, 9, 1, h32("t")
        )
        for n in range(first, first + count)
    ]


async def read_sse(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, dict[str, Any]]]:
    """So many events with their ids."""
    found: list[tuple[str, dict[str, Any]]] = []
    name = ""
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            line = (await response.content.readline()).decode().rstrip("\n")
            if line.startswith("id: "):
                name = line[4:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
    return found


async def read_ws(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            message = await ws.receive_json()
            if message["type"] == "event":
                found.append(message["event"])
    return found


async def subscribe(api: FeedServer, name: str, after: int = 0, **more: Any) -> None:
    body = {"name": name, "after": after, **more}
    async with api.http.post(api.url("/subscriptions"), json=body, headers=api.headers) as response:
        assert response.status == 201, await response.text()


async def acked(api: FeedServer, name: str) -> int:
    async with api.http.get(api.url("/subscriptions"), headers=api.headers) as response:
        items = (await response.json())["items"]
    return int(next(item["acked"] for item in items if item["name"] == name))


async def reached(api: FeedServer, name: str, seq: int) -> bool:
    return await acked(api, name) >= seq


async def test_pages_have_the_documented_shape(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        await api.journal.apply([granted(5), e.LoggedRolledBack(4)])
        async with api.http.get(api.url("/events"), headers=api.headers) as response:
            page = await response.json()
        assert (page["next"], page["last"], page["feed"]) == (2, 2, api.feed.id)
        first, second = page["items"]
        assert first == {
            "version": 1,
            "feed": api.feed.id,
            "seq": 1,
            "type": "event",
            "kind": "consent.seen",
            "aggregate": {"kind": "consent", "id": "0x" + h32("g").hex()},
            "recorded_at": first["recorded_at"],
            "block": {"number": 5, "hash": "0x" + block(5).hash.hex()},
            "undoes": None,
            "data": {},
        }
        assert (second["type"], second["kind"], second["undoes"]) == ("undone", "consent.seen", 1)
        async with api.http.get(api.url("/openapi.json")) as response:
            schema = (await response.json())["components"]["schemas"]["EventView"]
        assert set(schema["properties"]) == set(first)
        async with api.http.get(api.url("/events?kinds=consent.nonsense"), headers=api.headers) as response:
            assert response.status == 422
            assert "consent.live" in (await response.json())["detail"]


async def test_sse_resumes_behind_the_last_event_id(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        await api.journal.apply(grants(1, 5))
        async with api.http.get(api.url("/events/stream?after=0"), headers=api.headers) as response:
            assert response.content_type == "text/event-stream"
            found = await read_sse(response, 3)
        last = found[-1][0]
        assert last == f"{api.feed.id}:3"
        headers = {**api.headers, "Last-Event-ID": last}
        async with api.http.get(api.url("/events/stream"), headers=headers) as response:
            found = await read_sse(response, 2)
            await api.journal.apply(grants(6, 1))
            found += await read_sse(response, 1)
        assert [event["seq"] for _, event in found] == [4, 5, 6]


async def test_numbers_of_another_feed_are_refused(tmp_path: Path) -> None:
    """A rebuilt node numbers anew: a cursor of before must not be taken for one of now."""
    async with feed_server(tmp_path) as api:
        await api.journal.apply(grants(1, 5))
        headers = {**api.headers, "Last-Event-ID": "0123456789abcdef:3"}
        async with api.http.get(api.url("/events/stream"), headers=headers) as response:
            assert response.status == 410
        async with api.http.get(api.url("/events/stream?after=6"), headers=api.headers) as response:
            assert response.status == 422


async def test_a_named_reader_goes_on_behind_what_it_acknowledged_over_a_restart(tmp_path: Path) -> None:
    """At least once: what was sent and not acknowledged comes again, what was acknowledged does not."""
    async with feed_server(tmp_path) as api:
        await api.journal.apply(grants(1, 6))
        await subscribe(api, "billing")
        async with api.http.ws_connect(api.url("/events/ws?subscription=billing"), headers=api.headers) as ws:
            assert [event["seq"] for event in await read_ws(ws, 6)] == [1, 2, 3, 4, 5, 6]
            await ws.send_json({"type": "ack", "seq": 4})
            await until("the acknowledgement is kept", lambda: reached(api, "billing", 4))
    async with (
        feed_server(tmp_path) as api,
        api.http.ws_connect(api.url("/events/ws?subscription=billing"), headers=api.headers) as ws,
    ):
        hello = await ws.receive_json()
        assert (hello["type"], hello["after"], hello["feed"]) == ("hello", 4, api.feed.id)
        assert [event["seq"] for event in await read_ws(ws, 2)] == [5, 6]


async def test_a_slow_reader_is_paused_and_loses_nothing(tmp_path: Path) -> None:
    """In flight are at most 256; the rest waits in the database, the reader is not dropped, acknowledging goes on."""
    async with feed_server(tmp_path) as api:
        await api.journal.apply(grants(1, 600))
        await subscribe(api, "slow")
        async with api.http.ws_connect(api.url("/events/ws?subscription=slow"), headers=api.headers) as ws:
            found = await read_ws(ws, 256)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await ws.receive_json()
            seen = [event["seq"] for event in found]
            while len(seen) < 600:
                await ws.send_json({"type": "ack", "seq": seen[-1]})
                seen += [event["seq"] for event in await read_ws(ws, min(256, 600 - len(seen)))]
            assert seen == list(range(1, 601))


async def test_a_reader_over_sse_acknowledges_by_a_call(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        await api.journal.apply(grants(1, 300))
        await subscribe(api, "sse")
        async with api.http.get(api.url("/events/stream?subscription=sse"), headers=api.headers) as response:
            found = await read_sse(response, 256)
            body = {"seq": found[-1][1]["seq"]}
            async with api.http.post(api.url("/subscriptions/sse/ack"), json=body, headers=api.headers) as answer:
                assert (await answer.json())["acked"] == 256
            found += await read_sse(response, 44)
        assert [event["seq"] for _, event in found] == list(range(1, 301))


async def test_what_no_filter_passes_is_acknowledged_by_itself(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        await subscribe(api, "final", kinds=["consent.live"])
        async with api.http.ws_connect(api.url("/events/ws?subscription=final"), headers=api.headers) as ws:
            await ws.receive_json()
            await api.journal.apply(grants(1, 3))
            await until("what passed nobody is acknowledged", lambda: reached(api, "final", 3))
            await api.journal.apply([e.LoggedFinalized(2, 1)])
            assert [event["kind"] for event in await read_ws(ws, 2)] == ["consent.live"] * 2


async def test_the_newest_connection_of_a_name_counts(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        await subscribe(api, "one")
        address = api.url("/events/ws?subscription=one")
        async with api.http.ws_connect(address, headers=api.headers) as former:
            await former.receive_json()
            async with api.http.ws_connect(address, headers=api.headers) as latter:
                await latter.receive_json()
                async with asyncio.timeout(PATIENCE):
                    problem = await former.receive_json()
                assert problem["problem"]["code"] == "conflict"
                assert (await former.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
                await api.journal.apply(grants(1, 1))
                assert len(await read_ws(latter, 1)) == 1


async def test_a_revoked_token_ends_its_stream(tmp_path: Path) -> None:
    """architecture.md: no positive permission is cached."""
    async with (
        feed_server(tmp_path) as api,
        api.http.ws_connect(api.url("/events/ws?after=0"), headers=api.headers) as ws,
    ):
        await ws.receive_json()
        await api.journal.apply(grants(1, 1))
        await read_ws(ws, 1)
        (record,) = await api.tokens.records()
        await api.tokens.revoke(record.id)
        await api.journal.apply(grants(2, 1))
        async with asyncio.timeout(PATIENCE):
            message = await ws.receive_json()
        assert message["problem"]["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "text", ["nonsense", '{"type":"ack","seq":-1}', '{"type":"ack","seq":"1"}', '{"type":"ack","seq":99}']
)
async def test_a_reader_that_talks_nonsense_is_told(tmp_path: Path, text: str) -> None:
    async with feed_server(tmp_path) as api:
        await subscribe(api, "x")
        async with api.http.ws_connect(api.url("/events/ws?subscription=x"), headers=api.headers) as ws:
            await ws.receive_json()
            await ws.send_str(text)
            async with asyncio.timeout(PATIENCE):
                assert (await ws.receive_json())["problem"]["code"] in ("invalid_input", "usage")
        assert await acked(api, "x") == 0


async def test_streams_end_when_the_server_does(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        ws = await api.http.ws_connect(api.url("/events/ws?after=0"), headers=api.headers)
        await ws.receive_json()
        closing = asyncio.create_task(api.server.close())
        async with asyncio.timeout(PATIENCE):
            said = await ws.receive()
        await closing
        assert said.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING)
        assert ws.close_code == WSCloseCode.GOING_AWAY, "it was cut off"
