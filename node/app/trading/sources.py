"""A source of energy at its meter: the gateway proposes it, its owner accepts, its device signs readings."""

from __future__ import annotations

import secrets
from typing import Any

import structlog

from keys.errors import KeysError
from keys.messages import Reading, RegisterSource, energy_domain, from_typed_data, typed_data
from keys.parcel import Parcel
from node.app.cards import fetch_card
from node.app.core import Core, canonical, peer_of
from node.app.counters import Counters
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.services import looped
from node.app.streams.gateway import GatewayRole
from node.app.streams.home import HomeRole
from node.app.trading.askedsources import ACCEPTED, PROPOSED, SENT, one_asked, past
from node.errors import Conflict, InvalidInput, Refused
from node.projection.settlement_events import RequestedReading
from node.projection.source import Source, SourceStatus
from node.runtime.supervisor import Service
from node.services.community.rules import Counted, exported_wh, reading_due
from node.wire.consents import PartyCard
from node.wire.settlement import SignedMessage, SourceProposal

__all__ = ["ENERGY_OFF", "OwnedSources", "SourceMeter", "energy_token"]

_log = structlog.get_logger(__name__)

COMMUNITY = "source_community"
"""Namespace of facts: the community's card, by source; readings go there."""

ENERGY_OFF = "This node follows no energy token."
VALID_S = 86_400
EVERY_S = 1.0


def energy_token(core: Core) -> bytes:
    """The address of the token. Raises Conflict where none is configured."""
    if core.chain.energy is None:
        raise Conflict(ENERGY_OFF, remedy="Set settlement.energy_token.")
    return core.chain.energy.address


class SourceMeter:
    """At the gateway: proposes its meter as a source, and signs its readings with the device's key (P-11 to P-14)."""

    def __init__(self, core: Core, post: Post, gateway: GatewayRole, shown: Counters) -> None:
        self._core = core
        self._post = post
        self._gateway = gateway
        self._shown = shown

    def service(self) -> Service:
        return Service("source", looped(self._core.new_wake(), self._step, EVERY_S))

    async def propose(self, community_url: str, max_power_w: int, shares: int) -> int:
        """Signs as the device and sends the proposal to the owner's home. Returns the source's number."""
        core, token = self._core, energy_token(self._core)
        device = await self._gateway.owner()
        peer = await self._gateway.owner_peer()
        if device is None or peer is None:
            raise Conflict("This gateway is not paired.", remedy="Pair it with its owner's home first.")
        if not self._shown.meter_time:
            raise Conflict("No reading of the meter has come yet.", remedy="Check the meter and try again.")
        community = await fetch_card(core, community_url)
        now = core.clock.now()
        message = RegisterSource(
            source=secrets.randbits(52) + 1,  # exact for every reader of JSON
            owner=device.owner,
            device=core.keys.identity.device().address,
            initial_counter=exported_wh(self._shown.values),
            max_power_w=max_power_w,
            shares=shares,
            nonce=secrets.randbits(256),
            deadline=now + VALID_S,
        )
        domain = energy_domain(core.settings.chain.chain_id, token)
        signature = await core.keys.identity.device().sign_message(message, domain)
        body = SourceProposal(typed=typed_data(message, domain), device_signature=signature, community=community)
        number, over = str(message.source), await past(core, SENT)
        await core.storage.memory.keep(
            (), [*over, (COMMUNITY, number, community.to_json()), (SENT, number, body.to_json())]
        )
        await self._post.send(peer, "source.proposal", body.to_json(), VALID_S)
        return message.source

    async def _step(self) -> bool:
        core, device = self._core, self._core.keys.identity.device()
        if core.chain.energy is None or not self._shown.meter_time:
            return False
        if not self._gateway.caught_up:
            return False  # by what is read of the chain so far, a reading that was taken long ago looks like the last
        rows = await core.storage.views.page(Source, link=("device", device.address), limit=16)
        for _, source in rows:
            if source.status is SourceStatus.ACTIVE:
                await self._sign(source)
        return False

    async def _sign(self, source: Source) -> None:
        core, device, last = self._core, self._core.keys.identity.device(), source.last
        number = int.from_bytes(source.source, "big")
        card = await core.storage.memory.facts.get(COMMUNITY, str(number))
        if last is None or card is None:
            return
        newest = Counted(last.index, last.counter_wh, last.meter_time)
        if source.signed is not None and source.signed.index > newest.index:
            newest = Counted(source.signed.index, source.signed.counter_wh, source.signed.meter_time)
        shown = Counted(newest.index + 1, exported_wh(self._shown.values), self._shown.meter_time)
        if not reading_due(newest, shown, core.settings.settlement.reading_interval_s):
            return
        reading = Reading(number, shown.index, shown.counter_wh, shown.meter_time)
        domain = energy_domain(core.settings.chain.chain_id, energy_token(core))
        signature = await device.sign_message(reading, domain)
        body = SignedMessage(typed=typed_data(reading, domain), signatures=(signature,))
        event = RequestedReading(
            source.source,
            shown.index,
            shown.counter_wh,
            shown.meter_time,
            signature,
            canonical(body.to_json()),
            peer_of(PartyCard.model_validate(card)),
            core.clock.now(),
        )
        await core.storage.memory.keep([event])
        core.wake()


class OwnedSources:
    """At the home: what the gateway proposes waits for the owner's yes; then it goes to the community."""

    def __init__(self, core: Core, post: Post, home: HomeRole) -> None:
        self._core = core
        self._post = post
        self._home = home

    def register(self, inbox: Inbox) -> None:
        inbox.on("source.proposal", self._take)

    async def _take(self, parcel: Parcel) -> Kept:
        device = await self._home.gateway()
        if device is None or parcel.sender != device.device:
            raise Refused("Only the paired gateway may propose sources.", remedy="Pair with it first.")
        body = SourceProposal.model_validate(parcel.body)
        try:
            message, domain = from_typed_data(body.typed)
        except KeysError as error:
            raise InvalidInput(str(error), field="typed") from error
        if domain != energy_domain(self._core.settings.chain.chain_id, energy_token(self._core)):
            raise Refused("The proposal is for another token or chain.", field="typed")
        if not isinstance(message, RegisterSource) or message.owner != self._home.owner.address:
            raise Refused("The proposal is not for a source of this household.", field="typed")
        return Kept((), ((PROPOSED, str(message.source), body.to_json()),))

    async def accept(self, source: int, digest: bytes | None = None) -> None:
        """Signs as the owner and hands it to the community, whose registrar decides. Raises NotFound; Conflict where
        the proposal is not the one of `digest`."""
        core, found = self._core, await one_asked(self._core, PROPOSED, source, digest)
        domain = energy_domain(core.settings.chain.chain_id, energy_token(core))
        signature = await self._home.owner.sign_message(found.message, domain)
        signed = found.proposal.model_copy(update={"owner_signature": signature})
        await self._post.send(peer_of(signed.community), "source.application", signed.to_json(), VALID_S)
        over = [*await past(core, PROPOSED), *await past(core, ACCEPTED)]
        now: list[tuple[str, str, Any]] = [(PROPOSED, str(source), None), (ACCEPTED, str(source), signed.to_json())]
        await core.storage.memory.keep((), [*over, *now])
