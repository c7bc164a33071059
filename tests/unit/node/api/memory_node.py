"""A node in memory: every protocol of the facade, with enough state to see what the interface did to it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from node.api.curveviews import CurveStepView, CurveView, QuantityView
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
    BrokerView,
    ChainView,
    CheckView,
    ConsentStepView,
    ConsentStreamView,
    ConsentView,
    ErasureView,
    ExportView,
    MoveView,
    PairingCodeView,
    PairingView,
    PartyView,
    PastErasureView,
    ReadinessView,
    ReadingsPage,
    ReadingView,
    RequestedStreamView,
    RequestView,
    RetentionView,
    StatusView,
    StreamView,
    TransactionView,
    TransferView,
    UnsignedView,
)
from node.errors import Conflict, Gone, NodeError, NotFound, Refused

OWNER, READER, WRITER, REGISTRY = (bytes([n]) * 20 for n in (0x11, 0x22, 0x33, 0x44))
SID, GRANT = bytes.fromhex("aa" * 32), bytes.fromhex("cc" * 32)
NOW = 1_790_000_000


def party(name: str = "Heat pump advice") -> PartyView:
    return PartyView(name=name, address=READER, domain="advice.example", domain_verified=True, contact="a@example")


def request(identifier: str, name: str = "Heat pump advice") -> RequestView:
    return RequestView(
        id=identifier,
        direction="received",
        state="requested",
        party=party(name),
        purpose="Advice",
        purpose_tag=1,
        streams=(RequestedStreamView(name="electricity/15min", sid=SID),),
        start=NOW,
        created_at=NOW,
        expires_at=NOW + 600,
    )


class MemoryNode:
    """Implements NodeFacade. `broken` makes the next call raise something that is no NodeError: a defect of ours."""

    def __init__(self) -> None:
        self.checks: tuple[CheckView, ...] = (CheckView(name="chain", ok=True, detail="head 2 s old"),)
        self.failure: NodeError | None = None
        self.broken = False
        self.found = {"req-1": request("req-1")}
        self.granted: list[tuple[str, GrantScope, ExternalSignature | None]] = []
        self.moved: list[str] = []
        self.past: PastErasureView | None = None
        self.given: TransferView | None = None
        self.refreshed: list[bytes] = []
        self.erased: dict[bytes, str] = {}
        self.revoked: list[tuple[bytes, RevokeScope, ExternalSignature | None]] = []
        self.parcels: list[tuple[bytes, str]] = []
        self.steps: list[tuple[str, bytes, str]] = []
        self.relayed: list[RelayForm] = []
        self.cancelled: list[bytes] = []
        self.asked: list[ConsentRequestForm] = []
        self.paired = False

    def _check(self) -> None:
        if self.broken:
            raise ZeroDivisionError("a private detail")
        if self.failure is not None:
            raise self.failure

    async def status(self) -> StatusView:
        self._check()
        return StatusView(
            name="House 7",
            version="0.1.0",
            roles=("home",),
            owner=OWNER,
            sender=WRITER,
            sender_balance_wei=1_500_000_000_000_000_000,
            chain=ChainView(chain_id=31337, registry=REGISTRY, head_block=7, head_age_s=2, final_block=6),
            broker=BrokerView(connected=True, embedded=False, url="mqtt://127.0.0.1:1883"),
            pairing="paired" if self.paired else "unpaired",
            streams=1,
            live_consents=1,
            pending_requests=len(self.found),
            outbox_pending=0,
            open_alarms=1,
            started_at=NOW - 90,
            now=NOW,
            ready=all(check.ok for check in self.checks),
            retention=RetentionView(raw_days=7, quarter_days=1_096, consent_days=None, removed=3),
        )

    async def readiness(self) -> ReadinessView:
        self._check()
        return ReadinessView(checks=self.checks)

    async def alarms(self) -> tuple[AlarmView, ...]:
        alarm = AlarmView(id="1", kind="clock", message="Clock is off.", remedy="Set it.", sid=SID, raised_at=NOW)
        return (alarm,)

    async def streams(self) -> tuple[StreamView, ...]:
        return (await self.stream(SID),)

    async def stream(self, sid: bytes) -> StreamView:
        if sid != SID:
            raise NotFound("There is no such stream.")
        return StreamView(
            sid=SID, name="electricity/15min", relation="owner", owner=OWNER, writer=WRITER, genesis=NOW - 86_400,
            slot_seconds=900, epoch=3, live_readers=1, readings=2_500, last_reading_at=NOW,
        )  # fmt: skip

    async def readings(
        self, sid: bytes, start: int | None, end: int | None, cursor: str | None, limit: int
    ) -> ReadingsPage:
        await self.stream(sid)
        first, last = start or NOW, end or NOW + 2_500
        at = int(cursor) if cursor else first
        until = min(at + limit, last)
        items = tuple(
            ReadingView(time=t, slot=96, epoch=3, seq=t - NOW, values={"import_1_wh": t - NOW}, provisional=t == NOW)
            for t in range(at, until)
        )
        return ReadingsPage(sid=sid, items=items, next=str(until) if until < last else None)

    async def curve(self, sid: bytes, start: int, end: int, step: int) -> CurveView:
        await self.stream(sid)
        one = QuantityView(count=1, first=1, last=1, low=1, high=1, sum=1)
        items = tuple(
            CurveStepView(start=at, readings=1, values={"interval_import_wh": one}) for at in range(start, end, step)
        )
        return CurveView(sid=sid, start=start, end=end, step=step, items=items)

    async def export(self, sid: bytes) -> ExportView:
        await self.stream(sid)
        return ExportView(chain_id=31337, registry=REGISTRY, sid=sid, headers=({"number": 1},), events=())

    async def requests(self, before: int | None, limit: int) -> Page[RequestView]:
        numbered = list(enumerate(self.found.values(), 1))[::-1]
        rows = [row for row in numbered if before is None or row[0] < before]
        more = rows[limit - 1][0] if len(rows) > limit else None
        return Page(items=tuple(view for _, view in rows[:limit]), next=more)

    async def request(self, request_id: str) -> RequestView:
        if request_id not in self.found:
            raise NotFound("There is no such request.")
        return self.found[request_id]

    async def request_consent(self, form: ConsentRequestForm) -> RequestView:
        self.asked.append(form)
        made = request(f"req-{len(self.found) + 1}").model_copy(update={"direction": "sent", "purpose": form.purpose})
        self.found[made.id] = made
        return made

    async def shown(self, request_id: str) -> RequestView:
        return await self.request(request_id)

    async def grant(self, request_id: str, scope: GrantScope, external: ExternalSignature | None) -> ActionView:
        self._check()
        found = await self.request(request_id)
        if found.state != "requested":
            raise Gone("The request has ended.")
        self.granted.append((request_id, scope, external))
        self.found[request_id] = found.model_copy(update={"state": "granted", "grant_id": GRANT})
        return ActionView(state="queued", digest=GRANT, transaction="tx-1")

    async def grant_unsigned(self, request_id: str, scope: GrantScope) -> UnsignedView:
        await self.request(request_id)
        message = {"end": scope.end, "streams": list(scope.streams or ())}
        return UnsignedView(typed_data={"primaryType": "Grant", "message": message}, digest=GRANT, expires_at=NOW + 60)

    async def deny(self, request_id: str, reason: str) -> RequestView:
        found = await self.request(request_id)
        self.found[request_id] = found.model_copy(update={"state": "denied", "reason": reason})
        return self.found[request_id]

    async def consents(self, before: int | None, limit: int) -> Page[ConsentView]:
        return Page(items=(await self.consent(GRANT),))

    async def consent(self, grant_id: bytes) -> ConsentView:
        if grant_id != GRANT:
            raise NotFound("There is no such consent.")
        return ConsentView(
            grant_id=GRANT, direction="given", state="live", final=True, owner=OWNER, reader=READER, party=party(),
            purpose="Advice", purpose_tag=1, start=NOW, text_hash=sha256(b"text").digest(),
            streams=(ConsentStreamView(sid=SID, name="electricity/15min", state="live", first_slot=96),),
        )  # fmt: skip

    async def consent_life(self, grant_id: bytes) -> tuple[ConsentStepView, ...]:
        await self.consent(grant_id)
        return (ConsentStepView(at=NOW, step="granted"),)

    async def revoke(self, grant_id: bytes, scope: RevokeScope, external: ExternalSignature | None) -> ActionView:
        await self.consent(grant_id)
        self.revoked.append((grant_id, scope, external))
        return ActionView(state="queued", transaction="tx-2")

    async def revoke_unsigned(self, grant_id: bytes, scope: RevokeScope) -> UnsignedView:
        await self.consent(grant_id)
        return UnsignedView(typed_data={"primaryType": "Revoke"}, digest=GRANT, expires_at=NOW + 60)

    async def erase(self, grant_id: bytes, form: EraseForm) -> ErasureView:
        self._check()
        self.erased[grant_id] = form.reason
        return await self.erasure(grant_id)

    async def erasure(self, grant_id: bytes) -> ErasureView:
        if grant_id not in self.erased:
            raise NotFound("Nobody asked to erase the data of this consent.")
        return ErasureView(
            grant_id=grant_id, state="done", requested_by="owner", reason=self.erased[grant_id], asked_at=NOW,
            done_at=NOW, receipt={"receipt": {"streams": [{"sid": "0x01", "readings": 3, "envelopes": 2, "epoch": 1}]}},
        )  # fmt: skip

    async def refresh(self, grant_id: bytes) -> ActionView:
        await self.consent(grant_id)
        self.refreshed.append(grant_id)
        return ActionView(state="queued", transaction="tx-4")

    async def pairing_status(self) -> PairingView:
        if not self.paired:
            return PairingView(state="unpaired")
        return PairingView(state="paired", peer=b"\x0d" * 20)

    async def pair(self, form: PairForm) -> PairingView:
        if self.paired:
            raise Conflict("This home is paired already.", remedy="Unpair first.")
        if form.code != "7-amber-lake":
            raise Refused("The code is wrong.", remedy="Ask the gateway for a new one.")
        self.paired = True
        return await self.pairing_status()

    async def move_gateway(self, form: PairForm) -> PairingView:
        if not self.paired:
            raise Conflict("No gateway is paired.", remedy="Pair first.")
        self.moved.append(form.code)
        return PairingView(state="pairing")

    async def rotate_stream(self, sid: bytes) -> MoveView:
        return MoveView(sid=sid, name="electricity/15min", state="waiting for the gateway")

    async def give_stream(self, sid: bytes, form: TransferForm) -> TransferView:
        if form.owner == OWNER:
            raise Refused("That is this household itself.", field="to")
        self.given = TransferView(
            sid=sid,
            name="electricity/15min",
            owner=OWNER,
            new_owner=form.owner or READER,
            deadline=NOW + 86_400,
            state="waiting to be accepted",
        )
        return self.given

    async def accept_stream(self, sid: bytes) -> TransferView:
        if self.given is None or self.given.sid != sid:
            raise NotFound("Nobody gave this stream to this household.")
        return self.given

    async def gifts(self) -> tuple[TransferView, ...]:
        return () if self.given is None else (self.given,)

    async def erase_past(self, sid: bytes, form: ErasePastForm) -> PastErasureView:
        self.past = PastErasureView(
            sid=sid, state="asked", before=form.before, reason=form.reason, asked_at=NOW, done_at=None, receipt=None
        )
        return self.past

    async def past_erasure(self, sid: bytes) -> PastErasureView:
        if self.past is None:
            raise NotFound("Nobody asked.")
        return self.past

    async def moving(self) -> tuple[MoveView, ...]:
        return tuple(MoveView(sid=SID, name="electricity/15min", state="moved") for _ in self.moved)

    async def unpair(self) -> ActionView:
        self.paired = False
        return ActionView(state="queued", transaction="tx-3")

    async def new_pairing_code(self) -> PairingCodeView:
        return PairingCodeView(code="7-amber-lake", url="http://gw:8750", qr="wattpact:pair?x=1", expires_at=NOW + 300)

    async def pairing_message(self, step: str, body: bytes, peer: str) -> bytes:
        self._check()
        self.steps.append((step, body, peer))
        return b"answer to " + body

    async def inbox(self, parcel: bytes, peer: str) -> None:
        self._check()
        self.parcels.append((parcel, peer))

    async def party_card(self) -> dict[str, Any]:
        return {"name": "House 7"}

    async def transactions(self) -> tuple[TransactionView, ...]:
        return (TransactionView(id="tx-1", kind="grant", state="final", hash=GRANT, nonce=0, block=6, created_at=NOW),)

    async def transaction(self, digest: bytes) -> TransactionView:
        return (await self.transactions())[0]

    async def cancel(self, digest: bytes) -> TransactionView:
        self.cancelled.append(digest)
        return (await self.transactions())[0]

    async def relay(self, form: RelayForm) -> ActionView:
        self.relayed.append(form)
        return ActionView(state="queued", transaction="tx-4")
