"""At the gateway: who owns the streams that it writes, where one was given away to another household.

The gateway stays paired with the household that it stands at. To the owner of a stream, as the chain names it, it
listens about this stream: its key, the keys of its readers, the erasure of its past.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable

from channels.transports.topics import Kind, Topic
from keys.parcel import Parcel
from keys.sealing import reader_key_hash
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.streams.gateway import GatewayRole
from node.app.streams.places import peer_at
from node.app.streams.streamports import OWNER_KEYS, READER_KEYS, heir_name
from node.errors import NodeUnreachable, NotFound, Refused
from node.projection.base import ADDRESS_ZERO, Peer
from node.projection.consent import Consent
from node.projection.stream import Stream
from node.services.gateway.members import OWNER
from node.wire.consents import RefreshedKey
from node.wire.streams import GrantForWriter, NodePlace, StreamHeir

__all__ = ["Heirs"]

HEIRS = "stream_heir"
"""Namespace of facts: where an owner of a stream takes parcels, by stream and account."""
CLEAR_S = 5.0
"""Seconds for the broker to take the former owner's Welcome off its topic."""


class Heirs:
    """What of the gateway's post is about the streams of others, too."""

    def __init__(self, core: Core, gateway: GatewayRole) -> None:
        self._core = core
        self._gateway = gateway

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("stream.heir", self._take_heir)
        inbox.on("stream.grant", self._take_grant)
        inbox.on("stream.key", self._take_key)

    async def _take_heir(self, parcel: Parcel) -> Kept:
        body = StreamHeir.model_validate(parcel.body)
        if self._gateway.params_of(body.sid) is None:
            raise NotFound("This gateway does not write this stream.", field="sid")
        if (await self._core.storage.views.one(Stream, body.sid)).owner != parcel.sender:
            raise Refused("The chain names another owner of this stream.", remedy="Wait until the transfer is there.")
        if body.place.address != parcel.sender:
            raise Refused("That is another node's place.", field="place")
        key, name = reader_key_hash(body.owner_key), heir_name(body.sid, parcel.sender)
        text = base64.b64encode(body.owner_key).decode()
        place = body.place.to_json()
        writing = self._gateway.writing.get(body.sid)
        member = None if writing is None else writing.engine.member(OWNER)
        if member is None or member.reader_key_hash != key:
            # The former owner's Welcome, had it stayed, would look like a forgery to this one.
            try:
                async with asyncio.timeout(CLEAR_S):
                    await self._core.transport.clear(Topic(Kind.CAPSULE, body.sid, OWNER))
            except TimeoutError as away:
                raise NodeUnreachable("The gateway's broker does not answer.", remedy="It is tried again.") from away
        return Kept((), ((READER_KEYS, key.hex(), text), (OWNER_KEYS, name, key.hex()), (HEIRS, name, place)))

    async def _take_grant(self, parcel: Parcel) -> Kept:
        """A reader's key: believed by its hash alone, which the Grant on chain names."""
        body = GrantForWriter.model_validate(parcel.body)
        await self.heard(parcel.sender, body.grant.sids)
        return _reader_key(body.reader_key)

    async def _take_key(self, parcel: Parcel) -> Kept:
        """A reader's refreshed key, or that of a consent of another gateway's time, likewise."""
        body = RefreshedKey.model_validate(parcel.body)
        terms = (await self._core.storage.views.one(Consent, body.grant_id)).terms
        await self.heard(parcel.sender, () if terms is None else terms.sids)
        return _reader_key(body.reader_key)

    async def heard(self, sender: bytes, sids: Iterable[bytes]) -> None:
        """Raises Refused unless the sender is the paired household, or the owner of one of these streams."""
        device = await self._gateway.owner()
        if device is not None and sender == device.owner:
            return
        for sid in sids:
            if self._gateway.params_of(sid) is not None and sender == await self.owner_of(sid):
                return
        raise Refused("Only the owner may send this.", remedy="Pair this gateway with the household first.")

    async def owner_of(self, sid: bytes) -> bytes:
        """As the chain names it at its head; the zero address for a stream that is not there yet."""
        return (await self._core.storage.views.one(Stream, sid)).owner

    async def peer_of(self, sid: bytes, account: bytes | None = None) -> Peer | None:
        """Where the present owner of a stream, or the `account` that is or was, takes parcels; None while that is not
        known."""
        wanted = await self.owner_of(sid) if account is None else account
        device = await self._gateway.owner()
        if device is not None and device.local is not None and wanted in (device.owner, ADDRESS_ZERO):
            return device.local.peer
        place = await self._core.storage.memory.facts.get(HEIRS, heir_name(sid, wanted))
        return None if place is None else peer_at(NodePlace.model_validate(place))


def _reader_key(public: bytes) -> Kept:
    return Kept((), ((READER_KEYS, reader_key_hash(public).hex(), base64.b64encode(public).decode()),))
