"""permissions.md 1: the domain on a party's card is asked for that card, and shown as verified or not."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.transports.inprocess import Hub
from keys.identity import Identity
from keys.messages import parcel_domain
from keys.parcel import pack
from node.api.views import PartyView
from node.app.core import Core
from node.app.facade.consents import Consents
from node.app.inbox import Inbox
from node.app.parcels import Post
from node.app.streams.domains import DAY_S, DOMAINS, RETRY_S, SWEEP_S, DomainWatch
from node.app.streams.erasing import Eraser
from node.app.streams.home import HomeRole
from node.app.streams.provider import ProviderRole
from node.app.streams.refreshing import KeyRefresher
from node.app.submissions import Submissions
from node.clock import ManualClock
from node.projection.base import Block
from node.projection.events import LoggedGranted
from node.runtime.broker.authority import client_context, issue_server, make_authority, server_context
from node.runtime.outbound import Outbound
from node.runtime.supervisor import Lifecycle
from node.types import to_hex
from node.wire.cards import CARD_PATH, card_statement
from node.wire.consents import ConsentRequest, PartyCard
from tests.support.pastworld import open_core_of
from tests.support.processes import until

CHAIN, NOW = 31337, 1_800_000_000
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Party:
    """Somebody with an account, a sealing key and a card."""

    identity: Identity
    domain: str = "localhost"
    key: str = "inbox"

    @property
    def card(self) -> PartyCard:
        return PartyCard(
            name="Heat pump advice",
            domain=self.domain,
            address=self.identity.wallet().address,
            sealing_key=self.identity.sealing_key(self.key).public_bytes,
            inbox_url="http://advice.example",
        )

    async def signed(self, at: int = NOW) -> dict[str, Any]:
        """As a node shows it."""
        nonce = bytes(32)
        signature = await self.identity.wallet().sign_message(
            card_statement(self.card, nonce, at), parcel_domain(CHAIN)
        )
        return {"card": self.card.to_json(), "nonce": nonce.hex(), "signed_at": at, "signature": signature.hex()}


ASKING, OTHER = Party(Identity(bytes([7]) * 64)), Party(Identity(bytes([8]) * 64))


@dataclass
class Site:
    """A real https server that says what it is told to; `gone` while `answer` is None."""

    port: int = 0
    asked: int = 0
    answer: Answer | None = None

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        assert request.path == CARD_PATH
        return await self.answer(request) if self.answer is not None else web.Response(status=503)

    def shows(self, document: object) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(document)

        self.answer = answer


@dataclass
class World:
    core: Core
    clock: ManualClock
    inbox: Inbox
    consents: Consents
    watch: DomainWatch
    site: Site
    count: int = field(default=0)

    async def ask(self, party: Party = ASKING) -> str:
        """The party's request arrives; its id."""
        self.count += 1
        request_id = self.count.to_bytes(32, "big")
        body = ConsentRequest(
            request_id=request_id,
            card=party.card,
            reader=party.card.address,
            reader_key=party.card.sealing_key,
            streams=("electricity/15min",),
            start=NOW,
            end=NOW + 86_400,
            purpose="advice",
            expires=NOW + 30 * 86_400,
        )
        data = await pack(
            party.identity.wallet(), self.core.keys.sealing.public_bytes, "consent.request", body.to_json(),
            chain_id=CHAIN, now=self.clock.now(), lifetime=600,
        )  # fmt: skip
        await self.inbox.take(data, "127.0.0.1")
        return to_hex(request_id)

    async def step(self) -> None:
        while await self.watch.step():
            pass

    async def party(self, request_id: str) -> PartyView:
        return (await self.consents.request(request_id)).party

    async def found(self, party: Party = ASKING) -> PartyView:
        """What is shown of a party whose request has just arrived, once its domain was asked."""
        request_id = await self.ask(party)
        await self.step()
        return await self.party(request_id)


@asynccontextmanager
async def opened(folder: Path, *, allow: bool = True, trust: bool = True) -> AsyncIterator[World]:
    """A home, and a site at `localhost` on a port of its own with a certificate of an authority of its own. `allow`:
    its origin is on the allow-list; `trust`: its authority counts."""
    tls = folder / "tls"
    tls.mkdir()
    authority = make_authority(tls, "test", datetime.now(UTC))
    site = Site()
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_get("/{path:.*}", site.take)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        context = server_context(issue_server(tls, authority, ["localhost"], datetime.now(UTC)))
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        site.port = runner.addresses[0][1]
        clock = ManualClock(NOW)
        core = await open_core_of(stack, folder / "home", 1, "home", clock, Hub())
        post, inbox, provider = Post(core), Inbox(core), ProviderRole(core)
        home = HomeRole(core, post, Submissions(core))
        inbox.on("consent.request", home._take_request)
        outbound = Outbound(
            [f"https://localhost:{site.port}"] if allow else [],
            client_context(authority.certificate) if trust else None,
        )
        watch = DomainWatch(core, outbound, site.port)
        stack.push_async_callback(watch.close)
        consents = Consents(core, home, None, KeyRefresher(core, post, provider), Eraser(core, provider))
        yield World(core, clock, inbox, consents, watch, site)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


async def test_a_domain_that_shows_the_partys_own_card_is_verified(world: World) -> None:
    world.site.shows(await ASKING.signed())
    request_id = await world.ask()
    before = await world.party(request_id)
    assert (before.domain_verified, before.domain_reason) == (False, "It was not asked yet.")
    await world.step()
    after = await world.party(request_id)
    assert (after.domain_verified, after.domain_reason, after.domain_checked_at) == (True, None, NOW)
    assert (await world.consents.requests(None, 10)).items[0].party.domain_verified


async def test_every_request_and_consent_is_found_page_by_page(world: World) -> None:
    """However many there are, and however many on the chain are nobody's here."""
    asked = [await world.ask() for _ in range(5)]
    owner = world.consents._as_home().owner.address
    grants = [bytes([number]) * 32 for number in range(1, 8)]
    for number, grant in enumerate(grants, 1):
        whose = owner if number % 2 else bytes(20)
        block = Block(number, bytes([number]) * 32)
        terms = (whose, ASKING.card.address, bytes(32), (bytes(32),), NOW, NOW + 86_400, 7, bytes(32))
        await world.core.storage.journal.apply([LoggedGranted(block, grant, *terms)])
    for limit in (1, 2, 3, 100):
        requests, consents = list[str](), list[bytes]()
        before = None
        while (page := await world.consents.requests(before, limit)).items:
            assert len(page.items) <= limit
            requests += [to_hex(bytes.fromhex(each.id.removeprefix("0x"))) for each in page.items]
            if page.next is None:
                break
            before = page.next
        before = None
        while (found := await world.consents.consents(before, limit)).items:
            assert len(found.items) <= limit
            consents += [each.grant_id for each in found.items]
            if found.next is None:
                break
            before = found.next
        assert requests == asked[::-1]
        assert consents == [grant for number, grant in enumerate(grants, 1) if number % 2][::-1]


async def test_a_domain_that_shows_another_party_is_said_so_plainly(world: World) -> None:
    world.site.shows(await OTHER.signed())
    shown = await world.found()
    assert not shown.domain_verified
    assert shown.domain_reason == f"localhost shows the card of another party, {to_hex(OTHER.card.address)}."
    assert (await world.found(OTHER)).domain_verified  # one finding, whoever names the domain
    assert world.site.asked == 1


async def test_the_same_account_with_another_key_is_not_verified(world: World) -> None:
    world.site.shows(await Party(ASKING.identity, key="another").signed())
    shown = await world.found()
    assert (shown.domain_verified, shown.domain_reason) == (False, "localhost shows this party with another key.")


async def test_a_bad_signature_is_not_verified(world: World) -> None:
    document = await ASKING.signed()
    forged = {**document, "signature": bytes(65).hex()}
    renamed = {**document, "card": {**document["card"], "name": "Your bank"}}
    for shows in (forged, renamed):
        world.site.shows(shows)
        shown = await world.found()
        assert not shown.domain_verified
        assert "is not signed by the account it shows" in str(shown.domain_reason)
        world.clock.advance(RETRY_S)
    assert world.site.asked == 2


async def test_a_card_of_long_ago_is_not_verified(world: World) -> None:
    world.site.shows(await ASKING.signed(NOW - 8 * DAY_S))
    assert "has expired" in str((await world.found()).domain_reason)


def _says(text: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    return answer


async def test_what_is_no_card_is_not_verified(world: World) -> None:
    for text in ("", "nonsense", "[]", "1", '"card"', "null", "[" * 100_000, '{"card": {}}'):
        world.site.answer = _says(text)
        shown = await world.found()
        assert not shown.domain_verified
        assert "does not show a party card" in str(shown.domain_reason)
        world.clock.advance(RETRY_S)
    assert world.site.asked == 8


async def test_a_time_that_is_none_stops_nothing(world: World) -> None:
    """Attack: JSON as Python reads it has infinities."""
    for at in (float("inf"), float("nan"), 10**300, -1, "x", None):
        world.site.answer = _says(json.dumps({**await ASKING.signed(), "signed_at": at}))
        shown = await world.found()
        assert (shown.domain_verified, shown.domain_checked_at) == (False, world.clock.now())
        world.clock.advance(RETRY_S)


def _leads(status: int, where: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": where})

    return answer


async def test_a_redirect_is_not_followed(world: World) -> None:
    """permissions.md 3. Attack: an open redirect at a good name."""
    for count, status in enumerate((301, 302, 303, 307, 308), 1):
        world.site.answer = _leads(status, f"https://localhost:{world.site.port}{CARD_PATH}")
        shown = await world.found()
        assert not shown.domain_verified
        assert shown.domain_reason == f"localhost leads elsewhere ({status}), which is not followed."
        assert world.site.asked == count
        world.clock.advance(RETRY_S)


async def test_a_private_address_is_not_asked(tmp_path: Path) -> None:
    """permissions.md 3: checked after the name was resolved."""
    async with opened(tmp_path, allow=False) as world:
        world.site.shows(await ASKING.signed())
        shown = await world.found()
        assert not shown.domain_verified
        assert shown.domain_reason == "localhost leads to an address that is not public."
        assert world.site.asked == 0


NO_NAMES = (
    "127.0.0.1", "[::1]", "0x7f000001", "127.1", "localhost:1", "a@localhost", "localhost/x", "localhost?", "a b",
    "-a.example", "localhost, verified", "b\u00fccher.example", "a" * 64, ".",
)  # fmt: skip


async def test_what_is_no_name_is_not_asked(world: World) -> None:
    for domain in NO_NAMES:
        shown = await world.found(Party(ASKING.identity, domain))
        assert (shown.domain_verified, shown.domain_reason) == (False, "This is no domain name.")
    assert (world.site.asked, await world.core.storage.memory.facts.all(DOMAINS)) == (0, {})


async def test_capitals_are_the_same_name_and_no_domain_is_nothing(world: World) -> None:
    world.site.shows(await ASKING.signed())
    assert (await world.found(Party(ASKING.identity, "LocalHost"))).domain_verified
    none = await world.found(Party(ASKING.identity, ""))
    assert (none.domain, none.domain_verified, none.domain_reason, none.domain_checked_at) == (None, False, None, None)


async def test_a_certificate_that_nobody_vouches_for_is_not_verified(tmp_path: Path) -> None:
    async with opened(tmp_path, trust=False) as world:
        world.site.shows(await ASKING.signed())
        shown = await world.found()
        assert (shown.domain_verified, shown.domain_reason) == (False, "localhost shows no valid certificate.")


async def test_more_than_a_megabyte_is_not_read(world: World) -> None:
    document = {**await ASKING.signed(), "more": "x" * 1_000_000}
    world.site.shows(document)
    shown = await world.found()
    assert (shown.domain_verified, shown.domain_reason) == (False, "localhost shows more than 1000000 bytes.")


async def test_what_is_packed_is_not_unpacked(world: World) -> None:
    """Attack: a megabyte that unpacks to a gigabyte."""
    packed = gzip.compress(json.dumps(await ASKING.signed()).encode())

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    world.site.answer = answer
    assert not (await world.found()).domain_verified


async def test_one_that_does_not_answer_is_tried_again_later(world: World) -> None:
    world.site.answer = None
    request_id = await world.ask()
    await world.step()
    shown = await world.party(request_id)
    assert (shown.domain_verified, shown.domain_reason) == (False, "localhost answers 503.")
    world.site.shows(await ASKING.signed())
    world.clock.advance(SWEEP_S)
    await world.step()
    assert world.site.asked == 1
    world.clock.advance(RETRY_S)
    await world.step()
    shown = await world.party(request_id)
    assert (shown.domain_verified, shown.domain_checked_at) == (True, NOW + SWEEP_S + RETRY_S)


async def test_nobody_there_is_not_verified(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        with socket.socket() as taken:  # nobody listens, and nobody else may
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            watch = DomainWatch(world.core, Outbound([f"https://localhost:{port}"]), port)
            request_id = await world.ask()
            await watch.step()
            await watch.close()
        assert (await world.party(request_id)).domain_reason == "localhost cannot be reached."


async def test_a_domain_is_asked_once_a_day_and_again_after_it(world: World) -> None:
    world.site.shows(await ASKING.signed())
    request_id = await world.ask()
    await world.step()
    for _ in range(3):
        await world.found()
        world.clock.advance(RETRY_S + SWEEP_S)
        await world.step()
    assert world.site.asked == 1
    world.site.shows(await OTHER.signed(NOW))
    world.clock.advance(DAY_S)
    await world.step()
    shown = await world.party(request_id)
    assert (world.site.asked, shown.domain_verified) == (2, False)
    assert "another party" in str(shown.domain_reason)


async def test_a_party_whose_card_came_to_its_domain_later_does_not_wait_a_day(world: World) -> None:
    world.site.shows(await OTHER.signed())
    assert not (await world.found()).domain_verified
    world.site.shows(await ASKING.signed())
    world.clock.advance(RETRY_S)
    assert (await world.found()).domain_verified
    assert world.site.asked == 2


async def test_after_a_restart_the_finding_is_there_and_what_waits_is_asked(world: World) -> None:
    world.site.shows(await ASKING.signed())
    request_id = await world.ask()
    outbound = world.watch._outbound
    again = DomainWatch(world.core, outbound, world.site.port)  # heard of nothing
    await again.step()
    assert (await world.party(request_id)).domain_verified
    await DomainWatch(world.core, outbound, world.site.port).step()
    assert world.site.asked == 1


async def test_taking_a_request_in_waits_for_no_domain(world: World) -> None:
    """Attack: a domain that never answers. Requests come in meanwhile, and the node can end."""
    here = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        here.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.site.answer = answer
    life = Lifecycle()
    running = asyncio.ensure_future(world.watch.service().run(life))
    first = await world.ask()
    await here.wait()
    second = await world.ask(OTHER)
    for request_id in (first, second):
        assert (await world.party(request_id)).domain_reason == "It was not asked yet."
    life.stop.set()
    await running


async def test_the_service_asks_by_itself_when_a_request_arrives(world: World) -> None:
    world.site.shows(await ASKING.signed())
    life = Lifecycle()
    running = asyncio.ensure_future(world.watch.service().run(life))
    request_id = await world.ask()

    async def verified() -> bool:
        return (await world.party(request_id)).domain_verified

    await until("the domain is verified", verified)
    life.stop.set()
    await running
