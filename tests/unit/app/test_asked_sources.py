"""P-16: what waits for a community's yes is signed as it was seen, and waits no longer than the chain would take it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from channels.transports.inprocess import Hub
from keys import messages as m
from keys.signers import LocalSigner
from node.app.cards import OwnCard
from node.app.core import Core, peer_of
from node.app.facade.settlement import EnergyPart
from node.app.inbox import Inbox
from node.app.trading.askedsources import APPLIED, APPROVED, asked_sources
from node.app.trading.community import CommunityRole
from node.clock import ManualClock
from node.errors import Conflict, NotFound
from node.ledger.energy import source_key
from node.projection.settlement_events import LoggedSourceRegistered
from node.projection.submission import Submission
from node.wire.consents import PartyCard
from node.wire.settlement import SourceProposal
from tests.support.pastworld import GENESIS, Delivered, open_core_of
from tests.unit.node.projection.kit import block

TOKEN, OTHER_TOKEN = "0x" + "1e" * 20, "0x" + "2e" * 20
SOURCE = 81_927
DAY = 86_400


@dataclass
class Place:
    """A community, and a household that sends applications. `card`: the community's."""

    core: Core
    community: CommunityRole
    post: Delivered
    card: PartyCard
    clock: ManualClock
    owner: LocalSigner
    device: LocalSigner

    async def apply(self, power: int, token: str = TOKEN) -> m.RegisterSource:
        """An application that owner and device signed, taken by the community."""
        owner, device = self.owner.address, self.device.address
        deadline = self.clock.now() + DAY
        message = m.RegisterSource(SOURCE, owner, device, 5_000, power, 1_000_000, power, deadline)
        domain = m.energy_domain(31337, bytes.fromhex(token[2:]))
        body = SourceProposal(
            typed=m.typed_data(message, domain),
            device_signature=await self.device.sign_message(message, domain),
            owner_signature=await self.owner.sign_message(message, domain),
            community=self.card,
        )
        if token == TOKEN:
            await self.post.send(peer_of(self.card), "source.application", body.to_json(), DAY)
        else:  # taken when the community followed another token
            await self.core.storage.memory.keep((), [(APPLIED, str(SOURCE), body.to_json())])
        return message

    def digest(self, message: m.RegisterSource) -> bytes:
        return m.digest(message, m.energy_domain(31337, bytes.fromhex(TOKEN[2:])))

    async def waiting(self) -> int:
        return await EnergyPart(self.core, None, None, self.community).waiting()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock, hub = ManualClock(GENESIS), Hub()
    async with AsyncExitStack() as stack:
        core = await open_core_of(stack, tmp_path / "community", 1, "community", clock, hub, energy_token=TOKEN)
        home = await open_core_of(stack, tmp_path / "home", 2, "home", clock, hub, energy_token=TOKEN)
        community, inbox, post = CommunityRole(core), Inbox(core), Delivered(home)
        community.register(inbox)
        card = PartyCard.model_validate((await OwnCard(core).signed())["card"])
        post.to[card.address] = inbox
        yield Place(core, community, post, card, clock, LocalSigner.generate(), LocalSigner.generate())


async def test_an_application_is_signed_as_it_was_seen_or_not_at_all(place: Place) -> None:
    """An owner lets the registrar look at 6 kW, and puts 600 kW under the same number before the yes."""
    seen = await place.apply(6_000)
    swapped = await place.apply(600_000)
    with pytest.raises(Conflict):
        await place.community.approve(SOURCE, place.digest(seen))
    assert await place.core.storage.views.page(Submission, limit=10) == []
    assert await place.waiting() == 1
    assert await place.community.approve(SOURCE, place.digest(swapped)) == place.digest(swapped)
    (row,) = await place.core.storage.views.page(Submission, limit=10)
    assert row[1].digest == place.digest(swapped)


async def test_what_was_approved_is_shown_until_it_is_registered(place: Place) -> None:
    message = await place.apply(6_000)
    (asked,) = (await asked_sources(place.core, APPLIED)).values()
    assert (asked.waits_for, asked.message, asked.digest) == ("community", message, place.digest(message))
    await place.community.approve(SOURCE)
    assert await asked_sources(place.core, APPLIED) == {}
    (asked,) = (await asked_sources(place.core, APPROVED)).values()
    assert (asked.waits_for, asked.message) == ("chain", message)
    assert await place.waiting() == 0
    event = LoggedSourceRegistered(block(7), source_key(SOURCE), message.owner, message.device, 5_000, 6_000, 1_000_000)
    await place.core.storage.journal.apply([event])
    assert await asked_sources(place.core, APPROVED) == {}


async def test_what_ran_out_waits_for_nobody(place: Place) -> None:
    """The chain would refuse it: nobody is shown it, and nothing is signed."""
    await place.apply(6_000)
    place.clock.advance(DAY + 1)
    assert await place.waiting() == 0
    with pytest.raises(NotFound):
        await place.community.approve(SOURCE)


async def test_an_application_for_a_former_token_keeps_nobody_from_looking(place: Place) -> None:
    await place.apply(6_000, OTHER_TOKEN)
    assert await place.waiting() == 0
    with pytest.raises(NotFound):
        await place.community.approve(SOURCE)
