"""Requests and consents as the REST interface shows them, on both sides."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Literal

from node.api.forms import ConsentRequestForm, EraseForm, ExternalSignature, GrantScope, RevokeScope
from node.api.listing import Page
from node.api.views import (
    ActionView,
    ConsentStepView,
    ConsentStreamView,
    ConsentView,
    ErasureView,
    PartyView,
    RequestedStreamView,
    RequestView,
    UnsignedView,
)
from node.app.core import Core
from node.app.facade.consentlife import delivered, life_of
from node.app.streams.domains import verdict_on
from node.app.streams.erasing import Eraser
from node.app.streams.home import HomeRole
from node.app.streams.provider import ProviderRole
from node.app.streams.refreshing import KeyRefresher
from node.errors import NotFound, Refused
from node.projection.asking import Asking, AskingStatus
from node.projection.consent import Consent, ConsentStatus
from node.projection.erasure import Erasure, ErasureStatus
from node.projection.request import Request, RequestStatus
from node.projection.stream import Stream
from node.types import OPEN_END, from_hex, to_hex
from node.wire.consents import ConsentGranted, ConsentRequest, PartyCard

__all__ = ["Consents"]

ConsentState = Literal["pending", "live", "revoked", "expired"]
RequestState = Literal["requested", "granted", "denied", "expired", "failed"]

CONSENT_STATES: dict[ConsentStatus, ConsentState] = {
    ConsentStatus.NONE: "pending",
    ConsentStatus.SEEN: "pending",
    ConsentStatus.LIVE: "live",
    ConsentStatus.REVOKED: "revoked",
    ConsentStatus.VOIDED: "revoked",
    ConsentStatus.ENDED: "expired",
}
REQUEST_STATES: dict[RequestStatus, RequestState] = {
    RequestStatus.RECEIVED: "requested",
    RequestStatus.SHOWN: "requested",
    RequestStatus.GRANTED: "granted",
    RequestStatus.DENIED: "denied",
    RequestStatus.EXPIRED: "expired",
}
ASKING_STATES: dict[AskingStatus, RequestState] = {
    AskingStatus.ASKED: "requested",
    AskingStatus.GRANTED: "granted",
    AskingStatus.DENIED: "denied",
    AskingStatus.EXPIRED: "expired",
}
ERASURE_STATES: dict[ErasureStatus, Literal["asked", "due", "done"]] = {
    ErasureStatus.ASKED: "asked",
    ErasureStatus.DUE: "due",
    ErasureStatus.DONE: "done",
}
MANY = 1_000


class Consents:
    """Implements the consent part of the facade; a role that this node lacks refuses."""

    def __init__(
        self,
        core: Core,
        home: HomeRole | None,
        provider: ProviderRole | None,
        refresher: KeyRefresher,
        eraser: Eraser,
    ) -> None:
        self._core = core
        self._refresher = refresher
        self._eraser = eraser
        self._home = home
        self._provider = provider

    def _as_home(self) -> HomeRole:
        if self._home is None:
            raise Refused("This node is no home.", remedy="Add home to node.roles, or ask the household's node.")
        return self._home

    def _as_provider(self) -> ProviderRole:
        if self._provider is None:
            raise Refused("This node is no provider.", remedy="Add provider to node.roles.")
        return self._provider

    async def requests(self, before: int | None, limit: int) -> Page[RequestView]:
        """Received and sent ones, newest first."""
        views = self._core.storage.views
        found: list[tuple[int, Request | Asking]] = [
            *await views.page(Request, before=before, limit=limit + 1),
            *await views.page(Asking, before=before, limit=limit + 1),
        ]
        found.sort(key=lambda row: -row[0])
        items = [
            await (self._received(state) if isinstance(state, Request) else self._sent(state))
            for _, state in found[:limit]
        ]
        return Page(items=tuple(items), next=found[limit - 1][0] if len(found) > limit else None)

    async def request(self, request_id: str) -> RequestView:
        """By id, on whichever side it is."""
        key = _id(request_id)
        received = await self._core.storage.views.one(Request, key)
        if received.status is not RequestStatus.NONE:
            return await self._received(received)
        sent = await self._core.storage.views.one(Asking, key)
        if sent.status is not AskingStatus.NONE:
            return await self._sent(sent)
        raise NotFound("There is no request with this id.", remedy="`wattpact consent list` shows all.")

    async def _received(self, state: Request) -> RequestView:
        body = ConsentRequest.model_validate_json(state.body)
        status = state.outcome or state.status
        return _request_view(
            body,
            "received",
            REQUEST_STATES.get(status, "failed"),
            await self._party(body.card),
            (state.received_at, state.grant_id, state.reason),
        )

    async def _party(self, card: PartyCard) -> PartyView:
        """What the card says, and what this node found out about it."""
        verdict = await verdict_on(self._core.storage.memory.facts, card)
        return PartyView(
            name=card.name,
            address=card.address,
            domain=card.domain or None,
            domain_verified=verdict.verified,
            domain_reason=verdict.reason or None,
            domain_checked_at=verdict.at,
            contact=card.contact or None,
            policy_url=card.policy_url or None,
        )

    async def _sent(self, state: Asking) -> RequestView:
        body = ConsentRequest.model_validate_json(state.body)
        name = await self._as_provider().party_name(state) if self._provider else "household"
        party = state.party or (state.peer.address if state.peer else bytes(20))
        return _request_view(
            body,
            "sent",
            ASKING_STATES.get(state.status, "failed"),
            PartyView(name=name, address=party),
            (state.asked_at, state.grant_id, state.reason),
        )

    async def request_consent(self, form: ConsentRequestForm) -> RequestView:
        return await self._sent(await self._as_provider().ask(form))

    async def shown(self, request_id: str) -> RequestView:
        await self._as_home().shown(_id(request_id))
        return await self.request(request_id)

    async def grant(self, request_id: str, scope: GrantScope, external: ExternalSignature | None) -> ActionView:
        grant_id = await self._as_home().grant(_id(request_id), scope, external)
        return ActionView(state="queued", digest=grant_id, transaction=to_hex(grant_id))

    async def grant_unsigned(self, request_id: str, scope: GrantScope) -> UnsignedView:
        prepared = await self._as_home().prepare_unsigned(_id(request_id), scope)
        return UnsignedView(typed_data=prepared.typed_data, digest=prepared.digest, expires_at=prepared.expires_at)

    async def deny(self, request_id: str, reason: str) -> RequestView:
        await self._as_home().deny(_id(request_id), reason)
        return await self.request(request_id)

    async def revoke(self, grant_id: bytes, scope: RevokeScope, external: ExternalSignature | None) -> ActionView:
        await self._known(grant_id)
        signature = bytes(external.signature) if external is not None else None
        if self._home is not None:
            digest = await self._home.revoke(grant_id, scope.sid, signature)
        else:
            digest = await self._as_provider().revoke(grant_id, scope.sid, signature)
        return ActionView(state="queued", digest=digest, transaction=to_hex(digest))

    async def refresh(self, grant_id: bytes) -> ActionView:
        self._as_provider()
        digest = await self._refresher.refresh(grant_id)
        return ActionView(state="queued", digest=digest, transaction=to_hex(digest))

    async def erase(self, grant_id: bytes, form: EraseForm) -> ErasureView:
        return _erasure_view(await self._eraser.ask(grant_id, form.reason))

    async def erasure(self, grant_id: bytes) -> ErasureView:
        return _erasure_view(await self._eraser.of(grant_id))

    async def _known(self, grant_id: bytes) -> None:
        """Raises NotFound. What was granted a moment ago may be revoked before the chain has it: that voids it."""
        if not await self._core.storage.views.page(Request, link=("grant", grant_id), limit=1):
            await self.consent(grant_id)

    async def revoke_unsigned(self, grant_id: bytes, scope: RevokeScope) -> UnsignedView:
        await self._known(grant_id)
        prepared = self._as_home().revoke_unsigned(grant_id, scope.sid)
        return UnsignedView(typed_data=prepared.typed_data, digest=prepared.digest, expires_at=prepared.expires_at)

    async def consents(self, before: int | None, limit: int) -> Page[ConsentView]:
        """Grants that this node's person gave, or that were given to this node, newest first."""
        found: list[tuple[int, ConsentView]] = []
        async for each in self._own_consents(before):
            if len(found) == limit:
                return Page(items=tuple(view for _, view in found), next=found[-1][0])
            found.append(each)
        return Page(items=tuple(view for _, view in found))

    async def _own_consents(self, before: int | None) -> AsyncIterator[tuple[int, ConsentView]]:
        """By the number of the grant that was given, or of the request that was granted. The chain has many more, which
        are never looked at."""
        views = self._core.storage.views
        owner = self._home.owner.address if self._home is not None else None
        while True:
            given = await views.page(Consent, link=("owner", owner), before=before, limit=MANY) if owner else []
            asked = await views.page(Asking, before=before, limit=MANY)
            # Below the last one of a whole page there may be others of its kind.
            floor = max((rows[-1][0] for rows in (given, asked) if len(rows) == MANY), default=0)
            numbered: list[tuple[int, Consent | Asking]] = [*given, *asked]
            for number, state in sorted(numbered, key=lambda row: -row[0]):
                if number < floor:
                    break
                consent = state if isinstance(state, Consent) else await self._received_for(state, owner)
                view = await self._consent_view(consent) if consent is not None else None
                if view is not None:
                    yield number, view
            if not floor:
                return
            before = floor

    async def _received_for(self, asking: Asking, owner: bytes | None) -> Consent | None:
        """What a request of this node came to; None while nothing did, and for one that this node gave itself."""
        if asking.grant_id is None:
            return None
        consent = await self._core.storage.views.one(Consent, asking.grant_id)
        return None if consent.terms is not None and consent.terms.owner == owner else consent

    async def consent(self, grant_id: bytes) -> ConsentView:
        """With what its reader got so far."""
        state = await self._core.storage.views.one(Consent, grant_id)
        view = await self._consent_view(state)
        if view is None:
            raise NotFound("There is no consent with this id.", remedy="`wattpact consent list` shows all.")
        streams = await delivered(self._core, state, view.streams, given=view.direction == "given")
        return view.model_copy(update={"streams": streams})

    async def consent_life(self, grant_id: bytes) -> tuple[ConsentStepView, ...]:
        """From the request on."""
        await self._known(grant_id)
        return await life_of(self._core, grant_id)

    async def _consent_view(self, state: Consent) -> ConsentView | None:
        if state.terms is None:
            return None
        terms = state.terms
        views = self._core.storage.views
        given = self._home is not None and terms.owner == self._home.owner.address
        request: ConsentRequest | None = None
        text: str | None = None
        rows = await views.page(Request, link=("grant", state.grant_id), limit=1) if given else []
        if rows:
            request = ConsentRequest.model_validate_json(rows[0][1].body)
            text = await self._as_home().text_of(state.grant_id)
        asked = [] if given else await views.page(Asking, link=("grant", state.grant_id), limit=1)
        if asked:
            request = ConsentRequest.model_validate_json(asked[0][1].body)
            text = ConsentGranted.model_validate_json(asked[0][1].answer).text
        if not given and not asked:
            return None
        streams = [await self._stream(state, sid) for sid in terms.sids]
        return ConsentView(
            grant_id=state.grant_id,
            direction="given" if given else "received",
            state=CONSENT_STATES[state.status],
            final=state.status is not ConsentStatus.SEEN,
            owner=terms.owner,
            reader=terms.reader,
            party=await self._other_side(request, terms.owner, given),
            request_id=to_hex(request.request_id) if request else None,
            purpose=request.purpose if request else None,
            purpose_tag=terms.purpose_tag,
            streams=tuple(streams),
            start=terms.start,
            end=None if terms.end == OPEN_END else terms.end,
            text=text,
            text_hash=terms.text_hash,
        )

    async def _other_side(self, request: ConsentRequest | None, owner: bytes, given: bool) -> PartyView | None:
        """Who reads, or whose data it is."""
        if given:
            return await self._party(request.card) if request else None
        name = await self._provider.household_name(owner) if self._provider else None
        return PartyView(name=name, address=owner) if name else None

    async def _stream(self, state: Consent, sid: bytes) -> ConsentStreamView:
        stream = await self._core.storage.views.one(Stream, sid)
        status = CONSENT_STATES[state.status]
        if sid not in state.open_sids and status in ("pending", "live"):
            status = "revoked"
        first = end = slot = genesis = None
        if stream.registration and state.terms is not None:
            facts = stream.registration[-1]
            slot, genesis = facts.slot_seconds, facts.genesis
            first = max(0, -((facts.genesis - state.terms.start) // facts.slot_seconds))
            if state.terms.end != OPEN_END:
                end = max(0, (state.terms.end - facts.genesis) // facts.slot_seconds)
        return ConsentStreamView(
            sid=sid,
            name=await self._name(sid),
            state=status,
            first_slot=first,
            end_slot=end,
            slot_seconds=slot,
            genesis=genesis,
        )

    async def _name(self, sid: bytes) -> str | None:
        if self._home is not None:
            offer = (await self._home.streams()).get(sid)
            return offer.category if offer else None
        return await self._as_provider().category(sid) if self._provider else None


def _erasure_view(state: Erasure) -> ErasureView:
    return ErasureView(
        grant_id=state.grant_id,
        state=ERASURE_STATES[state.status],
        requested_by="owner" if state.by_owner else "reader",
        reason=state.reason,
        asked_at=state.asked_at or None,
        done_at=state.done_at,
        receipt=json.loads(state.receipt) if state.receipt else None,
    )


def _id(text: str) -> bytes:
    try:
        return from_hex(text, 32)
    except ValueError:
        raise NotFound("This is no id of a request.", remedy="`wattpact consent list` shows all.") from None


def _request_view(
    body: ConsentRequest,
    direction: Literal["received", "sent"],
    state: RequestState,
    party: PartyView,
    fate: tuple[int, bytes | None, str],
) -> RequestView:
    created, grant_id, reason = fate
    return RequestView(
        id=to_hex(body.request_id),
        direction=direction,
        state=state,
        party=party,
        purpose=body.purpose,
        purpose_tag=body.purpose_tag,
        streams=tuple(RequestedStreamView(name=name) for name in body.streams),
        start=body.start,
        end=None if body.end == OPEN_END else body.end,
        created_at=created,
        expires_at=body.expires,
        grant_id=grant_id,
        reason=reason or None,
    )
