"""What the REST interface needs from the node, as narrow protocols: the app implements them, tests do so in memory.

Methods raise errors of `node.errors` only: NotFound for unknown ids, Conflict for states that forbid the step, Gone for
what ended, InvalidInput for values, Unreachable and Busy for the world, Refused where this node lacks the role.
Sids, grant ids and addresses are bytes, times integer seconds.
"""

from __future__ import annotations

from typing import Any, Protocol

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

__all__ = [
    "ConsentFacade",
    "HealthFacade",
    "LedgerFacade",
    "MessageFacade",
    "NodeFacade",
    "PairingFacade",
    "StreamFacade",
]


class HealthFacade(Protocol):
    """How the node does."""

    async def status(self) -> StatusView: ...

    async def readiness(self) -> ReadinessView:
        """Computed from facts at each call: age of the chain head, broker, outbox, database. Never assumed."""
        ...

    async def alarms(self) -> tuple[AlarmView, ...]: ...


class StreamFacade(Protocol):
    """Streams and readings."""

    async def streams(self) -> tuple[StreamView, ...]: ...

    async def stream(self, sid: bytes) -> StreamView: ...

    async def readings(
        self, sid: bytes, start: int | None, end: int | None, cursor: str | None, limit: int
    ) -> ReadingsPage:
        """Readings with start <= meter time < end, in order, from `cursor` on; at most `limit`."""
        ...

    async def curve(self, sid: bytes, start: int, end: int, step: int) -> CurveView:
        """Readings with start <= meter time < end, summed by step. Raises NotFound where this node reads nothing."""
        ...

    async def erase_past(self, sid: bytes, form: ErasePastForm) -> PastErasureView:
        """Asks the gateway to destroy a stream's past (home). Raises NotFound, Conflict, InvalidInput."""
        ...

    async def past_erasure(self, sid: bytes) -> PastErasureView:
        """The newest. Raises NotFound where nobody asked."""
        ...

    async def export(self, sid: bytes) -> ExportView:
        """The headers, registry events and commits that prove this stream's history."""
        ...


class ConsentFacade(Protocol):
    """Requests and consents, on both sides."""

    async def requests(self, before: int | None, limit: int) -> Page[RequestView]:
        """On both sides, the newest first; `before` is the `next` of the former page."""
        ...

    async def request(self, request_id: str) -> RequestView: ...

    async def request_consent(self, form: ConsentRequestForm) -> RequestView:
        """Provider: sends a sealed, signed request to a home."""
        ...

    async def shown(self, request_id: str) -> RequestView:
        """Home: a person has the request before them; noted once."""
        ...

    async def grant(self, request_id: str, scope: GrantScope, external: ExternalSignature | None) -> ActionView:
        """Home: signs with the node's key, or takes a wallet's signature of what `grant_unsigned` prepared."""
        ...

    async def grant_unsigned(self, request_id: str, scope: GrantScope) -> UnsignedView: ...

    async def deny(self, request_id: str, reason: str) -> RequestView: ...

    async def consents(self, before: int | None, limit: int) -> Page[ConsentView]: ...

    async def consent(self, grant_id: bytes) -> ConsentView: ...

    async def consent_life(self, grant_id: bytes) -> tuple[ConsentStepView, ...]: ...

    async def revoke(self, grant_id: bytes, scope: RevokeScope, external: ExternalSignature | None) -> ActionView: ...

    async def revoke_unsigned(self, grant_id: bytes, scope: RevokeScope) -> UnsignedView: ...

    async def refresh(self, grant_id: bytes) -> ActionView:
        """A new sealing key for a consent that this node reads under; raises NodeUnreachable without the home."""
        ...

    async def erase(self, grant_id: bytes, form: EraseForm) -> ErasureView:
        """Destroys what was read under a consent that is over (Conflict otherwise), or asks the reader's node to."""
        ...

    async def erasure(self, grant_id: bytes) -> ErasureView:
        """Raises NotFound where nobody asked."""
        ...


class PairingFacade(Protocol):
    """Home and gateway find each other."""

    async def pairing_status(self) -> PairingView: ...

    async def move_gateway(self, form: PairForm) -> PairingView:
        """Pairs with a second gateway and hands it every stream of the first (home)."""
        ...

    async def rotate_stream(self, sid: bytes) -> MoveView:
        """Gives a stream another writer, M, T and stream key at its own gateway (home)."""
        ...

    async def give_stream(self, sid: bytes, form: TransferForm) -> TransferView:
        """Signs a stream over to another household, and sends it there to be accepted (home)."""
        ...

    async def accept_stream(self, sid: bytes) -> TransferView:
        """Signs as the new owner, and brings the transfer onto the chain (home)."""
        ...

    async def gifts(self) -> tuple[TransferView, ...]:
        """Streams that are given away, and those given to this household."""
        ...

    async def moving(self) -> tuple[MoveView, ...]:
        """How far the streams of a move are; empty when nothing moves."""
        ...

    async def pair(self, form: PairForm) -> PairingView:
        """Home: runs the exchange with the gateway and sends the PairDevice that both signed."""
        ...

    async def unpair(self) -> ActionView: ...

    async def new_pairing_code(self) -> PairingCodeView:
        """Gateway: burns the former code."""
        ...

    async def pairing_message(self, step: str, body: bytes, peer: str) -> bytes:
        """Gateway: one step of the exchange. `peer` is the network address; tries are counted against it."""
        ...


class MessageFacade(Protocol):
    """Messages of other nodes."""

    async def inbox(self, parcel: bytes, peer: str) -> None:
        """Takes a sealed, signed parcel into the journal, or raises. Returning means it will not be lost."""
        ...

    async def party_card(self) -> dict[str, Any]:
        """The signed card of this node for /.well-known/wattpact.json."""
        ...


class LedgerFacade(Protocol):
    """Transactions of this node's sender."""

    async def transactions(self) -> tuple[TransactionView, ...]: ...

    async def transaction(self, digest: bytes) -> TransactionView: ...

    async def cancel(self, digest: bytes) -> TransactionView: ...

    async def relay(self, form: RelayForm) -> ActionView: ...


class NodeFacade(HealthFacade, StreamFacade, ConsentFacade, PairingFacade, MessageFacade, LedgerFacade, Protocol):
    """Everything. A method whose role this node lacks raises Refused."""
