"""A provider's own request: what is wrong with it is said of the member that is wrong, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.transports.inprocess import Hub
from node.api.forms import ConsentRequestForm
from node.app.cards import OwnCard
from node.app.streams.provider import ProviderRole
from node.clock import ManualClock
from node.errors import InvalidInput, NodeError, NodeUnreachable, Refused
from node.projection.asking import Asking, AskingStatus
from node.wire.cards import CARD_PATH
from tests.support.pastworld import open_core_of

NOW = 1_800_000_000


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[ProviderRole]:
    async with AsyncExitStack() as stack:
        yield ProviderRole(await open_core_of(stack, tmp_path / "provider", 1, "provider", ManualClock(NOW), Hub()))


@dataclass
class Place:
    """An address that shows a node's card, or something else that it is told to show."""

    url: str
    shows: dict[str, Any]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        core = await open_core_of(stack, tmp_path / "home", 2, "home", ManualClock(NOW), Hub())
        place = Place("", await OwnCard(core).signed())

        async def card(_: web.Request) -> web.Response:
            return web.json_response(place.shows)

        app = web.Application()
        app.router.add_get(CARD_PATH, card)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield place


async def refused(provider: ProviderRole, home: str, **wish: object) -> NodeError:
    """Why the request does not go out."""
    storage, keystore = provider._core.storage, provider._core.keys.keystore
    before = keystore.names()
    form = ConsentRequestForm.model_validate({"home": home, "streams": ["gas/1h"], "purpose": "advice", **wish})
    with pytest.raises(NodeError) as raised:
        await provider.ask(form)
    assert keystore.names() == before
    assert await storage.views.page(Asking, limit=1) == []
    return raised.value


@pytest.mark.parametrize("home", ["http://127.0.0.1:1", "somewhere", "wattpact/v1/" + "00" * 32 + "/env", "wattpact/x"])
async def test_a_home_that_cannot_be_asked_is_the_fault_of_its_address(provider: ProviderRole, home: str) -> None:
    error = await refused(provider, home)
    assert isinstance(error, NodeUnreachable | Refused)
    assert (error.field, bool(error.remedy)) == ("home", True)


async def test_something_that_shows_no_card_is_no_home(provider: ProviderRole, home: Place) -> None:
    home.shows = {"card": "none"}
    error = await refused(provider, home.url)
    assert (type(error), error.field, error.remedy) == (Refused, "home", "Is a Wattpact node there?")


async def test_another_wallet_than_expected_is_the_owners_field(provider: ProviderRole, home: Place) -> None:
    error = await refused(provider, home.url, owner="0x" + "77" * 20)
    assert (type(error), error.field) == (Refused, "owner")


@pytest.mark.parametrize("end", [NOW, NOW - 1])
async def test_without_a_start_it_begins_now_and_must_end_later(provider: ProviderRole, home: Place, end: int) -> None:
    error = await refused(provider, home.url, end=end)
    assert (type(error), error.field) == (InvalidInput, "end")
    assert "earlier start" in error.remedy


async def test_the_past_alone_may_be_asked_for(provider: ProviderRole, home: Place) -> None:
    wish = {"home": home.url, "streams": ["gas/1h"], "purpose": "advice", "start": NOW - 7_200, "end": NOW - 3_600}
    asking = await provider.ask(ConsentRequestForm.model_validate(wish))
    assert (asking.status, asking.asked_at) == (AskingStatus.ASKED, NOW)
