"""The facade whole: every call goes to the part that knows, and errors of keys and channels become the node's."""

from __future__ import annotations

from typing import Any

from node.api.curveviews import CurveView
from node.api.forms import (
    ConsentRequestForm,
    EraseForm,
    ErasePastForm,
    ExternalSignature,
    GrantScope,
    PairForm,
    RelayForm,
    RevokeScope,
    TransferForm,
)
from node.api.listing import Page
from node.api.views import (
    ActionView,
    AlarmView,
    ConsentStepView,
    ConsentView,
    ErasureView,
    ExportView,
    MoveView,
    PairingCodeView,
    PairingView,
    PastErasureView,
    ReadinessView,
    ReadingsPage,
    RequestView,
    StatusView,
    StreamView,
    TransactionView,
    TransferView,
    UnsignedView,
)
from node.app.cards import OwnCard
from node.app.facade.consents import Consents
from node.app.facade.health import Health
from node.app.facade.ledger import LedgerPart
from node.app.facade.pairing import PairingPart
from node.app.facade.streams import Streams
from node.app.inbox import Inbox

__all__ = ["NodeFacadeOfApp"]


class NodeFacadeOfApp:
    """Implements `node.api.facade.NodeFacade` by its parts."""

    def __init__(
        self,
        health: Health,
        streams: Streams,
        consents: Consents,
        pairing: PairingPart,
        ledger: LedgerPart,
        inbox: Inbox,
        card: OwnCard,
    ) -> None:
        self._health = health
        self._streams = streams
        self._consents = consents
        self._pairing = pairing
        self._ledger = ledger
        self._inbox = inbox
        self._card = card

    async def status(self) -> StatusView:
        return await self._health.status()

    async def readiness(self) -> ReadinessView:
        return await self._health.readiness()

    async def alarms(self) -> tuple[AlarmView, ...]:
        return await self._health.alarms()

    async def streams(self) -> tuple[StreamView, ...]:
        return await self._streams.streams()

    async def stream(self, sid: bytes) -> StreamView:
        return await self._streams.stream(sid)

    async def readings(
        self, sid: bytes, start: int | None, end: int | None, cursor: str | None, limit: int
    ) -> ReadingsPage:
        return await self._streams.readings(sid, start, end, cursor, limit)

    async def curve(self, sid: bytes, start: int, end: int, step: int) -> CurveView:
        return await self._streams.curve(sid, start, end, step)

    async def erase_past(self, sid: bytes, form: ErasePastForm) -> PastErasureView:
        return await self._streams.erase_past(sid, form)

    async def past_erasure(self, sid: bytes) -> PastErasureView:
        return await self._streams.past_erasure(sid)

    async def export(self, sid: bytes) -> ExportView:
        return await self._streams.export(sid)

    async def requests(self, before: int | None, limit: int) -> Page[RequestView]:
        return await self._consents.requests(before, limit)

    async def request(self, request_id: str) -> RequestView:
        return await self._consents.request(request_id)

    async def request_consent(self, form: ConsentRequestForm) -> RequestView:
        return await self._consents.request_consent(form)

    async def shown(self, request_id: str) -> RequestView:
        return await self._consents.shown(request_id)

    async def grant(self, request_id: str, scope: GrantScope, external: ExternalSignature | None) -> ActionView:
        return await self._consents.grant(request_id, scope, external)

    async def grant_unsigned(self, request_id: str, scope: GrantScope) -> UnsignedView:
        return await self._consents.grant_unsigned(request_id, scope)

    async def deny(self, request_id: str, reason: str) -> RequestView:
        return await self._consents.deny(request_id, reason)

    async def consents(self, before: int | None, limit: int) -> Page[ConsentView]:
        return await self._consents.consents(before, limit)

    async def consent(self, grant_id: bytes) -> ConsentView:
        return await self._consents.consent(grant_id)

    async def consent_life(self, grant_id: bytes) -> tuple[ConsentStepView, ...]:
        return await self._consents.consent_life(grant_id)

    async def revoke(self, grant_id: bytes, scope: RevokeScope, external: ExternalSignature | None) -> ActionView:
        return await self._consents.revoke(grant_id, scope, external)

    async def revoke_unsigned(self, grant_id: bytes, scope: RevokeScope) -> UnsignedView:
        return await self._consents.revoke_unsigned(grant_id, scope)

    async def refresh(self, grant_id: bytes) -> ActionView:
        return await self._consents.refresh(grant_id)

    async def erase(self, grant_id: bytes, form: EraseForm) -> ErasureView:
        return await self._consents.erase(grant_id, form)

    async def erasure(self, grant_id: bytes) -> ErasureView:
        return await self._consents.erasure(grant_id)

    async def pairing_status(self) -> PairingView:
        return await self._pairing.pairing_status()

    async def pair(self, form: PairForm) -> PairingView:
        return await self._pairing.pair(form)

    async def move_gateway(self, form: PairForm) -> PairingView:
        return await self._pairing.move_gateway(form)

    async def rotate_stream(self, sid: bytes) -> MoveView:
        return await self._pairing.rotate_stream(sid)

    async def give_stream(self, sid: bytes, form: TransferForm) -> TransferView:
        return await self._pairing.give_stream(sid, form)

    async def accept_stream(self, sid: bytes) -> TransferView:
        return await self._pairing.accept_stream(sid)

    async def gifts(self) -> tuple[TransferView, ...]:
        return await self._pairing.gifts()

    async def moving(self) -> tuple[MoveView, ...]:
        return await self._pairing.moving()

    async def unpair(self) -> ActionView:
        return await self._pairing.unpair()

    async def new_pairing_code(self) -> PairingCodeView:
        return await self._pairing.new_pairing_code()

    async def pairing_message(self, step: str, body: bytes, peer: str) -> bytes:
        return await self._pairing.pairing_message(step, body, peer)

    async def inbox(self, parcel: bytes, peer: str) -> None:
        await self._inbox.take(parcel, peer)

    async def party_card(self) -> dict[str, Any]:
        return await self._card.signed()

    async def transactions(self) -> tuple[TransactionView, ...]:
        return await self._ledger.transactions()

    async def transaction(self, digest: bytes) -> TransactionView:
        return await self._ledger.transaction(digest)

    async def cancel(self, digest: bytes) -> TransactionView:
        return await self._ledger.cancel(digest)

    async def relay(self, form: RelayForm) -> ActionView:
        return await self._ledger.relay(form)
