"""At the household: its wish to erase a stream's past, the gateway's receipt, its own copy, and word to the readers.

Readers keep what they have read: that is erased by `consent erase`. They are told, whoever is granted the stream later
too, so that what is missing from then on is no riddle. Every step follows from what the facts say and may be repeated.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any, Literal

import structlog

from channels.errors import StoreError
from channels.stores.records import Past, StoredEnvelope
from keys.parcel import Parcel
from node.api.views import PastErasureView
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.services import looped
from node.app.streams.home import HomeRole
from node.app.streams.provider import ProviderRole
from node.app.streams.writers import terms_of
from node.errors import Conflict, InvalidInput, NodeUnreachable, NotFound, Refused
from node.projection.consent import Consent, ConsentStatus
from node.projection.device import DeviceStatus
from node.projection.request import Request
from node.projection.stream import Stream
from node.runtime.errors import PermanentFailure
from node.runtime.supervisor import Service
from node.services.gateway.members import OWNER
from node.wire.past import PastReceipt, PastRequest, SignedPast, read_past

__all__ = ["PLACE", "PastKeeper", "last_place"]

_log = structlog.get_logger(__name__)

ASKED, SENT, ANSWER, OWN, HEARD = "past_asked", "past_sent", "past_answer", "past_own", "past_heard"
"""Namespaces of facts by stream and erasure: the wish, the account of the gateway that has it, its receipt, that the
own copy is gone; at a reader the receipt that it was told of, and at a
household that of a stream that it gave away."""
READERS = "past_reader_told"
"""Namespace of facts by erasure and grant."""
PLACE = "past_place"
"""Namespace of facts by stream: where the last envelope was that an erasure took: a next writer goes on behind it."""

EVERY_S = 2.0
MANY = 100_000


class PastKeeper:
    """`step` is called by one task. `home` is None at a node that only reads: it hears of erasures."""

    def __init__(self, core: Core, post: Post, home: HomeRole | None, reading: ProviderRole) -> None:
        self._core = core
        self._post = post
        self._home = home
        self._reading = reading
        self._said: dict[str, str] = {}

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("stream.erased", self._take)

    def service(self) -> Service:
        return Service("erased pasts", looped(self._core.new_wake(), self.step, EVERY_S))

    # Asking

    async def ask(self, sid: bytes, before: int | None, reason: str) -> PastErasureView:
        """Remembers the wish; one that an earlier one covers is that one. Raises NotFound, Conflict, InvalidInput."""
        core, now = self._core, self._core.clock.now()
        if self._home is None or sid not in await self._home.streams():
            raise NotFound("This household has no such stream.", remedy="`wattpact stream list` shows all.")
        if before is not None and before > now:
            raise InvalidInput("That day has not begun.", field="before", remedy="--all erases everything up to now.")
        device = await self._home.gateway()
        stream = await core.storage.views.one(Stream, sid)
        if stream.owner != self._home.owner.address:
            raise Conflict("The stream has another owner.", remedy="Its past was closed by the transfer.")
        inherited = await self._home.places.inherited(sid)
        paired = device is not None and device.status is DeviceStatus.PAIRED
        if not (paired or inherited) or not any(stream.writer):
            raise Conflict("No paired gateway writes this stream.", remedy="Wipe the former gateway's data folder.")
        writer = await self._home.places.writer_of(sid)
        here = None if writer is None else writer.address.hex()
        for request in await self._asked(sid):
            done = await core.storage.memory.facts.get(ANSWER, _name(request)) is not None
            if not done and await core.storage.memory.facts.get(SENT, _name(request)) not in (None, here):
                continue  # the gateway that has it writes no more: what it promised reaches nothing of this one's
            reach = request.requested_at if request.before is None else request.before
            if (before is not None and reach >= before) or (not done and request.before is None):
                return await self.of(sid, request.erasure_id)
        request = PastRequest(erasure_id=os.urandom(32), sid=sid, before=before, reason=reason, requested_at=now)
        await core.storage.memory.keep((), [(ASKED, _name(request), request.to_json())])
        core.wake()
        return await self.of(sid, request.erasure_id)

    async def _asked(self, sid: bytes) -> list[PastRequest]:
        found = await self._core.storage.memory.facts.all(ASKED)
        bodies = [PastRequest.model_validate(body) for name, body in found.items() if name.startswith(sid.hex())]
        return sorted(bodies, key=lambda body: body.requested_at)

    async def of(self, sid: bytes, erasure_id: bytes | None = None) -> PastErasureView:
        """How far the newest erasure of a stream is, or that of an id. Raises NotFound where there is none."""
        facts = self._core.storage.memory.facts
        asked = [each for each in await self._asked(sid) if erasure_id in (None, each.erasure_id)]
        if asked:
            request = asked[-1]
            document = await facts.get(ANSWER, _name(request))
            gone = await facts.get(OWN, _name(request)) is not None
            return _view(request, "asked" if document is None else "done" if gone else "erasing", document)
        heard = [body for name, body in (await facts.all(HEARD)).items() if name.startswith(sid.hex())]
        if not heard:
            raise NotFound("Nobody asked to erase the past of this stream.", remedy="wattpact stream erase does.")
        document = max(heard, key=lambda body: int(body["receipt"]["erased_at"]))
        return _view(SignedPast.model_validate(document).receipt, "told", document)

    # Being told

    async def _take(self, parcel: Parcel) -> Kept:
        """The receipt: of our own gateway, or, at a reader, from the owner of the stream."""
        receipt = read_past(parcel.body)
        if (receipt.chain_id, receipt.registry) != (self._core.settings.chain.chain_id, self._core.registry):
            raise Refused("The receipt is about another chain.", field="receipt")
        stream = await self._core.storage.views.one(Stream, receipt.sid)
        name = f"{receipt.sid.hex()}/{receipt.erasure_id.hex()}"
        document = SignedPast.model_validate(parcel.body).to_json()
        if receipt.account not in {term.writer for term in await terms_of(self._core, receipt.sid)}:
            raise Refused("The receipt is not signed by a writer that the chain names.", field="receipt")
        asked = await self._core.storage.memory.facts.get(ASKED, name)
        if asked is not None:
            # Whoever brings it: the writer's signature counts, and that it answers what was asked.
            return self._answered(PastRequest.model_validate(asked), receipt, document, stream)
        given_away = self._home is not None and receipt.owner == self._home.owner.address
        if stream.owner != parcel.sender and not given_away:
            raise NotFound("No stream of yours is known here by this id.", field="sid")
        _log.warning("stream_past_erased", sid=receipt.sid.hex()[:8], before=receipt.before, epoch=receipt.epoch)
        return Kept((), ((HEARD, name, document),))

    @staticmethod
    def _answered(request: PastRequest, receipt: PastReceipt, document: dict[str, Any], stream: Stream) -> Kept:
        asked = (request.before, request.reason, request.requested_at, stream.owner)
        if (receipt.before, receipt.reason, receipt.requested_at, receipt.owner) != asked:
            raise Refused("The receipt is about another erasure than was asked for.", field="receipt")
        return Kept((), ((ANSWER, _name(request), document),))

    # Carrying out

    async def step(self) -> bool:
        """One look at every erasure: what waits for another node or the store is looked at again."""
        facts = self._core.storage.memory.facts
        asked = await facts.all(ASKED)
        if not asked or self._home is None:
            return False
        sent, answers, own = await facts.all(SENT), await facts.all(ANSWER), await facts.all(OWN)
        for name, body in asked.items():
            request = PastRequest.model_validate(body)
            try:
                if name not in answers:
                    await self._send(name, request, sent.get(name))
                    continue
                receipt = read_past(answers[name])
                if name not in own:
                    await self._erase_own(name, receipt)
                await self._tell_readers(request.sid, answers[name])
            except (NodeUnreachable, PermanentFailure, StoreError) as waits:
                if self._said.get(name) != str(waits):
                    self._said[name] = str(waits)
                    _log.warning("past_erasure_waits", sid=request.sid.hex()[:8], reason=str(waits))
        return False

    async def _send(self, name: str, request: PastRequest, sent: object) -> None:
        """Once to each gateway: one that the household moved away from does not answer any more."""
        peer = await self._home.places.writer_of(request.sid) if self._home is not None else None
        if peer is not None and peer.address.hex() != sent:
            await self._post.send(peer, "stream.erase", request.to_json(), standing=True)
            await self._core.storage.memory.keep((), [(SENT, name, peer.address.hex())])

    async def _erase_own(self, name: str, receipt: PastReceipt) -> None:
        """The household reads its own streams: its keys to the past go, then what it opened and the log."""
        reading = self._reading.reading.get((receipt.sid, OWNER))
        if reading is None:
            return  # opened in a moment
        await reading.membership.erase(receipt.epoch, receipt.before_slot)
        last = await self._core.storage.channels.last_envelope(receipt.sid)
        if last is not None:
            place = [last.epoch, last.slot, last.inst.hex(), last.seq, last.hash.hex()]
            await self._core.storage.memory.keep((), [(PLACE, receipt.sid.hex(), place)])
        mine = sha256(b"own copy" + receipt.erasure_id).digest()
        past = Past(mine, receipt.epoch, receipt.before_slot, self._core.clock.now())
        erased = await self._core.storage.channels.erase_past(receipt.sid, past)
        await self._core.storage.channels.scrub()
        await self._core.storage.memory.keep((), [(OWN, name, erased.readings)])
        _log.info("own_past_erased", sid=receipt.sid.hex()[:8], readings=erased.readings)

    async def _tell_readers(self, sid: bytes, document: dict[str, Any]) -> None:
        """Each once; one that cannot be reached is tried again and holds up nobody else."""
        storage = self._core.storage
        told = await storage.memory.facts.all(READERS)
        receipt = document["receipt"]
        until = int(receipt.get("before") or receipt["erased_at"])  # who is granted only what came later misses nothing
        live = await storage.views.page(Consent, status=ConsentStatus.LIVE.value, link=("sid", sid), limit=MANY)
        for _, consent in live:
            name = f"{receipt['erasure_id']}/{consent.grant_id.hex()}"
            terms = consent.terms
            if name in told or terms is None or sid not in consent.live_sids or terms.start >= until:
                continue
            rows = await storage.views.page(Request, link=("grant", consent.grant_id), limit=1)
            if not rows or rows[0][1].peer is None:
                continue
            try:
                await self._post.send(rows[0][1].peer, "stream.erased", document, standing=True)
            except NodeUnreachable:
                continue
            except PermanentFailure as refused:
                _log.warning("reader_refuses_erasure", grant=consent.grant_id.hex()[:16], reason=str(refused))
            await storage.memory.keep((), [(READERS, name, True)])


async def last_place(core: Core, sid: bytes) -> StoredEnvelope | None:
    """The last envelope that this node has read; of one that was erased since, all but its bytes."""
    last = await core.storage.channels.last_envelope(sid)
    place = None if last is not None else await core.storage.memory.facts.get(PLACE, sid.hex())
    if place is None:
        return last
    epoch, slot, inst, seq, digest = place
    return StoredEnvelope(epoch, slot, bytes.fromhex(inst), seq, bytes.fromhex(digest), b"")


def _name(body: PastRequest) -> str:
    return f"{body.sid.hex()}/{body.erasure_id.hex()}"


def _view(
    about: PastRequest | PastReceipt,
    state: Literal["asked", "erasing", "done", "told"],
    document: dict[str, Any] | None,
) -> PastErasureView:
    return PastErasureView(
        sid=about.sid,
        state=state,
        before=about.before,
        reason=about.reason,
        asked_at=about.requested_at,
        done_at=None if document is None else int(document["receipt"]["erased_at"]),
        receipt=document,
    )
