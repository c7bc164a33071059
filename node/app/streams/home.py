"""The home role: takes requests and stream offers in, signs grants and revocations, and tells gateway and provider."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from keys.errors import KeysError
from keys.messages import Grant, Message, RegisterStream, UnpairDevice, digest, from_typed_data, typed_data, verify
from keys.parcel import Parcel
from node.api.forms import ExternalSignature, GrantScope
from node.app.core import Core, canonical, peer_of
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.streams.nonces import next_nonce
from node.app.streams.places import Places
from node.app.streams.streamspec import check_stream_key, stream_id
from node.app.streams.unpairing import OFFERED_BY, PUT_OUT, is_given_up
from node.app.submissions import Submissions, said_by, submission_of
from node.errors import Conflict, InvalidInput, NotFound, Refused
from node.projection.base import Peer
from node.projection.device import Device, DeviceStatus
from node.projection.effects import SubmitMessage
from node.projection.events import (
    ReceivedConsentRequest,
    ReceivedRevocation,
    RequestedConsentDenial,
    RequestedConsentGrant,
    RequestedConsentView,
)
from node.projection.request import Request, RequestStatus
from node.projection.stream import Stream
from node.runtime.executor import Handlers
from node.services.consent.rules import OwnedStream, Wish, build_grant, build_revoke, choose_scope
from node.services.consent.text import consent_text
from node.wire.consents import ConsentDenied, ConsentGranted, ConsentRequest, ConsentRevoked, GrantFields, StreamAccess
from node.wire.streams import GrantForWriter, OwnerKey, StreamOffer

__all__ = ["MOVES", "OWN_STREAM", "PREPARED", "HomeRole"]

OWN_STREAM = "own_stream"
"""Namespace of facts: the accepted offer of a stream of this household, by stream id."""

PREPARED = "prepared_grant"
"""Namespace of facts: what an external wallet was asked to sign, by request id."""

MOVES = "gateway_move"
"""Namespace of facts: the device hash of the former gateway, by that of the one that takes its streams over."""

TEXTS = "consent_text"
"""Namespace of facts: the accepted text, by grant id."""

STANDING = (DeviceStatus.KNOWN, DeviceStatus.SEEN, DeviceStatus.PAIRED)
"""How far a pairing has come, the furthest last."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """EIP-712 JSON for a wallet, the digest that it signs, and until when the signature is of use."""

    typed_data: dict[str, Any]
    digest: bytes
    expires_at: int


class HomeRole:
    """Everything that the household decides passes here; each decision is one transaction."""

    def __init__(self, core: Core, post: Post, submissions: Submissions) -> None:
        self._core = core
        self._post = post
        self._submissions = submissions
        self.owner = core.keys.identity.wallet()
        self.places = Places(core, self.gateway_peer)

    def register(self, handlers: Handlers, inbox: Inbox) -> None:
        """What this role carries out and takes in."""
        handlers.on(SubmitMessage, self._submit)
        inbox.on("consent.request", self._take_request)
        inbox.on("stream.offer", self._take_offer)

    async def _submit(self, effect: SubmitMessage) -> None:
        """To the chain and, where it must act before the chain, straight to the gateway; neither waits."""
        if await is_given_up(self._core, effect):
            await self._submissions.give_up(effect, "its gateway was unpaired")
            return
        results = await asyncio.gather(
            self._submissions.submit(effect), self._hand_over(effect), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _hand_over(self, effect: SubmitMessage) -> None:
        if effect.kind not in ("Grant", "Revoke", "RegisterStream"):
            return
        submission, (message, _, _) = await said_by(self._core, effect.digest)
        peers = await self.places.concerned(message)
        if effect.kind == "Grant":
            key = await self._reader_key(effect.digest)
            if key is not None and isinstance(message, Grant):
                body = GrantForWriter(
                    grant_id=effect.digest, grant=fields_of(message), reader_key=key, signature=submission.signatures[0]
                )
                await self.places.send(self._post, peers, "stream.grant", body.to_json())
        elif effect.kind == "Revoke":
            revoked = ConsentRevoked(
                account=getattr(message, "account", b""),
                grant_id=getattr(message, "grant_id", b""),
                sid=getattr(message, "sid", b""),
                signature=submission.signatures[0],
            )
            await self.places.send(self._post, peers, "consent.revoked", revoked.to_json())
        elif isinstance(message, RegisterStream):
            sid = stream_id(self._core.chain.domain, message.owner, message.name_hash)
            key = self._core.keys.identity.sealing_key(f"own-stream/{sid.hex()}").public_bytes
            told = OwnerKey(sid=sid, owner_key=key).to_json()
            await self.places.send(self._post, peers, "stream.owner_key", told)

    async def gateway(self) -> Device | None:
        """The paired gateway of this household; one that is not final yet counts, so that it can be told of."""
        # One question: asked status by status, a device that moves on in between would be missed.
        rows = await self._core.storage.views.page(Device, link=("owner", self.owner.address), limit=1_000)
        met = [device for _, device in rows if device.local is not None and device.status in STANDING]
        # While streams move there are two: the newest pairing counts once it is final.
        return max(met, key=lambda d: (STANDING.index(d.status), d.local.at if d.local else 0), default=None)

    async def device_of(self, address: bytes) -> Device | None:
        """The standing pairing of a device, whether it is the gateway of today or the one that streams move to."""
        rows = await self._core.storage.views.page(Device, link=("owner", self.owner.address), limit=1_000)
        found = [device for _, device in rows if device.device == address and device.status in STANDING]
        return next((device for device in found if device.local is not None), None)

    async def gateway_peer(self) -> Peer | None:
        """Where the gateway takes parcels."""
        device = await self.gateway()
        return device.local.peer if device is not None and device.local is not None else None

    async def _reader_key(self, grant_id: bytes) -> bytes | None:
        rows = await self._core.storage.views.page(Request, link=("grant", grant_id), limit=1)
        return ConsentRequest.model_validate_json(rows[0][1].body).reader_key if rows else None

    # Parcels

    async def _take_request(self, parcel: Parcel) -> Kept:
        body = ConsentRequest.model_validate(parcel.body)
        if parcel.sender != body.card.address:
            raise Refused("The request shows another party's card.", field="card.address")
        now = self._core.clock.now()
        event = ReceivedConsentRequest(
            body.request_id, peer_of(body.card), canonical(body.to_json()), body.expires, now
        )
        return Kept((event,))

    async def _take_offer(self, parcel: Parcel) -> Kept:
        """The paired gateway offers a stream: its owner signs the registration and keeps name and salt."""
        device = await self.device_of(parcel.sender)
        if device is None:
            raise Refused("Only the paired gateway may offer streams.", remedy="Pair with it first.")
        offer = StreamOffer.model_validate(parcel.body)
        check_stream_key(offer.stream_key, (offer.stream_key_hash,))
        names = {sid: stream.category for sid, stream in (await self.streams()).items()}
        given = await self.places.given_with(device.device, names, offer.category)
        if given is not None:  # the gateway came with the stream: it goes on, now for us
            return Kept((), tuple(await self.places.begins(given, device.device_hash)))
        moves = await self._core.storage.memory.facts.get(MOVES, device.device_hash.hex()) is not None
        if moves and offer.category in names.values():
            return Kept()  # it takes that stream over, so there is none to register
        domain = self._core.chain.domain
        name_hash = bytes(keccak(offer.salt + offer.category.encode()))
        message = RegisterStream(
            owner=self.owner.address,
            name_hash=name_hash,
            writer=offer.writer,
            stream_key_hash=offer.stream_key_hash,
            genesis=offer.genesis,
            slot_seconds=offer.slot_seconds,
            nonce=int(offer.nonce),
            deadline=offer.deadline,
        )
        try:
            verify(message, domain, offer.writer_signature, offer.writer)
        except KeysError as error:
            raise Refused("The offer is not signed by its writer.", field="writer_signature") from error
        signature = await self.owner.sign_message(message, domain)
        sid = stream_id(domain, self.owner.address, name_hash)
        wish = submission_of(self._core, message, [signature, offer.writer_signature])
        by = (OFFERED_BY, sid.hex(), device.device_hash.hex())
        return Kept((wish,), ((OWN_STREAM, sid.hex(), offer.to_json()), by))

    # Decisions

    async def streams(self) -> dict[bytes, StreamOffer]:
        """This household's streams by id, as their gateway offered them."""
        found = await self._core.storage.memory.facts.all(OWN_STREAM)
        return {bytes.fromhex(sid): StreamOffer.model_validate(body) for sid, body in found.items()}

    async def living(self) -> dict[bytes, StreamOffer]:
        """Those that can be granted: not the ones that an unpairing left without a writer, whose names go on in the
        streams of the next pairing, nor the ones that were given away. One that is not on chain yet counts; those that
        are come last."""
        found = await self.streams()
        on_chain = {sid: await self._core.storage.views.one(Stream, sid) for sid in found}
        mine = (bytes(20), self.owner.address)
        own = {sid: stream for sid, stream in on_chain.items() if stream.owner in mine}
        alive = [sid for sid, stream in own.items() if not stream.registration or any(stream.writer)]
        return {sid: found[sid] for sid in sorted(alive, key=lambda sid: bool(on_chain[sid].registration))}

    async def request(self, request_id: bytes) -> tuple[Request, ConsentRequest]:
        """An open or answered request. Raises NotFound."""
        found = await self._core.storage.views.one(Request, request_id)
        if found.status is RequestStatus.NONE:
            raise NotFound("There is no request with this id.", remedy="`wattpact consent list` shows all.")
        return found, ConsentRequest.model_validate_json(found.body)

    async def shown(self, request_id: bytes) -> None:
        """A person has it before them; noted once, and not of one that is answered. Raises NotFound."""
        if (await self.request(request_id))[0].status is RequestStatus.RECEIVED:
            await self._core.storage.memory.keep([RequestedConsentView(request_id, self._core.clock.now())])

    async def prepare(self, request_id: bytes, scope: GrantScope) -> tuple[Grant, str]:
        """The Grant to sign and the text that it accepts; remembered until it is signed or prepared anew."""
        found, request = await self.request(request_id)
        if found.status not in (RequestStatus.RECEIVED, RequestStatus.SHOWN):
            raise Conflict(f"The request is {found.status.value} already.")
        now = self._core.clock.now()
        offers = await self.living()
        owned = await self.places.owned(offers, scope.streams or ())
        names = _names(scope.streams, owned)
        chosen = choose_scope(request, Wish(names, scope.start, scope.end), owned, now)
        slots = {stream.category: stream.slot_seconds for stream in owned}
        text = consent_text(request, chosen, secrets.token_bytes(32), slots)
        by_name = {stream.category: stream.sid for stream in owned}
        sids = [by_name[name] for name in chosen.streams]
        nonce = await next_nonce(self._core.storage.memory)
        grant = build_grant(self.owner.address, request, chosen, sids, text, nonce, now)
        kept = {"typed": typed_data(grant, self._core.chain.domain), "text": text.canonical}
        await self._core.storage.memory.facts.set(PREPARED, request_id.hex(), kept)
        return grant, text.canonical

    async def prepare_unsigned(self, request_id: bytes, scope: GrantScope) -> Unsigned:
        """What a wallet is asked to sign."""
        grant, _ = await self.prepare(request_id, scope)
        return self._unsigned(grant, grant.deadline)

    def revoke_unsigned(self, grant_id: bytes, sid: bytes | None) -> Unsigned:
        """As `prepare_unsigned`; a Revoke has no deadline and never runs out."""
        return self._unsigned(build_revoke(self.owner.address, grant_id, sid), 2**40 - 1)

    def _unsigned(self, message: Message, expires_at: int) -> Unsigned:
        domain = self._core.chain.domain
        return Unsigned(typed_data(message, domain), digest(message, domain), expires_at)

    async def text_of(self, grant_id: bytes) -> str | None:
        """The accepted text of a grant that this household signed."""
        found: str | None = await self._core.storage.memory.facts.get(TEXTS, grant_id.hex())
        return found

    async def grant(self, request_id: bytes, scope: GrantScope, external: ExternalSignature | None) -> bytes:
        """Signs, or takes a wallet's signature, and sends the Grant on its way. Returns the grant id."""
        core = self._core
        if external is None:
            grant, text = await self.prepare(request_id, scope)
            signature = await self.owner.sign_message(grant, core.chain.domain)
        else:
            grant, text, signature = await self._signed_outside(request_id, external)
        grant_id = digest(grant, core.chain.domain)
        offers = await self.streams()
        broker = str(core.settings.broker.url)
        streams = tuple(_access(sid, offers[sid], broker) for sid in grant.sids)
        answer = ConsentGranted(
            request_id=request_id,
            grant_id=grant_id,
            grant=fields_of(grant),
            signature=signature,
            streams=streams,
            text=text,
        )
        now = core.clock.now()
        decided = RequestedConsentGrant(request_id, grant_id, canonical(answer.to_json()), now)
        events = [decided, submission_of(core, grant, [signature])]
        await core.storage.memory.keep(events, [(TEXTS, grant_id.hex(), text)])
        await core.storage.memory.facts.set(PREPARED, request_id.hex(), None)
        core.wake()
        return grant_id

    async def _signed_outside(self, request_id: bytes, external: ExternalSignature) -> tuple[Grant, str, bytes]:
        kept = await self._core.storage.memory.facts.get(PREPARED, request_id.hex())
        if kept is None:
            raise Conflict(
                "Nothing was prepared for this request.", remedy="Run `wattpact consent grant --unsigned` first."
            )
        if external.typed_data is not None and canonical(external.typed_data) != canonical(kept["typed"]):
            raise InvalidInput(
                "The signed data is not what this node prepared last.",
                field="typed_data",
                remedy="Sign the newest output of `wattpact consent grant --unsigned`.",
            )
        message, _ = from_typed_data(kept["typed"])
        if not isinstance(message, Grant):
            raise InvalidInput("The prepared message is no Grant.", field="typed_data")
        signature = bytes(external.signature)
        self.check_owner(message, signature)
        return message, str(kept["text"]), signature

    def check_owner(self, message: Message, signature: bytes) -> None:
        """Raises InvalidInput unless the household's own account signed."""
        try:
            verify(message, self._core.chain.domain, signature, self.owner.address)
        except KeysError as error:
            raise InvalidInput(
                f"The signature is not by 0x{self.owner.address.hex()}: {error}.",
                field="signature",
                remedy="Sign with the account that owns the streams.",
            ) from error

    async def deny(self, request_id: bytes, reason: str) -> None:
        """A no, with the reason the person chose to give."""
        await self.request(request_id)
        answer = canonical(ConsentDenied(request_id=request_id, reason=reason).to_json())
        event = RequestedConsentDenial(request_id, reason, answer, self._core.clock.now())
        await self._core.storage.memory.keep([event])
        self._core.wake()

    async def revoke(self, grant_id: bytes, sid: bytes | None, signature: bytes | None) -> bytes:
        """Final, and at work before the chain has it. Returns the digest of the Revoke."""
        core = self._core
        message = build_revoke(self.owner.address, grant_id, sid)
        if signature is None:
            signature = await self.owner.sign_message(message, core.chain.domain)
        else:
            self.check_owner(message, signature)
        seen = ReceivedRevocation(grant_id, message.account, message.sid, core.clock.now())
        await core.storage.memory.keep([submission_of(core, message, [signature]), seen])
        core.wake()
        return digest(message, core.chain.domain)

    async def unpair(self) -> bytes:
        """Signed by the owner alone: the gateway is out at once, whether it answers or not."""
        core = self._core
        device = await self.gateway()
        if device is None or device.status is DeviceStatus.KNOWN:
            raise Conflict("No gateway is paired with this household.")
        # The registry refuses the whole message for one stream that is not there; the ended ones have nothing to lose.
        own = await self.places.own(await self.living())
        written = [sid for sid in own if (await core.storage.views.one(Stream, sid)).registration]
        message = UnpairDevice(
            account=self.owner.address,
            device_hash=device.device_hash,
            sids=tuple(written),
            nonce=await next_nonce(core.storage.memory),
            deadline=core.clock.now() + 24 * 3600,
        )
        signature = await self.owner.sign_message(message, core.chain.domain)
        out = (PUT_OUT, device.device_hash.hex(), True)
        await core.storage.memory.keep([submission_of(core, message, [signature])], [out])
        core.wake()
        return digest(message, core.chain.domain)


def fields_of(grant: Grant) -> GrantFields:
    """The Grant as a message body."""
    return GrantFields(
        owner=grant.owner,
        reader=grant.reader,
        reader_key_hash=grant.reader_key_hash,
        sids=grant.sids,
        start=grant.start,
        end=grant.end,
        purpose_tag=grant.purpose_tag,
        text_hash=grant.text_hash,
        nonce=str(grant.nonce),
        deadline=grant.deadline,
    )


def _names(chosen: tuple[str, ...] | None, owned: list[OwnedStream]) -> tuple[str, ...] | None:
    """Streams may be named by category or by id."""
    if chosen is None:
        return None
    by_sid = {"0x" + stream.sid.hex(): stream.category for stream in owned}
    return tuple(by_sid.get(name.lower(), name) for name in chosen)


def _access(sid: bytes, offer: StreamOffer, broker: str) -> StreamAccess:
    return StreamAccess(
        sid=sid,
        category=offer.category,
        genesis=offer.genesis,
        slot_seconds=offer.slot_seconds,
        writer=offer.writer,
        stream_key=offer.stream_key,
        broker_url=broker,
        signed_envelopes=offer.signed_envelopes,
    )
