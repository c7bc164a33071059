"""What each operation does: hand the checked call to the facade, hand its answer back. No rules live here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import segno
from pydantic import Field

from node.api.assets import ASSET_OPERATIONS
from node.api.curves import CURVE_OPERATIONS
from node.api.erasure import ERASURE_OPERATIONS
from node.api.eventhandlers import FEED_OPERATIONS
from node.api.forms import (
    ConsentRequestForm,
    DenyForm,
    GrantForm,
    GrantScope,
    PairForm,
    RelayForm,
    RevokeForm,
    RevokeScope,
    TokenForm,
    TransferForm,
)
from node.api.jobs import JOB_OPERATIONS
from node.api.lifecycle import LIFE_OPERATIONS
from node.api.listing import Page
from node.api.marketplace import MARKETPLACE_OPERATIONS
from node.api.netting import NETTING_OPERATIONS
from node.api.operations import PAGE_PARAMETERS, Answer, BinaryBody, Call, Operation, Parameter
from node.api.sessions import SESSION_OPERATIONS
from node.api.settlement import SETTLEMENT_OPERATIONS
from node.api.tokens import TokenRecord
from node.api.values import UnixTime, View
from node.api.views import (
    ActionView,
    AlarmView,
    ConsentStepView,
    ConsentView,
    ExportView,
    Items,
    MoveView,
    PairingCodeView,
    PairingView,
    ReadinessView,
    ReadingsPage,
    RequestView,
    StatusView,
    StreamView,
    TransactionView,
    TransferView,
    UnsignedView,
)

__all__ = ["OPERATIONS", "NewTokenView", "TokenView"]

T = TypeVar("T", bound=View)


class TokenView(View):
    """A token without its text."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: UnixTime
    expires_at: UnixTime | None


class NewTokenView(TokenView):
    """A token with its text, shown this once."""

    token: str = Field(description="send it as Authorization: Bearer")


def _items(found: Iterable[T]) -> Answer:
    return Answer({"items": [item.model_dump(mode="json") for item in found]})


async def _status(call: Call) -> StatusView:
    return await call.facade.status()


async def _readiness(call: Call) -> Answer:
    found = await call.facade.readiness()
    return Answer(found, 200 if found.ready else 503)


async def _alarms(call: Call) -> Answer:
    return _items(await call.facade.alarms())


async def _transactions(call: Call) -> Answer:
    return _items(await call.facade.transactions())


async def _transaction(call: Call) -> TransactionView:
    return await call.facade.transaction(call.values["digest"])


async def _cancel(call: Call) -> TransactionView:
    return await call.facade.cancel(call.values["digest"])


async def _streams(call: Call) -> Answer:
    return _items(await call.facade.streams())


async def _stream(call: Call) -> StreamView:
    return await call.facade.stream(call.values["sid"])


async def _readings(call: Call) -> ReadingsPage:
    v = call.values
    return await call.facade.readings(v["sid"], v.get("from"), v.get("to"), v.get("cursor"), v.get("limit", 1_000))


async def _export(call: Call) -> ExportView:
    return await call.facade.export(call.values["sid"])


async def _requests(call: Call) -> Page[RequestView]:
    return await call.facade.requests(*call.page())


async def _request(call: Call) -> RequestView:
    return await call.facade.request(call.values["request_id"])


async def _ask(call: Call) -> RequestView:
    return await call.facade.request_consent(call.form(ConsentRequestForm))


async def _shown(call: Call) -> RequestView:
    return await call.facade.shown(call.values["request_id"])


async def _grant(call: Call) -> ActionView:
    form = call.form(GrantForm)
    scope = GrantScope(streams=form.streams, start=form.start, end=form.end)
    return await call.facade.grant(call.values["request_id"], scope, form.external)


async def _grant_unsigned(call: Call) -> UnsignedView:
    return await call.facade.grant_unsigned(call.values["request_id"], call.form(GrantScope))


async def _deny(call: Call) -> RequestView:
    return await call.facade.deny(call.values["request_id"], call.form(DenyForm).reason)


async def _consents(call: Call) -> Page[ConsentView]:
    return await call.facade.consents(*call.page())


async def _consent(call: Call) -> ConsentView:
    return await call.facade.consent(call.values["grant_id"])


async def _consent_life(call: Call) -> Answer:
    return _items(await call.facade.consent_life(call.values["grant_id"]))


async def _revoke(call: Call) -> ActionView:
    form = call.form(RevokeForm)
    return await call.facade.revoke(call.values["grant_id"], RevokeScope(sid=form.sid), form.external)


async def _revoke_unsigned(call: Call) -> UnsignedView:
    return await call.facade.revoke_unsigned(call.values["grant_id"], call.form(RevokeScope))


async def _refresh(call: Call) -> ActionView:
    return await call.facade.refresh(call.values["grant_id"])


async def _pairing(call: Call) -> PairingView:
    return await call.facade.pairing_status()


async def _pair(call: Call) -> PairingView:
    return await call.facade.pair(call.form(PairForm))


async def _move(call: Call) -> PairingView:
    return await call.facade.move_gateway(call.form(PairForm))


async def _rotate(call: Call) -> MoveView:
    return await call.facade.rotate_stream(call.values["sid"])


async def _give(call: Call) -> TransferView:
    return await call.facade.give_stream(call.values["sid"], call.form(TransferForm))


async def _accept_stream(call: Call) -> TransferView:
    return await call.facade.accept_stream(call.values["sid"])


async def _gifts(call: Call) -> Answer:
    return _items(await call.facade.gifts())


async def _moving(call: Call) -> Answer:
    return _items(await call.facade.moving())


async def _unpair(call: Call) -> ActionView:
    return await call.facade.unpair()


async def _pairing_code(call: Call) -> PairingCodeView:
    made = await call.facade.new_pairing_code()
    # Black on white in either light, with the quiet zone: what scanners are sure to read.
    picture = segno.make(made.qr, micro=False).svg_data_uri(scale=4, border=4, dark="#000", light="#fff")
    return made.model_copy(update={"picture": picture})


async def _pairing_step(call: Call) -> Answer:
    return Answer(await call.facade.pairing_message(call.values["step"], call.body, call.peer))


async def _inbox(call: Call) -> Answer:
    await call.facade.inbox(call.body, call.peer)
    return Answer(None)


async def _card(call: Call) -> Answer:
    return Answer(await call.facade.party_card())


async def _relay(call: Call) -> ActionView:
    return await call.facade.relay(call.form(RelayForm))


def _token_view(record: TokenRecord) -> TokenView:
    return TokenView(
        id=record.id,
        name=record.name,
        scopes=tuple(sorted(record.scopes)),
        created_at=record.created_at,
        expires_at=record.expires_at,
    )


async def _tokens(call: Call) -> Answer:
    return _items(_token_view(record) for record in await call.tokens.records())


async def _new_token(call: Call) -> NewTokenView:
    form = call.form(TokenForm)
    record, text = await call.tokens.issue(form.name, frozenset(form.scopes), form.lifetime_s)
    return NewTokenView(**_token_view(record).model_dump(), token=text)


async def _end_token(call: Call) -> Answer:
    await call.tokens.revoke(call.values["token_id"])
    return Answer(None)


_DIGEST = Parameter("digest", "hash", "digest of the message", "path")
_SID = Parameter("sid", "hash", "stream id", "path")
_GRANT = Parameter("grant_id", "hash", "grant id", "path")
_REQUEST = Parameter("request_id", "text", "request id", "path")
_STEP = Parameter("step", "text", "step of the exchange", "path")
_TOKEN = Parameter("token_id", "text", "token id", "path")
_RANGE = (
    Parameter("from", "time", "first meter time, seconds since 1970 or ISO 8601"),
    Parameter("to", "time", "meter time to stop before"),
    Parameter("cursor", "text", "`next` of the page before"),
    Parameter("limit", "count", "readings per page, at most 10000; 1000 by default"),
)
_API = "/api/v1"

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/status", "getStatus", "read", "What runs and how it does", _status, StatusView),
    Operation("GET", f"{_API}/readiness", "getReadiness", "read", "Every check, in detail", _readiness, ReadinessView),
    Operation("GET", f"{_API}/alarms", "listAlarms", "read", "Alarms, open and past", _alarms, Items[AlarmView]),
    Operation("GET", f"{_API}/transactions", "listTransactions", "read", "Transactions of this node", _transactions,
              Items[TransactionView]),
    Operation("GET", f"{_API}/transactions/{{digest}}", "getTransaction", "read",
              "One transaction, of this node or relayed by it", _transaction, TransactionView, parameters=(_DIGEST,)),
    Operation("POST", f"{_API}/transactions/{{digest}}/cancel", "cancelTransaction", "admin",
              "Give up on one that is in no block yet", _cancel, TransactionView, status=202, parameters=(_DIGEST,)),
    Operation("GET", f"{_API}/streams", "listStreams", "read", "Streams that concern this node", _streams,
              Items[StreamView], tag="streams"),
    Operation("GET", f"{_API}/streams/{{sid}}", "getStream", "read", "One stream", _stream, StreamView,
              tag="streams", parameters=(_SID,)),
    Operation("GET", f"{_API}/streams/{{sid}}/readings", "listReadings", "read", "Readings in order of time", _readings,
              ReadingsPage, tag="streams", parameters=(_SID, *_RANGE)),
    Operation("POST", f"{_API}/streams/{{sid}}/rotate", "rotateStream", "admin", "New keys (home)", _rotate,
              MoveView, status=202, tag="streams", parameters=(_SID,)),
    Operation("POST", f"{_API}/streams/{{sid}}/transfer", "transferStream", "admin",
              "Give a stream away to another household (home)", _give, TransferView, TransferForm, 202, tag="streams",
              parameters=(_SID,)),
    Operation("POST", f"{_API}/streams/{{sid}}/accept", "acceptStream", "admin",
              "Become the owner of a stream that another household gave (home)", _accept_stream, TransferView,
              status=202, tag="streams", parameters=(_SID,)),
    Operation("GET", f"{_API}/transfers", "listTransfers", "read", "Streams given away, and given here (home)", _gifts,
              Items[TransferView], tag="streams"),
    Operation("GET", f"{_API}/streams/{{sid}}/export", "exportStream", "read", "Headers, events, log for `verify`",
              _export, ExportView, tag="streams", parameters=(_SID,)),
    Operation("GET", f"{_API}/requests", "listRequests", "read", "Consents asked for, the newest first", _requests,
              Page[RequestView], tag="consent", parameters=PAGE_PARAMETERS),
    Operation("POST", f"{_API}/requests", "requestConsent", "consent", "Ask a home for consent (provider)", _ask,
              RequestView, ConsentRequestForm, 201, tag="consent"),
    Operation("GET", f"{_API}/requests/{{request_id}}", "getRequest", "read", "One request", _request, RequestView,
              tag="consent", parameters=(_REQUEST,)),
    Operation("POST", f"{_API}/requests/{{request_id}}/shown", "shown", "consent",
              "A person has it before them (home)", _shown, RequestView, tag="consent", parameters=(_REQUEST,)),
    Operation("POST", f"{_API}/requests/{{request_id}}/grant", "grant", "consent", "Grant, whole or in part", _grant,
              ActionView, GrantForm, 202, tag="consent", parameters=(_REQUEST,)),
    Operation("POST", f"{_API}/requests/{{request_id}}/grant/unsigned", "prepareGrant", "consent",
              "EIP-712 JSON of the grant, for an external wallet", _grant_unsigned, UnsignedView, GrantScope,
              tag="consent", parameters=(_REQUEST,)),
    Operation("POST", f"{_API}/requests/{{request_id}}/deny", "deny", "consent", "Deny a request", _deny, RequestView,
              DenyForm, tag="consent", parameters=(_REQUEST,)),
    Operation("GET", f"{_API}/consents", "listConsents", "read", "Consents given and received, the newest first",
              _consents, Page[ConsentView], tag="consent", parameters=PAGE_PARAMETERS),
    Operation("GET", f"{_API}/consents/{{grant_id}}", "getConsent", "read", "One consent", _consent, ConsentView,
              tag="consent", parameters=(_GRANT,)),
    Operation("GET", f"{_API}/consents/{{grant_id}}/life", "getConsentLife", "read", "What became of a consent",
              _consent_life, Items[ConsentStepView], tag="consent", parameters=(_GRANT,)),
    Operation("POST", f"{_API}/consents/{{grant_id}}/revoke", "revoke", "consent", "Revoke one stream or all; final",
              _revoke, ActionView, RevokeForm, 202, tag="consent", parameters=(_GRANT,)),
    Operation("POST", f"{_API}/consents/{{grant_id}}/revoke/unsigned", "prepareRevoke", "consent",
              "EIP-712 JSON of the revocation, for an external wallet", _revoke_unsigned, UnsignedView, RevokeScope,
              tag="consent", parameters=(_GRANT,)),
    Operation("POST", f"{_API}/consents/{{grant_id}}/refresh", "refreshKey", "consent",
              "A new key for a consent that this node reads under (provider)", _refresh, ActionView, status=202,
              tag="consent", parameters=(_GRANT,)),
    Operation("GET", f"{_API}/pairing", "getPairing", "read", "The pairing", _pairing, PairingView, tag="pairing"),
    Operation("POST", f"{_API}/pairing", "pair", "admin", "Pair with a gateway by its code (home)", _pair, PairingView,
              PairForm, tag="pairing"),
    Operation("POST", f"{_API}/pairing/move", "moveGateway", "admin", "Hand every stream to another gateway (home)",
              _move, PairingView, PairForm, 202, tag="pairing"),
    Operation("GET", f"{_API}/pairing/move", "getMove", "read", "How far a move is (home)", _moving, Items[MoveView],
              tag="pairing"),
    Operation("DELETE", f"{_API}/pairing", "unpair", "admin", "End the pairing: streams lose their writer", _unpair,
              ActionView, status=202, tag="pairing"),
    Operation("POST", f"{_API}/pairing/code", "newPairingCode", "admin", "A new one-time code (gateway)", _pairing_code,
              PairingCodeView, status=201, tag="pairing"),
    Operation("POST", "/pairing/v1/{step}", "pairingStep", "local",
              "One step of the pairing exchange (gateway; from its own network)", _pairing_step, BinaryBody, BinaryBody,
              tag="pairing", parameters=(_STEP,)),
    Operation("POST", f"{_API}/inbox", "inbox", "open", "A sealed, signed parcel of another node", _inbox, None,
              BinaryBody, 202, tag="messages"),
    Operation("GET", "/.well-known/wattpact.json", "getCard", "open", "The signed party card", _card, dict,
              tag="messages"),
    Operation("POST", f"{_API}/relay", "relay", "consent", "Send a signed message to the registry", _relay,
              ActionView, RelayForm, 202, tag="messages"),
    *SESSION_OPERATIONS,
    Operation("GET", f"{_API}/tokens", "listTokens", "admin", "Tokens", _tokens, Items[TokenView], tag="tokens"),
    Operation("POST", f"{_API}/tokens", "createToken", "admin", "A new token", _new_token, NewTokenView, TokenForm,
              201, tag="tokens"),
    Operation("DELETE", f"{_API}/tokens/{{token_id}}", "endToken", "admin", "Revoke a token", _end_token, None,
              status=204, tag="tokens", parameters=(_TOKEN,)),
    *CURVE_OPERATIONS,
    *ERASURE_OPERATIONS,
    *FEED_OPERATIONS,
    *SETTLEMENT_OPERATIONS,
    *MARKETPLACE_OPERATIONS,
    *JOB_OPERATIONS,
    *ASSET_OPERATIONS,
    *NETTING_OPERATIONS,
    *LIFE_OPERATIONS,
)
# fmt: on
