"""At a household: which gateway writes which of its streams.

Nearly always the one that it is paired with. A stream that another household gave away is written by that one's
gateway still, which takes the word of the stream's owner about this stream and about nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from keys.messages import Grant, Message, RegisterStream, Revoke
from node.app.core import Core
from node.app.parcels import Post
from node.app.streams.streamspec import stream_id
from node.projection.base import Peer
from node.projection.consent import Consent
from node.services.consent.rules import OwnedStream
from node.wire.streams import NodePlace, StreamOffer

__all__ = ["GENERATION", "INHERITED", "ROTATION", "Places", "peer_at", "place_of"]

INHERITED = "stream_inherited"
"""Namespace of facts, by stream id, for streams that another household gave away: `since`, from when on it is ours,
seconds UTC; `first_owner`, whose address made its id; `place` of the gateway that writes it, null for our own."""

ROTATION = "stream_rotation"
"""Namespace of facts: the generation of keys that a stream is about to get at its own gateway, by stream id."""
GENERATION = "stream_generation"
"""Namespace of facts: the newest keys that a gateway was asked for, by its pairing and the stream id."""


def peer_at(place: NodePlace) -> Peer:
    """Whom to send parcels to."""
    return Peer(place.address, place.inbox_url, place.sealing_key)


def place_of(peer: Peer) -> NodePlace:
    """The inverse of `peer_at`."""
    return NodePlace(address=peer.address, inbox_url=peer.url, sealing_key=peer.sealing_key)


class Places:
    """`paired`: where the household's own gateway takes parcels, None without one."""

    def __init__(self, core: Core, paired: Callable[[], Awaitable[Peer | None]]) -> None:
        self._core = core
        self._paired = paired

    async def inherited(self, sid: bytes) -> Peer | None:
        """The gateway of another household that writes this stream; None where it is none of another's."""
        kept = await self._core.storage.memory.facts.get(INHERITED, sid.hex())
        place = None if kept is None else kept["place"]
        return None if place is None else peer_at(NodePlace.model_validate(place))

    async def own(self, sids: Iterable[bytes]) -> list[bytes]:
        """Those that no gateway of another household writes."""
        return [sid for sid in sids if await self.inherited(sid) is None]

    async def since(self, sid: bytes) -> int:
        """From when on the stream is this household's, seconds UTC; 0 for one that began with it."""
        kept = await self._core.storage.memory.facts.get(INHERITED, sid.hex())
        return 0 if kept is None else int(kept["since"])

    async def owned(self, offers: Mapping[bytes, StreamOffer], named: Collection[str]) -> list[OwnedStream]:
        """The streams as rules of consent see them. Of two with one name the later counts: that which is `named` by its
        id, else the one of our own gateway."""
        found = [
            OwnedStream(sid, offer.category, offer.genesis, offer.slot_seconds, await self.since(sid))
            for sid, offer in offers.items()
        ]
        ids = {name.lower() for name in named}
        own = {stream.sid for stream in found if await self.inherited(stream.sid) is None}
        return sorted(found, key=lambda stream: ("0x" + stream.sid.hex() in ids, stream.sid in own))

    async def first_owner(self, sid: bytes) -> bytes | None:
        """Whose address made the id of a stream that this household was given; None for one of its own."""
        kept = await self._core.storage.memory.facts.get(INHERITED, sid.hex())
        return None if kept is None else bytes.fromhex(kept["first_owner"][2:])

    async def begins(self, sid: bytes, pairing: bytes) -> list[tuple[str, str, Any]]:
        """What has a stream written with new keys by the gateway of a pairing, as facts to keep."""
        name = f"{pairing.hex()}/{sid.hex()}"
        generation = 1 + int(await self._core.storage.memory.facts.get(GENERATION, name) or 0)
        return [(GENERATION, name, generation), (ROTATION, sid.hex(), generation)]

    async def arrived(self, sid: bytes) -> list[tuple[str, str, Any]]:
        """What is to be kept once our own gateway writes a stream."""
        kept = await self._core.storage.memory.facts.get(INHERITED, sid.hex())
        return [] if kept is None else [(INHERITED, sid.hex(), {**kept, "place": None})]

    async def given_with(self, gateway: bytes, names: Mapping[bytes, str], name: str) -> bytes | None:
        """The stream of a name that another household gave away and this gateway, an account, wrote."""
        for sid, each in names.items():
            place = await self.inherited(sid) if each == name else None
            if place is not None and place.address == gateway:
                return sid
        return None

    async def writer_of(self, sid: bytes) -> Peer | None:
        """The gateway that writes a stream of this household."""
        return await self.inherited(sid) or await self._paired()

    async def writers_of(self, sids: Iterable[bytes]) -> list[Peer]:
        """Those that write any of these streams, each once."""
        found = [await self.writer_of(sid) for sid in sids]
        return list(dict.fromkeys(peer for peer in found if peer is not None))

    async def everywhere(self) -> list[Peer]:
        """Every gateway that writes a stream of this household."""
        kept = await self._core.storage.memory.facts.all(INHERITED)
        given = [peer_at(NodePlace.model_validate(each["place"])) for each in kept.values() if each["place"]]
        paired = await self._paired()
        return list(dict.fromkeys([*given, *([] if paired is None else [paired])]))

    async def concerned(self, message: Message) -> list[Peer]:
        """The gateways that a decision of the household is about."""
        if isinstance(message, Grant):
            return await self.writers_of(message.sids)
        if isinstance(message, RegisterStream):
            return await self.writers_of([stream_id(self._core.chain.domain, message.owner, message.name_hash)])
        if not isinstance(message, Revoke):
            return []
        terms = (await self._core.storage.views.one(Consent, message.grant_id)).terms
        # One that the chain has not shown yet may be about any stream.
        return await self.everywhere() if terms is None else await self.writers_of(terms.sids)

    @staticmethod
    async def send(post: Post, peers: Iterable[Peer], kind: str, body: dict[str, Any]) -> None:
        """To each; one that cannot be reached holds up no other. Raises what the first of those raised."""
        sent = (post.send(peer, kind, body, standing=True) for peer in peers)
        for result in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
