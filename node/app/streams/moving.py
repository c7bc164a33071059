"""The household hands its streams to another gateway (channels.md 4, rule 10): SetWriter by owner and new writer.

The household pairs with the new gateway while the old one goes on writing. Stream by stream the new gateway signs, the
owner signs and puts SetWriter on chain; the old gateway sees it, says its last words and is silent for good; the new
one begins where it stopped; readers are told the new signing key. When every stream has moved, the old pairing ends.

Every step follows from what chain and facts say now, so it may be broken off and taken up anywhere.
"""

from __future__ import annotations

import base64
from typing import Any

import structlog

from channels.commit import Commit, Header
from keys.errors import KeysError
from keys.messages import SetWriter, UnpairDevice, digest, verify
from keys.parcel import Parcel
from node.api.forms import PairForm
from node.api.views import MoveView, PairingView
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.streams.home import MOVES, OWN_STREAM, HomeRole
from node.app.streams.nonces import next_nonce
from node.app.streams.pairing import HomePairing
from node.app.streams.pastkeeping import last_place
from node.app.streams.places import ROTATION
from node.app.streams.refreshing import REFRESHED
from node.app.streams.takeover import ranges
from node.app.streams.writers import STREAM_KEYS, public_hash, terms_of
from node.app.submissions import submission_of
from node.errors import Conflict, NodeUnreachable, Refused
from node.projection.base import Peer
from node.projection.consent import Consent, ConsentStatus
from node.projection.device import Device, DeviceStatus
from node.projection.request import Request
from node.projection.stream import Stream
from node.projection.submission import Submission, SubmissionStatus
from node.runtime.errors import PermanentFailure
from node.services.gateway.members import OWNER
from node.wire.consents import ConsentRequest, RefreshedKey
from node.wire.streams import Handover, StreamKeyChanged, StreamOffer, StreamTake, WriterSigned

__all__ = ["LAST", "SIGNED", "Mover"]

_log = structlog.get_logger(__name__)

SIGNED, LAST, TOLD = "writer_signed", "last_words", "move_told"
"""Namespaces of facts, by stream id: the new writer's signature; where the old one stopped; who was told already."""

ASK_AGAIN_S = 5.0
PATIENCE_S = 20.0
"""Seconds after the change of writers in which the old gateway has its last words; then our own log must do."""

MANY = 100_000
FOREVER = 2**40
RECENT_S = 7_200


class Mover:
    """One task takes all moves a step further, whenever something changed."""

    def __init__(self, core: Core, post: Post, home: HomeRole, pairing: HomePairing) -> None:
        self.state: dict[bytes, str] = {}
        self._core = core
        self._post = post
        self._home = home
        self._pairing = pairing
        self._asked: dict[bytes, float] = {}
        self._seen: dict[bytes, float] = {}

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("stream.writer", self._take_signature)
        inbox.on("stream.last", self._take_last_words)

    async def move(self, form: PairForm) -> PairingView:
        """Pairs with the new gateway and remembers that it takes the streams over. Raises as `HomePairing.pair`."""
        old = await self._home.gateway()
        if old is None or old.status is not DeviceStatus.PAIRED:
            raise Conflict("No gateway is paired that streams could move from.", remedy="Pair with `wattpact pair`.")
        if await self.moves():
            raise Conflict("A move is under way.", remedy="`wattpact gateway status` shows how far it is.")
        if any((await self._core.storage.memory.facts.all(ROTATION)).values()):
            raise Conflict("A stream gets new keys.", remedy="`wattpact gateway status` shows how far it is.")
        return await self._pairing.pair(form, old)

    async def moves(self) -> dict[bytes, bytes]:
        """The former pairing by the new one, while streams move."""
        found = await self._core.storage.memory.facts.all(MOVES)
        return {bytes.fromhex(new): bytes.fromhex(old) for new, old in found.items() if old}

    async def views(self) -> tuple[MoveView, ...]:
        """How far every stream of a move is."""
        moving = await self._moving()
        if not await self.moves():
            rotated = await self._core.storage.memory.facts.all(ROTATION)
            moving = [(sid, offer) for sid, offer in moving if rotated.get(sid.hex())]
        waiting = "waiting for the pairing to be final"
        return tuple(MoveView(sid=s, name=offer.category, state=self.state.get(s, waiting)) for s, offer in moving)

    # Parcels

    async def _take_signature(self, parcel: Parcel) -> Kept:
        device = await self._home.device_of(parcel.sender)
        body = WriterSigned.model_validate(parcel.body)
        moves = await self.moves()
        if device is None or not (device.device_hash in moves or await self._rotates(body.sid, device)):
            raise Refused("No stream moves to this gateway.", remedy="`wattpact gateway move` begins it.")
        message = self._set_writer(body)
        try:
            verify(message, self._core.chain.domain, body.writer_signature, body.writer)
        except KeysError as error:
            raise Refused("The new writer did not sign.", field="writer_signature") from error
        return Kept((), ((SIGNED, body.sid.hex(), body.to_json()),))

    async def _take_last_words(self, parcel: Parcel) -> Kept:
        """Of the gateway that a stream leaves; what it says is compared with the chain before it is passed on."""
        device = await self._home.device_of(parcel.sender)
        body = Handover.model_validate(parcel.body)
        left, giving = (await self.moves()).values(), await self._home.places.inherited(body.sid)
        known = device is not None and (device.device_hash in left or await self._rotates(body.sid, device))
        if not known and (giving is None or giving.address != parcel.sender):
            raise Refused("This gateway's streams do not move.", remedy="`wattpact gateway move` begins it.")
        return Kept((), ((LAST, body.sid.hex(), body.to_json()),))

    async def _rotates(self, sid: bytes, device: Device) -> bool:
        gateway = await self._home.gateway()
        standing = gateway is not None and gateway.device_hash == device.device_hash
        return standing and bool(await self._core.storage.memory.facts.get(ROTATION, sid.hex()))

    def forget(self, sid: bytes) -> None:
        """A stream has all that it needs."""
        self._seen.pop(sid, None)
        self._asked.pop(sid, None)
        self.state.pop(sid, None)

    def _set_writer(self, body: WriterSigned) -> SetWriter:
        return SetWriter(
            self._home.owner.address,
            body.sid,
            body.writer,
            public_hash(body.stream_key),
            int(body.nonce),
            body.deadline,
        )

    # Steps

    async def step(self) -> bool:
        """One look at every move."""
        for new, old in (await self.moves()).items():
            device = await self._core.storage.views.one(Device, new)
            if device.status is DeviceStatus.UNPAIRED:
                await self._core.storage.memory.keep((), [(MOVES, new.hex(), None)])
            if device.status is not DeviceStatus.PAIRED or device.local is None:
                continue
            try:
                done = [await self.advance(sid, offer, device.local.peer) for sid, offer in await self._moving()]
            except (NodeUnreachable, PermanentFailure) as failed:
                _log.warning("move_waits", reason=str(failed))
                continue
            if all(done):
                await self._finish(new, old)
        return False

    async def _moving(self) -> list[tuple[bytes, StreamOffer]]:
        """Every stream that our gateway writes; one without a writer was given up with an earlier one."""
        found = []
        for sid, offer in (await self._home.streams()).items():
            stream = await self._core.storage.views.one(Stream, sid)
            if stream.registration and any(stream.writer) and await self._home.places.inherited(sid) is None:
                found.append((sid, offer))
        return found

    async def advance(self, sid: bytes, offer: StreamOffer, peer: Peer) -> bool:
        """Takes one stream a step further; True once its new writer has all it needs and every reader was told."""
        signed_body = await self._core.storage.memory.facts.get(SIGNED, sid.hex())
        signed = None if signed_body is None else WriterSigned.model_validate(signed_body)
        stream = await self._core.storage.views.one(Stream, sid)
        if signed is None or (signed.deadline <= self._core.clock.now() and stream.writer != signed.writer):
            self.state[sid] = "waiting for the new gateway to sign"
            await self._ask(sid, offer, peer)
            return False
        if stream.writer != signed.writer:
            self.state[sid] = "waiting for the chain to name the new writer"
            await self._submit(signed)
            return False
        if offer.stream_key != signed.stream_key:
            await self._remember(sid, offer, signed)
        handed, told = await self._hand_over(sid, peer), await self._tell_readers(sid, signed)
        self.state[sid] = "moved" if handed and told else "waiting for the old gateway's last words"
        return handed and told

    async def _ask(self, sid: bytes, offer: StreamOffer, peer: Peer) -> None:
        """First every reader's key, then the question: the new writer's first commit adds them all at once."""
        now = self._core.clock.monotonic()
        if now - self._asked.get(sid, -1e9) < ASK_AGAIN_S:
            return
        self._asked[sid] = now
        for grant_id, key in await self._reader_keys(sid):
            await self._post.send(peer, "stream.key", RefreshedKey(grant_id=grant_id, reader_key=key).to_json())
        own = self._core.keys.identity.sealing_key(f"own-stream/{sid.hex()}").public_bytes
        take = StreamTake(
            sid=sid,
            category=offer.category,
            salt=offer.salt,
            genesis=offer.genesis,
            slot_seconds=offer.slot_seconds,
            owner_key=own,
            generation=int(await self._core.storage.memory.facts.get(ROTATION, sid.hex()) or 0),
            first_owner=await self._home.places.first_owner(sid),
            signed_envelopes=offer.signed_envelopes,
        )
        await self._post.send(peer, "stream.take", take.to_json())

    async def _consents(self, sid: bytes) -> list[Consent]:
        rows = await self._core.storage.views.page(
            Consent, status=ConsentStatus.LIVE.value, link=("sid", sid), limit=MANY
        )
        return [consent for _, consent in rows if sid in consent.live_sids]

    async def _request_of(self, grant_id: bytes) -> Request | None:
        rows = await self._core.storage.views.page(Request, link=("grant", grant_id), limit=1)
        return rows[0][1] if rows else None

    async def _reader_keys(self, sid: bytes) -> list[tuple[bytes, bytes]]:
        """The present key of every live consent: that of its request, or the one it was refreshed with."""
        found = []
        for consent in await self._consents(sid):
            request = await self._request_of(consent.grant_id)
            if request is not None:
                found.append((consent.grant_id, ConsentRequest.model_validate_json(request.body).reader_key))
            fresh = await self._core.storage.memory.facts.get(REFRESHED, consent.grant_id.hex())
            if fresh is not None:
                found.append((consent.grant_id, base64.b64decode(fresh)))
        return found

    async def _submit(self, signed: WriterSigned) -> None:
        core, message = self._core, self._set_writer(signed)
        known = await core.storage.views.one(Submission, digest(message, core.chain.domain))
        if known.status is not SubmissionStatus.NONE:
            return
        signature = await self._home.owner.sign_message(message, core.chain.domain)
        await core.storage.memory.keep([submission_of(core, message, [signature, signed.writer_signature])])
        core.wake()

    async def _remember(self, sid: bytes, offer: StreamOffer, signed: WriterSigned) -> None:
        """New consents name the new writer; both keys stay known by their hashes."""
        changed = offer.model_copy(
            update={
                "writer": signed.writer,
                "stream_key": signed.stream_key,
                "stream_key_hash": public_hash(signed.stream_key),
            }
        )
        facts: list[tuple[str, str, Any]] = [
            (STREAM_KEYS, public_hash(key).hex(), key.hex()) for key in (offer.stream_key, signed.stream_key)
        ]
        await self._core.storage.memory.keep((), [*facts, (OWN_STREAM, sid.hex(), changed.to_json())])
        self._core.wake()

    async def _hand_over(self, sid: bytes, peer: Peer) -> bool:
        """Tells the new gateway where to go on, once; again if the chain moved on in between."""
        core = self._core
        stream = await core.storage.views.one(Stream, sid)
        name = f"{sid.hex()}/{stream.epoch}/{stream.writer.hex()}"
        if await core.storage.memory.facts.get(TOLD, name) is not None:
            return True
        if await self._new_writer_began(sid, stream.epoch):
            return True
        found = await self._handover(sid, stream)
        if found is None:
            return False
        await self._post.send(peer, "stream.handover", found.to_json(), standing=True)
        await core.storage.memory.keep((), [(TOLD, name, "gateway")])
        _log.info("stream_handed_over", sid=sid.hex()[:8], epoch=found.epoch, seq=found.last_seq)
        return True

    async def _new_writer_began(self, sid: bytes, epoch: int) -> bool:
        """A commit after the change can only be the new writer's: it knows all it needs."""
        former = [term for term in await terms_of(self._core, sid) if term.last_epoch is not None]
        return bool(former) and former[-1].last_epoch is not None and epoch > former[-1].last_epoch

    async def _handover(self, sid: bytes, stream: Stream) -> Handover | None:
        """The old gateway's last words, if they fit the chain; after a while, what our own log says."""
        now = self._core.clock.monotonic()
        since = self._seen.setdefault(sid, now)
        body = await self._core.storage.memory.facts.get(LAST, sid.hex())
        said = None if body is None else Handover.model_validate(body)
        head = stream.head
        if said is not None and (head is None or (said.epoch, said.head) != (head.epoch, head.commit_hash)):
            said = None
        last = await last_place(self._core, sid)
        read = 0 if last is None else last.seq
        if said is not None and (read >= said.last_seq or now - since > PATIENCE_S):
            return said.model_copy(update={"through": await self._through(sid)})
        if now - since > PATIENCE_S:
            return await self._from_own_log(sid, stream)
        return None

    async def _through(self, sid: bytes) -> int:
        now = self._core.clock.now()
        rows = await self._core.storage.channels.readings(sid, OWNER, now - RECENT_S, FOREVER, limit=MANY)
        return max((row.meter_time for row in rows), default=0)

    async def _from_own_log(self, sid: bytes, stream: Stream) -> Handover | None:
        """The household reads every stream of its own, so its log says who sits where. None while it lacks commits.

        A writer's first commit removes and adds every leaf, so the log is read from there on.
        """
        store = self._core.storage.channels
        live: set[int] = set()
        header: Header | None = None
        ended = [term.last_epoch for term in await terms_of(self._core, sid) if term.last_epoch is not None]
        # A writer that was replaced before its first commit ended where its predecessor did.
        following = max((epoch for epoch in ended if epoch < stream.epoch), default=0) + 1
        while page := await store.commits(sid, following, 1_000):
            for stored in page:
                if stored.epoch != following:
                    _log.warning("own_log_gap", sid=sid.hex()[:8], missing=following, found=stored.epoch)
                    return None
                header = Header.decode(stored.data)
                body = Commit.decode(stored.data, header).body
                live.difference_update(body.removed_leaves())
                live.update(body.added)
                following += 1
        last = await last_place(self._core, sid)
        if header is None or header.epoch != stream.epoch or stream.head is None:
            _log.warning("own_log_incomplete", sid=sid.hex()[:8], commits=following - 1, chain=stream.epoch)
            return None
        return Handover(
            sid=sid,
            epoch=header.epoch,
            head=stream.head.commit_hash,
            depth=header.depth,
            live=ranges(sorted(live)),
            last_epoch=0 if last is None else last.epoch,
            last_slot=0 if last is None else last.slot,
            last_seq=0 if last is None else last.seq,
            last_hash=bytes(32) if last is None else last.hash,
            through=await self._through(sid),
        )

    async def _tell_readers(self, sid: bytes, signed: WriterSigned) -> bool:
        """Every reader gets the new signing key; one that cannot be reached is tried again and holds up nobody else."""
        facts, everybody = self._core.storage.memory.facts, True
        body = StreamKeyChanged(sid=sid, stream_key=signed.stream_key).to_json()
        for consent in await self._consents(sid):
            name = f"{sid.hex()}/{consent.grant_id.hex()}/{signed.stream_key.hex()[:16]}"
            request = await self._request_of(consent.grant_id)
            if request is None or request.peer is None or await facts.get(TOLD, name) is not None:
                continue
            try:
                await self._post.send(request.peer, "stream.key_changed", body, standing=True)
            except NodeUnreachable:
                everybody = False
                continue
            except PermanentFailure as refused:
                _log.warning("reader_refuses_key", grant=consent.grant_id.hex()[:16], reason=str(refused))
            await self._core.storage.memory.keep((), [(TOLD, name, "reader")])
        return everybody

    async def _finish(self, new: bytes, old: bytes) -> None:
        """No stream is left to the old gateway: its pairing ends, by the owner alone."""
        core = self._core
        former = await core.storage.views.one(Device, old)
        events = []
        if former.status is not DeviceStatus.UNPAIRED:
            nonce, deadline = await next_nonce(core.storage.memory), core.clock.now() + 24 * 3600
            message = UnpairDevice(self._home.owner.address, old, (), nonce, deadline)
            signature = await self._home.owner.sign_message(message, core.chain.domain)
            events.append(submission_of(core, message, [signature]))
        over = [(name, sid.hex(), None) for sid in await self._home.streams() for name in (SIGNED, LAST)]
        await core.storage.memory.keep(events, [(MOVES, new.hex(), None), *over])
        self._seen.clear()
        _log.info("gateway_moved", to=new.hex()[:16])
        core.wake()
