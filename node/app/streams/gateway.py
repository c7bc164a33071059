"""The gateway role: offers streams to its owner, writes and publishes them, acts on revocations at first sight."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from channels.highwater import HighWater
from channels.slots import StreamParams
from keys.errors import KeysError
from keys.messages import Revoke, verify
from keys.parcel import Parcel
from keys.sealing import reader_key_hash
from node.app.chainfeed import ChainFeed
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.services import looped
from node.app.streams.adopting import (
    taken_streams,
    tenure_spec,
)
from node.app.streams.nonces import next_nonce
from node.app.streams.opening import WriterOpener, Writing
from node.app.streams.streamports import OWNER_KEYS, READER_KEYS
from node.app.streams.streamspec import StreamSpec, as_registered
from node.errors import Refused
from node.projection.base import Peer
from node.projection.device import Device, DeviceStatus
from node.projection.effects import NotifyDevicePaired, NotifyDeviceUnpaired
from node.projection.events import ReceivedRevocation
from node.projection.stream import Stream
from node.runtime.executor import Handlers
from node.runtime.supervisor import Service
from node.services.gateway.errors import StreamNotOurs
from node.wire.consents import ConsentRevoked
from node.wire.streams import OwnerKey, StreamOffer

__all__ = ["GatewayRole", "Writing"]

_log = structlog.get_logger(__name__)

OFFER = "stream_offer"
"""Namespace of facts: what was offered for a category, so that a repeated offer is the same one."""

LAST_WORDS_S = 5.0

AT_ONCE = 32
"""Streams that are stepped at the same time: what they record shares a flush to disk."""

EVERY_S = 0.5
"""Seconds between two looks when nothing woke the writer: clocks move without telling anybody."""


class GatewayRole:
    """Holds the writers of one gateway. One task steps each stream, so a stream never meets itself."""

    def __init__(self, core: Core, feed: ChainFeed, post: Post, high_water: HighWater) -> None:
        self.writing: dict[bytes, Writing] = {}
        self.specs: tuple[StreamSpec, ...] = ()
        self._outdated = False
        self._core = core
        self._feed = feed
        self._post = post
        self._opener = WriterOpener(core, feed, high_water)
        self.on_replaced: Callable[[Writing], Awaitable[None]] | None = None
        self.ended: dict[str, bytes] = {}
        self.erasing: dict[str, str] = {}  # by category: what the erasure of its past waits for

    def register(self, handlers: Handlers, inbox: Inbox) -> None:
        """What this role carries out and takes in."""
        handlers.on(NotifyDevicePaired, self._offer_streams)
        handlers.on(NotifyDeviceUnpaired, self._put_out)
        inbox.on("stream.owner_key", self._take_owner_key)
        inbox.on("consent.revoked", self._take_revocation)

    def services(self) -> list[Service]:
        """The writer's loop and the publisher's loop; apart, so that a slow broker does not hold up a re-key."""
        core = self._core
        self._published = core.new_wake()
        return [
            Service("writer", looped(core.new_wake(), self._step, EVERY_S)),
            Service("publisher", looped(self._published, self._publish, EVERY_S)),
        ]

    async def owner(self) -> Device | None:
        """The final pairing of this device, if there is one."""
        address = self._core.keys.identity.device().address
        rows = await self._core.storage.views.page(
            Device, status=DeviceStatus.PAIRED.value, link=("device", address), limit=1
        )
        return rows[0][1] if rows else None

    async def owner_peer(self) -> Peer | None:
        """Where the household's node takes parcels."""
        device = await self.owner()
        return device.local.peer if device is not None and device.local is not None else None

    @property
    def caught_up(self) -> bool:
        """Whether the chain was read to its head since the start."""
        return self._feed.caught_up

    async def load(self) -> None:
        """Works out which streams are ours; again whenever the pairing or the chain changed."""
        self._outdated = False  # what changes from here on is looked at once more
        device = await self.owner()
        if device is None:
            self.specs = ()
            return
        taken = await taken_streams(self._core, device)
        specs = []
        for category in dict.fromkeys((*self._core.settings.streams.names, *taken)):
            genesis = await self._genesis(category)
            spec = await tenure_spec(self._core, category, device, genesis, taken.get(category))
            spec = await self._as_offered(spec, category in taken)
            stream = await self._core.storage.views.one(Stream, spec.sid)
            if stream.registration and stream.writer != spec.writer.address and not spec.taken:
                self.ended[category] = stream.writer
                continue
            specs.append(spec)
            if stream.writer == spec.writer.address:
                self.ended.pop(category, None)
        self.specs = tuple(specs)

    async def _as_offered(self, spec: StreamSpec, taken: bool) -> StreamSpec:
        """Whether each envelope is signed was said once, to all who read the stream: it stays so."""
        body = None if taken else await self._core.storage.memory.facts.get(OFFER, spec.sid.hex())
        if body is None:
            return spec
        signed = StreamOffer.model_validate(body).signed_envelopes
        return replace(spec, params=replace(spec.params, signed_envelopes=signed))

    def forget_specs(self) -> None:
        """Works out again which streams are ours at the next look. Until then the meter goes by what was known: a
        reading that no stream takes is lost."""
        self._outdated = True

    async def _genesis(self, category: str) -> int:
        facts = self._core.storage.memory.facts
        found = await facts.get("stream_genesis", category)
        if found is None:
            chosen = self._core.settings.streams
            slot = chosen.slot_seconds
            now = self._core.clock.now()
            found = int(chosen.genesis) if chosen.genesis is not None else now - now % slot
            await self._core.storage.memory.keep((), [("stream_genesis", category, found)])
        return int(found)

    async def _offer_streams(self, effect: NotifyDevicePaired) -> None:
        """The pairing is final: offer every configured stream to the owner, each signed by its writer."""
        if effect.device != self._core.keys.identity.device().address:
            return
        await self.load()
        peer = await self.owner_peer()
        if peer is None:
            return
        for spec in self.specs:
            await self._offer(spec, peer)

    async def _put_out(self, effect: NotifyDeviceUnpaired) -> None:
        """The owner ended the pairing: nothing is read or sealed from here on."""
        device = await self._core.storage.views.one(Device, effect.device_hash)
        if device.device == self._core.keys.identity.device().address:
            self.specs, left = (), list(self.writing.values())
            self.writing.clear()
            for writing in left:
                owner = (await self._core.storage.views.one(Stream, writing.spec.sid)).owner
                if owner != effect.owner:
                    await self._end(writing)  # a household that was given the stream needs to know how far it came
            _log.warning("gateway_unpaired", owner=effect.owner.hex())

    async def _offer(self, spec: StreamSpec, peer: Peer) -> None:
        memory, now = self._core.storage.memory, self._core.clock.now()
        body = await memory.facts.get(OFFER, spec.sid.hex())
        if body is None or int(body["deadline"]) <= now:
            message = spec.register(await next_nonce(memory), now)
            signature = await spec.writer.sign_message(message, self._core.chain.domain)
            offer = StreamOffer(
                category=spec.category,
                salt=spec.salt,
                writer=message.writer,
                stream_key=spec.stream_key.public_bytes,
                stream_key_hash=message.stream_key_hash,
                genesis=message.genesis,
                slot_seconds=message.slot_seconds,
                nonce=str(message.nonce),
                deadline=message.deadline,
                writer_signature=signature,
                signed_envelopes=spec.params.signed_envelopes,
            )
            body = offer.to_json()
            await memory.keep((), [(OFFER, spec.sid.hex(), body)])
        await self._post.send(peer, "stream.offer", body, standing=True)

    # Parcels

    async def from_owner(self, parcel: Parcel) -> Device:
        """The pairing with whoever sent a parcel. Raises Refused unless that is the owner."""
        device = await self.owner()
        if device is None or parcel.sender != device.owner:
            raise Refused("Only the paired owner may send this.", remedy="Pair this gateway with the household first.")
        return device

    async def _take_owner_key(self, parcel: Parcel) -> Kept:
        await self.from_owner(parcel)
        body = OwnerKey.model_validate(parcel.body)
        key_hash = reader_key_hash(body.owner_key)
        key = base64.b64encode(body.owner_key).decode()
        return Kept((), ((READER_KEYS, key_hash.hex(), key), (OWNER_KEYS, body.sid.hex(), key_hash.hex())))

    async def _take_revocation(self, parcel: Parcel) -> Kept:
        """A signed Revoke in hand acts at once, whoever brings it: the signature is what counts."""
        body = ConsentRevoked.model_validate(parcel.body)
        message = Revoke(account=body.account, grant_id=body.grant_id, sid=body.sid)
        try:
            verify(message, self._core.chain.domain, body.signature, body.account)
        except KeysError as error:
            raise Refused("The revocation is not signed by the account it names.", field="signature") from error
        return Kept((ReceivedRevocation(body.grant_id, body.account, body.sid, self._core.clock.now()),))

    # Writing

    async def _step(self) -> bool:
        """One round over all streams."""
        if not self.caught_up:
            return False  # a grant that is not read yet must not look like one that was revoked
        await self._open_writers()
        at_once = asyncio.Semaphore(AT_ONCE)
        ready = [(sid, writing) for sid, writing in self.writing.items() if not self._listening(writing)]
        rounds = (self._step_one(at_once, sid, writing) for sid, writing in ready)
        results = await asyncio.gather(*rounds, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result  # the other streams had their round
        return any(results)

    async def _step_one(self, at_once: asyncio.Semaphore, sid: bytes, writing: Writing) -> bool:
        async with at_once:
            try:
                return await writing.engine.step()
            except StreamNotOurs as ended:
                _log.warning("stream_ended", category=writing.spec.category, reason=str(ended))
                self.writing.pop(sid, None)
                await self._end(writing)
                return False
            finally:
                self.drop_stale(writing)
                self._published.set()

    def drop_stale(self, writing: Writing) -> None:
        """A writer that is ahead of the store is opened again, at the next look, from what the store has kept."""
        sid = writing.spec.sid
        if writing.engine.recorder.stale and self.writing.get(sid) is writing:
            del self.writing[sid]

    async def _end(self, writing: Writing) -> None:
        """The owner has put this writer out: a last checkpoint over what it sealed, and nothing more, ever."""
        stream = await self._core.storage.views.one(Stream, writing.spec.sid)
        self.ended[writing.spec.category] = stream.writer
        self.forget_specs()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await writing.engine.shutdown()
                await writing.publisher.drain(writing.engine.active_epoch, writing.engine.marked_seq)
        if self.on_replaced is not None:
            await self.on_replaced(writing)

    def _listening(self, writing: Writing) -> bool:
        """A restored folder listens for one slot before its first seal: another copy would be heard by then."""
        if not writing.compared.is_set():
            writing.engine.fault = "waiting for the broker to say what was sealed before"
            return True
        if not writing.mark.restored:
            return False
        until = writing.opened_at + writing.spec.params.slot_seconds
        if self._core.clock.monotonic() < until:
            writing.engine.fault = "restored from a backup: listening for another copy before the first seal"
            return True
        writing.mark.restored = False
        return False

    async def _publish(self) -> bool:
        streams = list(self.writing.values())
        drains = [one.publisher.drain(one.engine.active_epoch, one.engine.marked_seq) for one in streams]
        return any(await asyncio.gather(*drains))

    async def _open_writers(self) -> None:
        if self._outdated or not self.specs:
            await self.load()
        for spec in self.specs:
            if spec.sid in self.writing:
                continue
            stream = await self._core.storage.views.one(Stream, spec.sid)
            if stream.registration and stream.writer == spec.writer.address:
                settled = as_registered(self._core, spec, stream.stream_key_hash or bytes(32))
                self.specs = tuple(settled if each.sid == settled.sid else each for each in self.specs)
                opened = await self._opener.open(settled, stream)
                if opened is not None:
                    self.writing[spec.sid] = opened

    async def shutdown(self) -> None:
        """The last checkpoints, and whatever the broker still takes: a restored backup is recognised by them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                for writing in self.writing.values():
                    await writing.engine.shutdown()
                    await writing.publisher.drain(writing.engine.active_epoch, writing.engine.marked_seq)

    def params_of(self, sid: bytes) -> StreamParams | None:
        """Parameters of a stream of ours."""
        return next((spec.params for spec in self.specs if spec.sid == sid), None)
