"""The provider role: asks for consent, checks the answer, reads what was granted; a home reads its own streams so."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import structlog

from channels.slots import OPEN_SLOT, StreamParams
from channels.transports.base import Delivery
from channels.transports.topics import Kind, Topic
from keys.messages import digest
from keys.parcel import Parcel
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.api.forms import ConsentRequestForm
from node.app.cards import fetch_card
from node.app.core import Core, canonical, peer_of
from node.app.inbox import Inbox, Kept
from node.app.services import until_stopped
from node.app.streams.asking import Asker
from node.app.streams.chainfacts import FactsAnswers
from node.app.streams.places import INHERITED
from node.app.streams.readerkeys import OwnKey, StoredKey, consent_key_name
from node.app.streams.streamports import slot_after
from node.app.streams.streamspec import check_stream_key
from node.app.streams.writers import STREAM_KEYS, public_hash, reader_params, terms_of
from node.app.submissions import submission_of
from node.errors import InvalidInput, NotFound, Refused
from node.projection.asking import Asking, AskingStatus
from node.projection.base import ADDRESS_ZERO
from node.projection.consent import Consent, ConsentStatus
from node.projection.effects import NotifyRevoked, NotifyWriterChanged
from node.projection.erasure import Erasure, ErasureStatus
from node.projection.events import (
    ReceivedConsentDenied,
    ReceivedConsentGranted,
    ReceivedRevocation,
    RequestedConsent,
)
from node.projection.stream import Stream
from node.runtime.executor import Handlers
from node.runtime.supervisor import Lifecycle, Service
from node.services.consent.rules import build_revoke
from node.services.gateway.members import OWNER
from node.services.provider.asking import Ask, build_request, check_answer
from node.services.provider.common import Common
from node.services.provider.membership import Membership, Ports
from node.services.provider.ports import KeyPort
from node.types import OPEN_END, to_hex
from node.wire.consents import ConsentDenied, ConsentGranted, ConsentRequest, StreamAccess
from node.wire.streams import StreamKeyChanged, StreamOffer

__all__ = ["ProviderRole", "Reading"]

_log = structlog.get_logger(__name__)

SETTLED_BLOCKS, SETTLED_SLOTS = 64, 2
"""An older grant has its leaf: it was final, and its slot had begun, whatever the chain and the stream."""

TICK_S = 0.5

QUEUED = 500
"""Deliveries that one transaction takes at most."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A stream that this node reads, and the engine that does it."""

    sid: bytes
    grant_id: bytes
    category: str
    membership: Membership
    task: asyncio.Task[None]


class ProviderRole:
    """All readers of one node. Each stream under each grant has one task that takes its deliveries in turn."""

    def __init__(self, core: Core) -> None:
        self.reading: dict[tuple[bytes, bytes], Reading] = {}
        self.stale: set[bytes] = set()
        self._core = core
        self._facts = FactsAnswers(core)
        self._common: dict[bytes, Common] = {}
        self._closed: set[bytes] = set()
        self._foreign: set[bytes] = set()  # streams whose key was refused

    def register(self, handlers: Handlers, inbox: Inbox) -> None:
        """What a provider carries out and takes in."""
        handlers.on(NotifyWriterChanged, self._writer_changed)
        handlers.on(NotifyRevoked, self._revoked)
        inbox.on("stream.key_changed", self._take_key)
        inbox.on("consent.granted", self._take_granted)
        inbox.on("consent.denied", self._take_denied)
        inbox.on("consent.expired", self._take_expired)

    def service(self) -> Service:
        return Service("readers", self._run)

    async def close(self, grant_id: bytes) -> None:
        """Nothing is read under this grant any more. On return its last transaction is over."""
        self._closed.add(grant_id)
        mine = [key for key in self.reading if key[1] == grant_id]
        tasks = [self.reading.pop(key).task for key in mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sid, _ in mine:
            if not any(sid == other for other, _ in self.reading):
                self._common.pop(sid, None)  # it knows what is in the log, which goes as well

    # Writers that change

    async def _writer_changed(self, effect: NotifyWriterChanged) -> None:
        self.stale.add(effect.sid)
        self._core.wake()

    async def _take_key(self, parcel: Parcel) -> Kept:
        """A stream's new signing key: believed by its hash alone, which the chain shows."""
        body = StreamKeyChanged.model_validate(parcel.body)
        if await self.category(body.sid) is None:
            raise NotFound("This node does not read this stream.", field="sid")
        return Kept((), ((STREAM_KEYS, public_hash(body.stream_key).hex(), body.stream_key.hex()),))

    async def _renew(self) -> None:
        """Readers of streams with a new writer leave the former one's key at once, and go on as soon as the new one is
        known."""
        for sid in list(self.stale):
            readings = [reading for (each, _), reading in self.reading.items() if each == sid]
            for reading in readings:
                had = reading.membership.params
                key = had.stream_public or had.former[-1].stream_public
                params = await reader_params(self._core, sid, key, had.signed_envelopes, begun=True)
                if params is None:
                    break
                if params != had:
                    await self._core.storage.memory.keep((), [(STREAM_KEYS, public_hash(key).hex(), key.hex())])
                    reading.membership.renew(params)
                    _log.info("writer_changed", category=reading.category, writer=params.writer.hex())
            present = [reading.membership.params for reading in readings]
            if all(params.stream_public or params.writer == ADDRESS_ZERO for params in present):
                self.stale.discard(sid)

    # Revocations

    async def _revoked(self, effect: NotifyRevoked) -> None:
        """Tells the readers of the streams, whose writer now has to change the keys (channels.md 4, rule 6).

        Not of a grant that may have had no leaf: it was young, not begun or over, and its end needs no commit.
        """
        consent, now = await self._core.storage.views.one(Consent, effect.grant_id), self._core.clock.now()
        blocks = [each.block.number for each in consent.revocations if each.block and each.account == effect.account]
        if consent.terms is None or consent.granted is None or not blocks:
            return
        for reading in [reading for (sid, _), reading in self.reading.items() if sid in effect.sids]:
            member = reading.membership
            welcomed = consent.terms.start + SETTLED_SLOTS * member.params.slot_seconds <= now < consent.terms.end
            if not welcomed or blocks[-1] < consent.granted.number + SETTLED_BLOCKS:
                continue
            commits = (await self._core.storage.views.one(Stream, reading.sid)).commits
            followed = [commit.block.number for commit in commits if commit.epoch == member.status().epoch]
            if followed and followed[0] < blocks[-1]:
                await member.revocation_seen(blocks[-1])

    # Asking

    async def ask(self, form: ConsentRequestForm) -> Asking:
        """Sends a request to a home; returns once it is kept. Raises InvalidInput, Refused, NodeUnreachable."""
        core, now = self._core, self._core.clock.now()
        start = now if form.start is None else form.start
        if form.end is not None and form.end <= start:
            remedy = "Choose a later end, or an earlier start."
            raise InvalidInput("The end is not later than the start, which is now.", field="end", remedy=remedy)
        card = await fetch_card(core, form.home, "home")
        if form.owner is not None and card.address != form.owner:
            raise Refused(
                "The home's card names another wallet than expected.", field="owner", remedy="Check the address."
            )
        request_id = os.urandom(32)
        secret = SealingKey.generate()
        core.keys.keystore.put(consent_key_name(request_id), "sealing", secret.to_bytes())
        wish = Ask(
            tuple(form.streams),
            start,
            OPEN_END if form.end is None else form.end,
            form.purpose,
            form.purpose_tag,
            form.valid_for_s,
        )
        reader = self.signer_for(request_id).address
        request = build_request(wish, request_id, core.card, reader, secret.public_bytes, now)
        event = RequestedConsent(request_id, peer_of(card), canonical(request.to_json()), request.expires, now)
        await core.storage.memory.keep([event], [("party", card.address.hex(), card.name)])
        core.wake()
        return await core.storage.views.one(Asking, request_id)

    def signer_for(self, request_id: bytes) -> LocalSigner:
        """The address that reads under one consent; consents of one provider are not linkable by it."""
        return self._core.keys.identity.reader(f"consent/{request_id.hex()}")

    async def party_name(self, state: Asking) -> str:
        """How the household called itself on its card when it was asked last."""
        address = state.party or (state.peer.address if state.peer else b"")
        return await self.household_name(address) or "household"

    async def household_name(self, address: bytes) -> str | None:
        """As `party_name`, by the address; None for one that this node never asked."""
        name: str | None = await self._core.storage.memory.facts.get("party", address.hex())
        return name

    async def _asked(self, request_id: bytes, sender: bytes) -> tuple[Asking, ConsentRequest]:
        asking = await self._core.storage.views.one(Asking, request_id)
        if asking.status is AskingStatus.NONE or asking.party not in (None, sender):
            raise NotFound("No request of this id was sent to you.", field="request_id")
        return asking, ConsentRequest.model_validate_json(asking.body)

    async def _take_granted(self, parcel: Parcel) -> Kept:
        answer = ConsentGranted.model_validate(parcel.body)
        _, request = await self._asked(answer.request_id, parcel.sender)
        grant = check_answer(request, answer, self._core.chain.domain)
        if grant.owner != parcel.sender:
            raise Refused("The grant is another owner's.", field="grant.owner")
        now = self._core.clock.now()
        body = canonical(answer.to_json())
        return Kept((ReceivedConsentGranted(answer.request_id, parcel.sender, answer.grant_id, body, now),))

    async def _take_denied(self, parcel: Parcel) -> Kept:
        body = ConsentDenied.model_validate(parcel.body)
        await self._asked(body.request_id, parcel.sender)
        now = self._core.clock.now()
        return Kept((ReceivedConsentDenied(body.request_id, parcel.sender, body.reason, now),))

    async def _take_expired(self, _parcel: Parcel) -> Kept:
        """Our own deadline says the same; nothing follows from being told."""
        return Kept()

    async def revoke(self, grant_id: bytes, sid: bytes | None, signature: bytes | None) -> bytes:
        """A reader may end its own consent: signed by the address that reads."""
        core = self._core
        rows = await core.storage.views.page(Asking, link=("grant", grant_id), limit=1)
        if not rows:
            raise NotFound("This node does not read under this consent.")
        signer = self.signer_for(rows[0][1].request_id)
        message = build_revoke(signer.address, grant_id, sid)
        signed = signature or await signer.sign_message(message, core.chain.domain)
        seen = ReceivedRevocation(grant_id, message.account, message.sid, core.clock.now())
        await core.storage.memory.keep([submission_of(core, message, [signed]), seen])
        core.wake()
        return digest(message, core.chain.domain)

    async def category(self, sid: bytes) -> str | None:
        """What a stream that we read is called."""
        found: str | None = await self._core.storage.memory.facts.get("category", sid.hex())
        return found

    # Reading

    async def _run(self, life: Lifecycle) -> None:
        try:
            await until_stopped(life, self._look())
        finally:
            for reading in self.reading.values():
                reading.task.cancel()
            await asyncio.gather(*(r.task for r in self.reading.values()), return_exceptions=True)
            self.reading.clear()

    async def _look(self) -> None:
        wake = self._core.new_wake()
        while True:
            wake.clear()
            await self._open_granted()
            await self._open_own()
            await self._renew()
            for reading in self.reading.values():
                if reading.task.done():
                    reading.task.result()
            try:
                await asyncio.wait_for(wake.wait(), 2.0)
            except TimeoutError:
                continue

    async def _open_granted(self) -> None:
        rows = await self._core.storage.views.page(Asking, status=AskingStatus.GRANTED.value, limit=10_000)
        for _, asking in rows:
            answer = ConsentGranted.model_validate_json(asking.answer)
            consent = await self._core.storage.views.one(Consent, answer.grant_id)
            if consent.status not in (ConsentStatus.LIVE, ConsentStatus.ENDED, ConsentStatus.REVOKED):
                continue
            fresh = [access for access in answer.streams if (access.sid, answer.grant_id) not in self.reading]
            if fresh and not await self._erased(answer.grant_id):
                for access in fresh:
                    await self._open(access, answer.grant_id, asking.request_id, consent)

    async def _erased(self, grant_id: bytes) -> bool:
        """Whether somebody asked to erase what was read under a grant: then it is not read again, done or not."""
        if grant_id not in self._closed:
            erasure = await self._core.storage.views.one(Erasure, grant_id)
            if erasure.status is ErasureStatus.NONE:
                return False
            self._closed.add(grant_id)
        return True

    async def _open(self, access: StreamAccess, grant_id: bytes, request_id: bytes, consent: Consent) -> None:
        params = await reader_params(self._core, access.sid, access.stream_key, access.signed_envelopes)
        if params is None or consent.terms is None:
            await self._complain(access.sid, access.stream_key)
            return
        slots = params.granted_slots(consent.terms.start, consent.terms.end)
        await self._core.storage.memory.facts.set("category", access.sid.hex(), access.category)
        key = StoredKey(self._core, request_id, access.sid, consent.terms.sids)
        asker = Asker(self._core, access.sid, grant_id, self.signer_for(request_id))
        ports = self._ports(access.sid, key, asker)
        await self._begin(params, grant_id, slots, ports, access.category)

    async def _complain(self, sid: bytes, public: bytes) -> None:
        """A key that the chain never named is said once, and what it would sign is not read."""
        stream = await self._core.storage.views.one(Stream, sid)
        if not stream.writers or sid in self._foreign:
            return
        try:
            check_stream_key(public, [term.key_hash for term in await terms_of(self._core, sid)])
        except Refused as error:
            self._foreign.add(sid)
            _log.warning("stream_key_refused", sid=to_hex(sid)[:10], reason=error.message)

    async def _open_own(self) -> None:
        """The household reads its own streams, as leaf 0."""
        found = await self._core.storage.memory.facts.all("own_stream")
        for sid_hex, body in found.items():
            sid = bytes.fromhex(sid_hex)
            if (sid, OWNER) in self.reading:
                continue
            offer = StreamOffer.model_validate(body)
            params = await reader_params(self._core, sid, offer.stream_key, offer.signed_envelopes)
            if params is None:
                await self._complain(sid, offer.stream_key)
                continue
            identity = self._core.keys.identity
            key = OwnKey(identity.sealing_key(f"own-stream/{sid_hex}"))
            asker = Asker(self._core, sid, OWNER, identity.wallet())
            ports = self._ports(sid, key, asker)
            await self._core.storage.memory.facts.set("category", sid_hex, offer.category)
            given = await self._core.storage.memory.facts.get(INHERITED, sid_hex)
            first = 0 if given is None else slot_after(params, int(given["since"]))
            await self._begin(params, OWNER, (first, OPEN_SLOT), ports, offer.category)

    def _ports(self, sid: bytes, key: KeyPort, asker: Asker) -> Ports:
        """All readers of one stream share what is the same for each of them."""
        common = self._common.setdefault(sid, Common())
        return Ports(self._core.storage.channels, self._facts, key, asker, self._core.clock, common)

    async def _begin(
        self, params: StreamParams, grant_id: bytes, slots: tuple[int, int], ports: Ports, category: str
    ) -> None:
        membership = Membership(params, grant_id, slots, ports)
        await membership.load()
        if grant_id in self._closed:
            return
        task = asyncio.create_task(self._follow(membership), name=f"reader-{params.sid.hex()[:8]}")
        self.reading[params.sid, grant_id] = Reading(params.sid, grant_id, category, membership, task)
        _log.info("reader_open", category=category, sid=to_hex(params.sid)[:10])

    async def _follow(self, membership: Membership) -> None:
        sid, grant_id = membership.sid, membership.grant_id
        topics = [Topic(kind, sid) for kind in (Kind.COMMITS, Kind.DATA, Kind.CHECKPOINTS)]
        topics += [Topic(kind, sid, grant_id) for kind in (Kind.CAPSULE, Kind.REPLAY)]
        wake = self._core.new_wake()
        async with await self._core.transport.subscribe(*topics) as deliveries, asyncio.TaskGroup() as group:
            group.create_task(self._tick(membership, wake))
            arrived: asyncio.Queue[Delivery] = asyncio.Queue(QUEUED)
            group.create_task(self._take(membership, arrived))
            async for delivery in deliveries:
                await arrived.put(delivery)

    @staticmethod
    async def _take(membership: Membership, arrived: asyncio.Queue[Delivery]) -> None:
        """Everything that is there already goes into one transaction."""
        while True:
            batch = [await arrived.get()]
            while len(batch) < QUEUED and not arrived.empty():
                batch.append(arrived.get_nowait())
            await membership.take(batch)

    @staticmethod
    async def _tick(membership: Membership, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            await membership.tick()
            try:
                await asyncio.wait_for(wake.wait(), TICK_S)
            except TimeoutError:
                continue
