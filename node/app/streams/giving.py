"""A household gives a stream away to another one (channels.md 4, rule 11): TransferStream, signed by both.

The former owner signs first and sends that with the stream's name, its salt and the gateway that writes it. A person
at the other household accepts: it signs as well and brings the transfer onto the chain. Once that is final, the new
owner tells the gateway the key under which it reads: it has leaf 0 from the first slot after the transfer on, and
nothing of before, the keys to which are destroyed (transferring.py). It grants and revokes as with a stream of its own
gateway; the writer stays the same.

Every step follows from what chain and facts say, and may be repeated. A transfer that nobody accepts ends with its
deadline, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from eth_utils.crypto import keccak

from keys.errors import KeysError
from keys.messages import TransferStream, verify
from keys.parcel import Parcel
from node.api.forms import TransferForm
from node.api.views import TransferView
from node.app.cards import fetch_card
from node.app.core import Core, peer_of
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.services import looped
from node.app.streams.home import OWN_STREAM, HomeRole
from node.app.streams.nonces import next_nonce
from node.app.streams.places import INHERITED, peer_at, place_of
from node.app.streams.streamspec import check_stream_key, stream_id
from node.app.submissions import submission_of
from node.errors import Conflict, NodeUnreachable, NotFound, Refused
from node.projection.base import Block
from node.projection.device import DeviceStatus
from node.projection.stream import Stream
from node.runtime.errors import PermanentFailure
from node.runtime.supervisor import Service
from node.wire.consents import PartyCard
from node.wire.streams import StreamGift, StreamHeir

__all__ = ["StreamGiver"]

_log = structlog.get_logger(__name__)

GIVEN, OFFERED, ACCEPTED = "transfer_given", "transfer_offered", "transfer_accepted"
"""Namespaces of facts by stream: to whom it was given and until when that holds; what another household gave; when it
was accepted here."""

VALID_S = 24 * 3600
EVERY_S = 1.0
AGAIN_S = 5.0
"""Seconds until a gateway that cannot be reached, or has not seen the transfer yet, is told again."""
MOST = 100
"""Gifts that wait for a person at once: whoever owns a stream may send one."""


class StreamGiver:
    """Both households' side. `time_of`: the time of a block, seconds UTC; None while the chain does not say."""

    def __init__(
        self, core: Core, post: Post, home: HomeRole, time_of: Callable[[Block], Awaitable[int | None]]
    ) -> None:
        self._core = core
        self._post = post
        self._home = home
        self._time_of = time_of
        self._later: dict[bytes, float] = {}

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("stream.gift", self._take)

    def service(self) -> Service:
        return Service("gifts", looped(self._core.wake_for(Stream), self.step, EVERY_S))

    # Giving

    async def give(self, sid: bytes, form: TransferForm) -> TransferView:
        """As `give_to`, to the node that a place leads to."""
        card = await fetch_card(self._core, form.to, "to")
        if form.owner is not None and card.address != form.owner:
            raise Refused("The card there names another wallet than expected.", field="owner")
        return await self.give_to(sid, card)

    async def give_to(self, sid: bytes, card: PartyCard) -> TransferView:
        """Signs and sends; returns once the other household has it. Raises NotFound, Conflict, Refused or
        NodeUnreachable, and then nothing was given."""
        core, owner = self._core, self._home.owner
        offer = (await self._home.streams()).get(sid)
        if offer is None:
            raise NotFound("This household has no such stream.", remedy="`wattpact stream list` shows all.")
        stream = await core.storage.views.one(Stream, sid)
        if stream.owner != owner.address or not stream.owners[-1].final:
            raise Conflict("This household does not own the stream, or not for good yet.")
        gateway = await self._writer(sid)
        if card.address == owner.address:
            raise Refused("That is this household itself.", field="to", remedy="Give the other household's address.")
        deadline = core.clock.now() + VALID_S
        message = TransferStream(owner.address, card.address, sid, await next_nonce(core.storage.memory), deadline)
        gift = StreamGift(
            sid=sid,
            owner=owner.address,
            nonce=str(message.nonce),
            deadline=deadline,
            owner_signature=await owner.sign_message(message, core.chain.domain),
            offer=offer,
            first_owner=await self._home.places.first_owner(sid) or owner.address,
            gateway=place_of(gateway),
        )
        try:
            await self._post.send(peer_of(card), "stream.gift", gift.to_json())
        except PermanentFailure as refused:
            raise Refused(f"{refused}.", remedy="Ask the other household.") from refused
        kept = {"to": "0x" + card.address.hex(), "deadline": deadline}
        await core.storage.memory.keep((), [(GIVEN, sid.hex(), kept)])
        _log.info("stream_given", category=offer.category, to=card.address.hex())
        return await self._view(sid, offer.category, owner.address, card.address, deadline)

    async def _writer(self, sid: bytes) -> Any:
        device = await self._home.gateway()
        paired = device is not None and device.status is DeviceStatus.PAIRED
        peer = await self._home.places.writer_of(sid)
        stream = await self._core.storage.views.one(Stream, sid)
        if peer is None or not any(stream.writer) or not (paired or await self._home.places.inherited(sid)):
            raise Conflict("No gateway writes this stream, so there is nothing to give.", remedy="Pair a gateway.")
        return peer

    # Accepting

    async def _take(self, parcel: Parcel) -> Kept:
        """Believed as far as the chain says the same: that the sender owns the stream, its name, slots and key."""
        gift = StreamGift.model_validate(parcel.body)
        if parcel.sender != gift.owner:
            raise Refused("Only its owner gives a stream away.", field="owner")
        stream, offer = await self._core.storage.views.one(Stream, gift.sid), gift.offer
        if not stream.registration or stream.owner != gift.owner:
            raise Refused("The chain does not show the sender as the owner of this stream.", field="sid")
        name_hash, fact = bytes(keccak(offer.salt + offer.category.encode())), stream.registration[-1]
        said = (gift.sid, offer.genesis, offer.slot_seconds)
        if said != (
            stream_id(self._core.chain.domain, gift.first_owner, name_hash),
            fact.genesis,
            fact.slot_seconds,
        ):
            raise Refused("The stream has another name or other slots on chain.", field="offer")
        check_stream_key(offer.stream_key, (stream.stream_key_hash or bytes(32),))
        if gift.deadline <= self._core.clock.now():
            raise Refused("The time to accept it is over.", field="deadline")
        try:
            verify(self._message(gift), self._core.chain.domain, gift.owner_signature, gift.owner)
        except KeysError as error:
            raise Refused("The owner did not sign the transfer to this household.", field="owner_signature") from error
        waiting = await self._core.storage.memory.facts.all(OFFERED)
        if gift.sid.hex() not in waiting and len([each for each in waiting.values() if each]) >= MOST:
            raise Refused("Too many streams wait to be accepted here.", remedy="Ask the household.")
        return Kept((), ((OFFERED, gift.sid.hex(), gift.to_json()),))

    def _message(self, gift: StreamGift) -> TransferStream:
        return TransferStream(gift.owner, self._home.owner.address, gift.sid, int(gift.nonce), gift.deadline)

    async def accept(self, sid: bytes) -> TransferView:
        """Signs as the new owner and brings the transfer onto the chain. Raises NotFound or Conflict."""
        core, gift = self._core, await self._gift(sid)
        if gift is None:
            raise NotFound("Nobody gave this stream to this household.", remedy="`wattpact stream gifts` shows all.")
        if await core.storage.memory.facts.get(ACCEPTED, sid.hex()) is None:
            stream = await core.storage.views.one(Stream, sid)
            if gift.deadline <= core.clock.now() or stream.owner != gift.owner:
                raise Conflict("The transfer does not hold any more.", remedy="Ask its owner to give it again.")
            message = self._message(gift)
            signature = await self._home.owner.sign_message(message, core.chain.domain)
            wish = submission_of(core, message, [gift.owner_signature, signature])
            await core.storage.memory.keep([wish], [(ACCEPTED, sid.hex(), core.clock.now())])
            core.wake()
        return await self._view(sid, gift.offer.category, gift.owner, self._home.owner.address, gift.deadline)

    async def _gift(self, sid: bytes) -> StreamGift | None:
        body = await self._core.storage.memory.facts.get(OFFERED, sid.hex())
        return None if body is None else StreamGift.model_validate(body)

    # Going on

    async def step(self) -> bool:
        """Every accepted stream whose transfer is final: its gateway is told who we are, then it is ours."""
        facts = self._core.storage.memory.facts
        for name, accepted in (await facts.all(ACCEPTED)).items():
            sid = bytes.fromhex(name)
            if accepted and self._later.get(sid, 0) <= self._core.clock.monotonic():
                try:
                    await self._own(sid)
                except (NodeUnreachable, PermanentFailure) as waits:
                    self._later[sid] = self._core.clock.monotonic() + AGAIN_S
                    _log.info("inherited_stream_waits", sid=name[:8], reason=str(waits))
        return False

    async def _own(self, sid: bytes) -> None:
        core, gift = self._core, await self._gift(sid)
        stream = await core.storage.views.one(Stream, sid)
        newest = stream.owners[-1] if stream.owners else None
        if gift is None or newest is None or not newest.final or newest.owner != self._home.owner.address:
            return
        since = await self._time_of(newest.block)
        if since is None:
            return
        paired, place = await self._home.gateway_peer(), gift.gateway
        own_gateway = paired is not None and paired.address == place.address
        kept = {
            "place": None if own_gateway else place.to_json(),
            "since": since,
            "first_owner": "0x" + gift.first_owner.hex(),
        }
        key = core.keys.identity.sealing_key(f"own-stream/{sid.hex()}").public_bytes
        here = place_of(peer_of(core.card))
        heir = StreamHeir(sid=sid, owner_key=key, place=here)
        await self._post.send(peer_at(place), "stream.heir", heir.to_json(), standing=True)
        # Read only now: the gateway has taken the former owner's Welcome off its topic.
        own = [(OWN_STREAM, sid.hex(), gift.offer.to_json()), (INHERITED, sid.hex(), kept)]
        over = [(ACCEPTED, sid.hex(), None), (OFFERED, sid.hex(), None)]
        await core.storage.memory.keep((), [*own, *over])
        core.wake()
        _log.info("stream_inherited", category=gift.offer.category, since=since)

    # Showing

    async def views(self) -> tuple[TransferView, ...]:
        """What is given and not taken yet, what was given here and waits for an answer or the chain."""
        facts, mine = self._core.storage.memory.facts, self._home.owner.address
        found = []
        streams = await self._home.streams()
        for name, kept in (await facts.all(GIVEN)).items():
            sid = bytes.fromhex(name)
            if kept and sid in streams:
                to = bytes.fromhex(kept["to"][2:])
                found.append(await self._view(sid, streams[sid].category, mine, to, int(kept["deadline"])))
        for body in (await facts.all(OFFERED)).values():
            if body:
                gift = StreamGift.model_validate(body)
                found.append(await self._view(gift.sid, gift.offer.category, gift.owner, mine, gift.deadline))
        return tuple(found)

    async def _view(self, sid: bytes, name: str, owner: bytes, to: bytes, deadline: int) -> TransferView:
        stream, now = await self._core.storage.views.one(Stream, sid), self._core.clock.now()
        accepted = bool(await self._core.storage.memory.facts.get(ACCEPTED, sid.hex()))
        if stream.owner == to:
            state = "final" if stream.owners[-1].final else "waiting for the chain to make it final"
        elif deadline <= now:
            state = "expired"
        else:
            state = "waiting for the chain" if accepted else "waiting to be accepted"
        return TransferView(sid=sid, name=name, owner=owner, new_owner=to, deadline=deadline, state=state)
