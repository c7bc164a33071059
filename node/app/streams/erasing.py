"""Erasure of a consent's data: the reader destroys keys and rows and signs what it did; the owner keeps the receipt.

At the reader it runs in steps that may each be repeated: stop reading, destroy the private keys, then stream by stream
the reader's own key and rows (one transaction, which keeps the counts), write the file anew, sign. A node that was
killed in between goes on at its next start, and the receipt tells the same.
"""

from __future__ import annotations

import structlog

from channels.errors import StoreError
from channels.stores.records import Erased
from keys.messages import parcel_domain
from keys.parcel import Parcel
from node.app.core import Core, canonical
from node.app.inbox import Inbox, Kept
from node.app.services import looped
from node.app.streams.provider import ProviderRole
from node.app.streams.readerkeys import destroy_keys
from node.errors import Conflict, NotFound, Refused
from node.projection.asking import Asking
from node.projection.consent import Consent, ConsentStatus, Terms
from node.projection.erasure import Erasure, ErasureStatus
from node.projection.erasure_events import (
    ReceivedErasureReceipt,
    ReceivedErasureRequest,
    RequestedErasure,
    RequestedErasureReceipt,
)
from node.projection.request import Request
from node.runtime.supervisor import Service
from node.wire.erasure import (
    ErasedStream,
    ErasureReceipt,
    ErasureRequest,
    SignedReceipt,
    read_receipt,
    receipt_statement,
)

__all__ = ["OVER", "Eraser"]

_log = structlog.get_logger(__name__)

OVER = (ConsentStatus.REVOKED, ConsentStatus.ENDED, ConsentStatus.VOIDED)
"""Only what nobody may read any more is erased: what a live consent brings would come back at once."""

EVERY_S = 5.0
AT_ONCE = 20


class Eraser:
    """Both sides. `step` is called by one task."""

    def __init__(self, core: Core, reading: ProviderRole) -> None:
        self._core = core
        self._reading = reading

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("consent.erase", self._take_request)
        inbox.on("consent.erased", self._take_receipt)

    def service(self) -> Service:
        return Service("erasures", looped(self._core.wake_for(Erasure, Consent), self.step, EVERY_S))

    # Asking

    async def ask(self, grant_id: bytes, reason: str) -> Erasure:
        """A person wants it: here, if this node reads under the consent, else at the node that does.

        Returns once it will not be lost. Raises NotFound, Conflict where the consent is not over.
        """
        core = self._core
        views, now = core.storage.views, core.clock.now()
        here = await views.page(Asking, link=("grant", grant_id), limit=1)
        given = await views.page(Request, link=("grant", grant_id), limit=1)
        if not here and not given:
            raise NotFound("There is no consent with this id.", remedy="`wattpact consent list` shows all.")
        if (await views.one(Consent, grant_id)).status not in OVER:
            raise Conflict("The consent is not over.", remedy="Revoke it first: wattpact consent revoke.")
        peer = None if here else given[0][1].peer
        if not here and peer is None:
            raise Conflict("The reader's address is not known.", remedy="Ask it in another way.")
        body = canonical(ErasureRequest(grant_id=grant_id, reason=reason).to_json())
        await core.storage.memory.keep([RequestedErasure(grant_id, peer, body, reason, now)])
        core.wake()
        return await self.of(grant_id)

    async def of(self, grant_id: bytes) -> Erasure:
        """How far it is. Raises NotFound where nobody asked."""
        found = await self._core.storage.views.one(Erasure, grant_id)
        if found.status is ErasureStatus.NONE:
            raise NotFound("Nobody asked to erase the data of this consent.", remedy="wattpact consent erase does.")
        return found

    async def _take_request(self, parcel: Parcel) -> Kept:
        body = ErasureRequest.model_validate(parcel.body)
        rows = await self._core.storage.views.page(Asking, link=("grant", body.grant_id), limit=1)
        if not rows or rows[0][1].party != parcel.sender:
            raise NotFound("No consent of this id was given by you.", field="grant_id")
        return Kept((ReceivedErasureRequest(body.grant_id, body.reason, self._core.clock.now()),))

    async def _take_receipt(self, parcel: Parcel) -> Kept:
        """Kept only if it is what was granted here that was erased, signed by who was granted it."""
        core = self._core
        receipt = read_receipt(parcel.body, parcel.sender)
        rows = await core.storage.views.page(Request, link=("grant", receipt.grant_id), limit=1)
        terms = (await core.storage.views.one(Consent, receipt.grant_id)).terms
        asked = rows[0][1].peer if rows else None
        if asked is None or asked.address != parcel.sender or terms is None:
            raise NotFound("No consent of this id was given to you.", field="grant_id")
        told = (receipt.owner, receipt.reader, receipt.text_hash, {stream.sid for stream in receipt.streams})
        place = (receipt.chain_id, receipt.registry)
        if told != (terms.owner, terms.reader, terms.text_hash, set(terms.sids)) or place != self._place():
            raise Refused("The receipt is about another consent than was given.", field="receipt")
        text = canonical(SignedReceipt.model_validate(parcel.body).to_json())
        return Kept((ReceivedErasureReceipt(receipt.grant_id, text, core.clock.now()),))

    # Carrying out

    async def step(self) -> bool:
        """Erases what is due; what cannot be yet (the chain has not told of the end, the store is busy) waits."""
        for _, erasure in await self._core.storage.views.page(Erasure, status=ErasureStatus.DUE.value, limit=AT_ONCE):
            consent = await self._core.storage.views.one(Consent, erasure.grant_id)
            if consent.status not in OVER or consent.terms is None:
                continue
            try:
                await self._erase(erasure, consent.terms)
            except StoreError as error:
                _log.warning("erasure_put_off", grant=erasure.grant_id.hex()[:16], reason=str(error))
        return False

    async def _erase(self, erasure: Erasure, terms: Terms) -> None:
        core, grant_id = self._core, erasure.grant_id
        store, now = core.storage.channels, core.clock.now()
        await self._reading.close(grant_id)
        asked = await core.storage.views.page(Asking, link=("grant", grant_id), limit=1)
        for _, asking in asked:
            destroy_keys(core.keys.keystore, asking.request_id)
        erased = [await store.erase_reader(sid, grant_id, grant_id, now) for sid in terms.sids]
        await store.scrub()
        receipt = self._receipt(erasure, terms, erased)
        signature = await core.signer.sign_message(receipt_statement(receipt), parcel_domain(receipt.chain_id))
        text = canonical(SignedReceipt(receipt=receipt, signature=signature).to_json())
        peer = asked[0][1].peer if asked else None
        await core.storage.memory.keep([RequestedErasureReceipt(grant_id, text, peer, core.clock.now())])
        core.wake()
        _log.info("consent_erased", grant=grant_id.hex()[:16], readings=sum(each.readings for each in erased))

    def _receipt(self, erasure: Erasure, terms: Terms, erased: list[Erased]) -> ErasureReceipt:
        chain_id, registry = self._place()
        return ErasureReceipt(
            grant_id=erasure.grant_id,
            chain_id=chain_id,
            registry=registry,
            owner=terms.owner,
            reader=terms.reader,
            account=self._core.signer.address,
            requested_by="owner" if erasure.by_owner else "reader",
            reason=erasure.reason,
            requested_at=erasure.asked_at,
            erased_at=max(each.at for each in erased),
            reader_key_hash=terms.reader_key_hash,
            text_hash=terms.text_hash,
            streams=tuple(_stream(sid, each) for sid, each in zip(terms.sids, erased, strict=True)),
        )

    def _place(self) -> tuple[int, bytes]:
        return self._core.settings.chain.chain_id, self._core.registry


def _stream(sid: bytes, erased: Erased) -> ErasedStream:
    return ErasedStream(
        sid=sid,
        readings=erased.readings,
        envelopes=erased.envelopes,
        checkpoints=erased.checkpoints,
        capsules=erased.capsules,
        alarms=erased.alarms,
        epoch=erased.epoch,
        commit_hash=erased.commit_hash,
    )
