"""At the gateway: a stream's past is destroyed at its owner's wish, or when it is transferred, and the writer signs a
receipt (rule 11).

The wish is kept first, then how far it reaches; the rest are steps that may each be repeated: a commit that ends the
present epoch, the exchange of the masters with the store's own part, the copies in other stores, the files written
anew, the capsules at the broker, the receipt. A gateway that was killed in between goes on at its next start, and one
whose second store is out of reach waits for it: until then nothing is called erased.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import structlog

from channels.errors import ChannelError
from channels.stores.records import Erased, LogKind, Past
from channels.transports.topics import Kind, Topic
from keys.messages import parcel_domain
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.services import looped
from node.app.streams.gateway import GatewayRole
from node.app.streams.heirs import Heirs
from node.app.streams.masterkeys import MasterKeys
from node.app.streams.opening import Writing
from node.app.streams.pastkeeping import PLACE
from node.app.streams.streamports import slot_after
from node.app.streams.transferring import CLOSED, WANTED
from node.errors import NodeUnreachable, NotFound, Refused
from node.projection.stream import Stream
from node.runtime.errors import PermanentFailure
from node.runtime.supervisor import Service
from node.services.gateway.erasing import bound_of, erase_past
from node.services.gateway.errors import EpochOpen
from node.services.gateway.ports import ErasingPorts
from node.wire.past import PastReceipt, PastRequest, SignedPast, past_statement

__all__ = ["PastEraser"]

_log = structlog.get_logger(__name__)

WISHED, BOUND, KEYS, RECEIPT, TOLD = "past_wished", "past_bound", "past_keys", "past_receipt", "past_owner_told"
"""Namespaces of facts by stream and erasure: whose wish it is, how far it reaches, which keys there were, the receipt,
and that the owner has it."""

EVERY_S = 1.0
REFUSED_S = 300.0
"""Seconds until an owner that refused the receipt is offered it again."""
CLEAR_S = 10.0
"""Seconds for the broker to take the capsules of before off their topics, or others in their place; one that is not
there is asked again."""


class PastEraser:
    """`step` is called by one task."""

    def __init__(self, core: Core, post: Post, gateway: GatewayRole, heirs: Heirs) -> None:
        self._core = core
        self._heirs = heirs
        self._post = post
        self._gateway = gateway
        self._later: dict[str, float] = {}

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("stream.erase", self._take)

    def service(self) -> Service:
        return Service("past erasures", looped(self._core.new_wake(), self.step, EVERY_S))

    async def _take(self, parcel: Parcel) -> Kept:
        body = PastRequest.model_validate(parcel.body)
        await self._heirs.heard(parcel.sender, [body.sid])
        if self._gateway.params_of(body.sid) is None:
            raise NotFound("This gateway does not write this stream.", field="sid")
        if (await self._core.storage.views.one(Stream, body.sid)).owner != parcel.sender:
            raise Refused("The stream has another owner.", remedy="Its past was closed by the transfer.")
        if body.before is not None and body.before > self._core.clock.now():
            raise Refused("That day has not begun.", field="before")
        return Kept((), ((WANTED, _name(body), body.to_json()), (WISHED, _name(body), parcel.sender.hex())))

    async def step(self) -> bool:
        """Takes each erasure as far as it goes now."""
        facts = self._core.storage.memory.facts
        wanted = await facts.all(WANTED)
        if not wanted:
            return False
        told = await facts.all(TOLD)
        for name, body in sorted(wanted.items(), key=lambda item: int(item[1]["requested_at"])):
            if name in told or self._later.get(name, 0) > self._core.clock.monotonic():
                continue
            request = PastRequest.model_validate(body)
            try:
                await self._advance(name, request)
            except (ChannelError, EpochOpen, TimeoutError, NodeUnreachable) as waits:
                self._waits(request, str(waits) or "the broker does not answer")
            except PermanentFailure as refused:
                _log.warning("past_receipt_refused", sid=request.sid.hex()[:8], reason=str(refused))
                self._later[name] = self._core.clock.monotonic() + REFUSED_S
        return False

    def _waits(self, request: PastRequest, why: str) -> None:
        """Shown in the readiness, and said once."""
        spec = next((spec for spec in self._gateway.specs if spec.sid == request.sid), None)
        if spec is not None and self._gateway.erasing.get(spec.category) != why:
            self._gateway.erasing[spec.category] = why
            _log.info("past_erasure_waits", category=spec.category, reason=why)

    async def _advance(self, name: str, request: PastRequest) -> None:
        facts = self._core.storage.memory.facts
        document = await facts.get(RECEIPT, name)
        if document is None:
            writing = self._gateway.writing.get(request.sid)
            if writing is None:
                return
            bound = await facts.get(BOUND, name) or await self._bound(name, request, writing)
            if bound is None:
                return
            past = Past(request.erasure_id, bound["epoch"], bound["before_slot"], self._core.clock.now())
            engine = writing.engine
            if engine.writer.epoch <= past.epoch or engine.active_epoch <= past.epoch:
                engine.closing = max(engine.closing, past.epoch)  # the writer's next round makes the commit
                self._waits(request, f"epoch {past.epoch} has to end, by a commit on the chain")
                return
            document = await self._erase(name, request, writing, past)
            self._gateway.erasing.pop(writing.spec.category, None)
        peer = await self._heirs.peer_of(request.sid, SignedPast.model_validate(document).receipt.owner)
        if peer is not None:
            await self._post.send(peer, "stream.erased", document, standing=True)
        elif await self._gateway.owner() is None:
            return
        await self._core.storage.memory.keep((), [(TOLD, name, True)])

    async def _bound(self, name: str, request: PastRequest, writing: Writing) -> dict[str, int] | None:
        """Worked out once: a day that has more in it later was not meant, nor what another owner has by then."""
        writer, storage = writing.engine.writer, self._core.storage
        if writer.epoch < writer.state.log.origin:
            return None  # this writer has not begun
        transfer = await storage.memory.facts.get(CLOSED, name) is not None
        if not transfer and (await storage.views.one(Stream, request.sid)).owner != await self._wisher(name, writing):
            return None  # the transfer closes what the wish was about
        slot = None if request.before is None else slot_after(writing.spec.params, request.before)
        found = bound_of(writer.state.log, slot)
        bound = {"epoch": found.epoch, "before_slot": found.before_slot}
        await self._core.storage.memory.keep((), [(BOUND, name, bound)])
        return bound

    async def _wisher(self, name: str, writing: Writing) -> bytes:
        """Whose wish it is: by default the household's that the gateway is paired with."""
        account = await self._core.storage.memory.facts.get(WISHED, name)
        return writing.spec.owner if account is None else bytes.fromhex(account)

    async def _erase(self, name: str, request: PastRequest, writing: Writing, past: Past) -> dict[str, Any]:
        storage, sid = self._core.storage, request.sid
        keys = MasterKeys(self._core, writing.spec)
        had = await storage.memory.facts.get(KEYS, name)
        if had is None:
            had = list(keys.entries())
            await storage.memory.keep((), [(KEYS, name, had)])
        last = writing.engine.writer.position
        if last.seq:  # a household in the same node needs it for a next gateway
            place = [last.epoch, last.slot, writing.instance.hex(), last.seq, last.last_hash.hex()]
            await storage.memory.keep((), [(PLACE, sid.hex(), place)])
        ports = ErasingPorts(storage.channels, lambda: os.urandom(32))
        try:
            erased = await erase_past(writing.engine, ports, past, keys.exchange)
        finally:
            self._gateway.drop_stale(writing)
        await storage.channels.scrub()
        copies = await storage.replicas.erase(sid, past)
        async with asyncio.timeout(CLEAR_S):
            await self._replaced(writing)
        former = await storage.memory.facts.get(CLOSED, name)
        owner = await self._wisher(name, writing) if former is None else bytes.fromhex(former)
        counts = (erased, len(set(had) - {*keys.entries()}), 1 + copies)
        receipt = self._receipt(request, writing, past, counts).model_copy(update={"owner": owner})
        domain = parcel_domain(receipt.chain_id)
        signature = await writing.spec.writer.sign_message(past_statement(receipt), domain)
        document = SignedPast(receipt=receipt, signature=signature).to_json()
        await storage.memory.keep((), [(RECEIPT, name, document)])
        self._core.wake()
        _log.info("past_receipt_signed", category=writing.spec.category, epoch=past.epoch, envelopes=erased.envelopes)
        return document

    async def _replaced(self, writing: Writing) -> None:
        """No capsule of before is kept by the broker any more: emptied ones are taken off, the new ones have taken the
        place of theirs. Raises NodeUnreachable while one of these is not there."""
        store, sid, active = self._core.storage.channels, writing.spec.sid, writing.engine.active_epoch
        renewed = 0
        for capsule in await store.capsules(sid):
            if capsule.data:
                renewed = max(renewed, capsule.position if capsule.epoch <= active else 0)
            else:
                await self._core.transport.clear(Topic(Kind.CAPSULE, sid, capsule.grant_id))
        # Not cleared: the publisher may have sent the new one in this moment, and what a broker took is not sent again.
        if await store.cursor(sid, LogKind.CAPSULE) < renewed:
            await writing.publisher.drain(active, writing.engine.marked_seq)
        if await store.cursor(sid, LogKind.CAPSULE) < renewed:
            raise NodeUnreachable("The broker has not taken the renewed capsules yet.", remedy="It is tried again.")

    def _receipt(
        self, request: PastRequest, writing: Writing, past: Past, counts: tuple[Erased, int, int]
    ) -> PastReceipt:
        erased, destroyed, copies = counts
        return PastReceipt(
            erasure_id=request.erasure_id,
            sid=request.sid,
            chain_id=self._core.settings.chain.chain_id,
            registry=self._core.registry,
            owner=writing.spec.owner,
            account=writing.spec.writer.address,
            reason=request.reason,
            before=request.before,
            requested_at=request.requested_at,
            erased_at=erased.at,
            epoch=past.epoch,
            before_slot=past.before_slot,
            commit_hash=erased.commit_hash if erased.epoch == past.epoch else bytes(32),
            keys=destroyed,
            copies=copies,
            envelopes=erased.envelopes,
            checkpoints=erased.checkpoints,
            capsules=erased.capsules,
        )


def _name(body: PastRequest) -> str:
    return f"{body.sid.hex()}/{body.erasure_id.hex()}"
