"""The relay for channels over HTTP: who may do what, ranges, long polls, and what a hostile client sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from channels.errors import TransportRefused
from channels.transports.base import LinkState
from channels.transports.http import HttpSettings, HttpTransport
from channels.transports.http_wire import Entry, decode_entries, encode_entries
from channels.transports.topics import Kind, Topic
from node.api.relay import Relay
from node.api.server import ApiServer
from node.clock import SystemClock
from node.config import ApiSettings, Listen
from node.runtime.broker.authority import client_context, issue_server, make_authority
from node.runtime.relay.log import RelayLog
from tests.conformance.brokers import GRANT2, PASSWORDS, SID, RelayHarness, users
from tests.support.processes import PATIENCE, until
from tests.unit.runtime.broker.test_tls import NOW

DATA, COMMITS = Topic(Kind.DATA, SID), Topic(Kind.COMMITS, SID)
FOREIGN = Topic(Kind.CAPSULE, SID, GRANT2)
pytestmark = pytest.mark.broker


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[RelayHarness]:
    harness = RelayHarness(tmp_path)
    await harness.start()
    yield harness
    await harness.stop()


class Raw:
    """Calls as anybody can make them."""

    def __init__(self, broker: RelayHarness, session: aiohttp.ClientSession) -> None:
        self._base = f"http://127.0.0.1:{broker.port}/channels/v1/"
        self._session = session

    async def call(
        self, user: str, method: str, path: str, body: bytes = b"", password: str | None = None, **query: int | str
    ) -> tuple[int, bytes]:
        auth = aiohttp.encode_basic_auth(user, PASSWORDS.get(user, "") if password is None else password)
        headers = {"Authorization": auth} if user else {}
        params = {name: str(value) for name, value in query.items()}
        async with self._session.request(
            method, self._base + path, data=body, headers=headers, params=params
        ) as answer:
            return answer.status, await answer.read()


@pytest_asyncio.fixture
async def raw(broker: RelayHarness) -> AsyncIterator[Raw]:
    async with aiohttp.ClientSession() as session:
        yield Raw(broker, session)


async def opened(broker: RelayHarness, name: str) -> HttpTransport:
    transport = broker.transport(name)
    assert isinstance(transport, HttpTransport)
    await transport.start()
    await asyncio.wait_for(transport.wait_connected(), PATIENCE)
    return transport


async def test_ranges_by_sequence(broker: RelayHarness) -> None:
    """channels.md 7: HTTP reads ranges by sequence."""
    writer, reader = await opened(broker, "writer"), await opened(broker, "reader")
    for number in range(30):
        await writer.publish(DATA if number % 3 else COMMITS, b"%d" % number)
    found: list[Entry] = []
    while part := await reader.entries(DATA, found[-1].seq if found else 0, limit=7):
        assert len(part) <= 7
        found += part
    assert [int(entry.payload) for entry in found] == [number for number in range(30) if number % 3]
    assert [entry.seq for entry in found] == sorted({entry.seq for entry in found})
    with pytest.raises(TransportRefused):
        await reader.entries(FOREIGN)
    for one in (writer, reader):
        await one.stop()


async def test_nobody_acts_as_another(broker: RelayHarness, raw: Raw) -> None:
    """Attack: wrong passwords, no name at all, and somebody else's client with all that waits for it."""
    reader = await opened(broker, "reader")
    await reader.subscribe(DATA)
    assert (await raw.call("", "GET", "clients/reader/news"))[0] == 401
    assert (await raw.call("reader", "GET", "clients/reader/news", password="guess"))[0] == 401
    for method, path in (("GET", "news"), ("POST", "done"), ("PUT", "topics"), ("POST", "topics/end")):
        assert (await raw.call("other", method, f"clients/reader/{path}", encode_entries([])))[0] == 403
        assert (await raw.call("other", method, f"clients/readerx/{path}", encode_entries([])))[0] == 403
    assert (await raw.call("other", "PUT", "clients/other:2/topics", FOREIGN.name.encode()))[0] == 200
    assert (await raw.call("reader", "GET", "entries", topic=FOREIGN.name))[0] == 403
    refused = await raw.call("other", "POST", "messages", encode_entries([Entry(0, DATA.name, b"forged")]))
    assert refused == (200, b'{"refused": [0]}')
    await reader.stop()


async def test_guessing_is_slowed_down(raw: Raw) -> None:
    codes = [(await raw.call("reader", "GET", "entries", password=f"guess {i}"))[0] for i in range(14)]
    assert codes[0] == 401
    assert codes[-1] == 429


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x02",
        b"\x01" + bytes(5),
        encode_entries([Entry(0, DATA.name, b"x")]) + b"\x00",
        encode_entries([Entry(0, "wattpact/v1/nothing", b"x")]),
        encode_entries([Entry(0, DATA.name, b"")]),
        encode_entries([Entry(0, DATA.name, bytes(2_000_001))]),
    ],
    ids=["nothing", "version", "cut", "trailing", "topic", "empty", "large"],
)
async def test_hostile_bodies_are_refused_and_nothing_is_kept(raw: Raw, body: bytes) -> None:
    code, _ = await raw.call("writer", "POST", "messages", body)
    assert code == 400
    assert decode_entries((await raw.call("reader", "GET", "entries", topic=DATA.name))[1]) == []


async def test_a_body_that_is_too_long_is_not_read(raw: Raw) -> None:
    assert (await raw.call("writer", "POST", "messages", bytes(5_000_000)))[0] == 413


async def waits(broker: RelayHarness, client: str) -> None:
    """Returns once a call of this client is open at the relay."""

    async def open_call() -> bool:
        return client in broker.relay._polls

    await until(f"a call of {client} is open", open_call, every=0.01)


async def test_a_revoked_user_is_cut_off_while_its_call_is_open(broker: RelayHarness, raw: Raw) -> None:
    """permissions.md 4: a revoked one is cut off while connected, and not when its call is over."""
    call = asyncio.create_task(raw.call("reader", "GET", "clients/reader:2/news", wait=55))
    reader = await opened(broker, "reader")
    await reader.subscribe(DATA)
    refused = asyncio.Event()
    reader.on_state(lambda state, _: refused.set() if state is LinkState.REFUSED else None)
    for client in ("reader", "reader:2"):
        await waits(broker, client)
    broker.relay.set_users(user for user in users() if user.name != "reader")
    assert (await call)[0] == 401, "a call that ends by itself says 200"
    await asyncio.wait_for(refused.wait(), PATIENCE)
    await reader.stop()


async def test_a_second_client_of_one_name_takes_the_place_of_the_first(broker: RelayHarness, raw: Raw) -> None:
    await raw.call("reader", "PUT", "clients/reader/topics", DATA.name.encode())
    first = asyncio.create_task(raw.call("reader", "GET", "clients/reader/news", wait=55))
    await waits(broker, "reader")
    second = asyncio.create_task(raw.call("reader", "GET", "clients/reader/news", wait=55))
    assert (await first)[0] == 409, "a call that ends by itself says 200"
    await waits(broker, "reader")
    await raw.call("writer", "POST", "messages", encode_entries([Entry(0, DATA.name, b"news")]))
    code, body = await second
    assert (code, [entry.payload for entry in decode_entries(body)]) == (200, [b"news"])


async def test_behind_the_nodes_listener_and_over_tls(tmp_path: Path) -> None:
    """A long poll is no idle connection: the listener that cuts silent clients lets it wait."""
    authority = make_authority(tmp_path / "tls", "test", NOW)
    files = issue_server(tmp_path / "tls", authority, ["127.0.0.1"], NOW)
    settings = ApiSettings(
        listen=Listen("127.0.0.1", 0), tls_cert=files.certificate, tls_key=files.key, idle_timeout_s=2
    )
    server = ApiServer(Relay(RelayLog(tmp_path / "relay.db"), users(), SystemClock()).application(), settings)
    await server.start()
    tls = client_context(authority.certificate)
    clients = [
        HttpTransport(HttpSettings(server.url, name, name, PASSWORDS[name], tls)) for name in ("writer", "reader")
    ]
    states: list[LinkState] = []
    clients[1].on_state(lambda state, _: states.append(state))
    for one in clients:
        await one.start()
    inbox = await asyncio.wait_for(clients[1].subscribe(DATA), PATIENCE)
    await asyncio.sleep(4.5)
    await asyncio.wait_for(clients[0].publish(DATA, b"over TLS"), PATIENCE)
    assert (await asyncio.wait_for(anext(inbox), PATIENCE)).payload == b"over TLS"
    assert states[-1] is LinkState.CONNECTED
    assert states.count(LinkState.CONNECTED) == 1
    for one in clients:
        await one.stop()
    await server.close()


async def test_old_entries_and_forgotten_clients_go(tmp_path: Path) -> None:
    log = RelayLog(tmp_path / "relay.db", keep_seconds=100)
    await log.open()
    await log.subscribe("reader", [DATA.name], 1000)
    await log.subscribe("listener", [COMMITS.name], 1000)
    await log.publish([Entry(0, DATA.name, b"old"), Entry(0, COMMITS.name, b"kept", True)], 1000)
    await log.publish([Entry(0, DATA.name, b"new")], 1090)
    assert await log.sweep(1095) == 0
    assert await log.sweep(1150, ["listener"]) == 2
    assert [entry.payload for entry in await log.entries(DATA.name, 0, 10)] == [b"new"]
    assert await log.topics("reader") == []
    assert await log.topics("listener") == [COMMITS.name], "it asks for news and there is none"
    assert [entry.payload for entry in await log.subscribe("reader", [COMMITS.name], 1200)] == [b"kept"]
    await log.close()


async def test_a_relay_that_fails_a_subscription_is_asked_again_over_a_new_connection() -> None:
    asked: list[bytes] = []

    async def topics(request: web.Request) -> web.Response:
        asked.append(await request.read())
        return web.Response(status=503 if asked[-1] and asked.count(asked[-1]) <= 2 else 200, body=encode_entries([]))

    async def news(_: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(body=encode_entries([]))

    app = web.Application()
    app.add_routes([web.put("/channels/v1/clients/{client}/topics", topics)])
    app.add_routes([web.get("/channels/v1/clients/{client}/news", news)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    transport = HttpTransport(HttpSettings(url, "reader", "reader", "x", backoff_first=0.01, backoff_most=0.05))
    await transport.start()
    async with asyncio.timeout(PATIENCE):
        await transport.subscribe(DATA)
    await transport.stop()
    await runner.cleanup()
    again = [b"", DATA.name.encode()]
    assert asked[:4] == again * 2, "each failure ends the connection that it came over"
    assert asked[4] == b""
    assert transport.state is LinkState.STOPPED
