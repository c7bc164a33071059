"""Signed messages and transactions as the REST interface shows them."""

from __future__ import annotations

from typing import Literal

from keys.errors import KeysError
from keys.messages import from_typed_data
from node.api.forms import RelayForm
from node.api.views import ActionView, TransactionView
from node.app.core import Core
from node.app.submissions import submission_of
from node.errors import InvalidInput
from node.projection.submission import Submission, SubmissionStatus
from node.types import to_hex

__all__ = ["LedgerPart"]

TransactionState = Literal["queued", "sent", "included", "final", "failed"]

STATES: dict[SubmissionStatus, TransactionState] = {
    SubmissionStatus.QUEUED: "queued",
    SubmissionStatus.SENT: "sent",
    SubmissionStatus.INCLUDED: "included",
    SubmissionStatus.FINAL: "final",
    SubmissionStatus.REJECTED: "failed",
    SubmissionStatus.FAILED: "failed",
}


class LedgerPart:
    """Implements the ledger part of the facade."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def transactions(self) -> tuple[TransactionView, ...]:
        """Newest first."""
        rows = await self._core.storage.views.page(Submission, limit=500)
        return tuple([await self._view(state) for _, state in rows])

    async def _view(self, state: Submission) -> TransactionView:
        sent = await self._core.chain.sender.find(state.digest)
        inclusion = sent.inclusion if sent is not None else None
        return TransactionView(
            id=to_hex(state.digest),
            kind=state.kind,
            state=STATES.get(state.status, "queued"),
            hash=state.transaction,
            nonce=sent.nonce if sent is not None else None,
            block=state.block.number if state.block else None,
            gas_used=inclusion.gas_used if inclusion else None,
            error=state.reason or None,
            created_at=state.requested_at,
        )

    async def relay(self, form: RelayForm) -> ActionView:
        """Takes a message that wallets signed and sends it at this node's expense."""
        try:
            message, domain = from_typed_data(form.typed_data)
        except KeysError as error:
            raise InvalidInput(str(error), field="typed_data") from error
        if domain != self._core.chain.domain:
            raise InvalidInput("The message is for another chain or contract.", field="typed_data.domain")
        wish = submission_of(self._core, message, [bytes(s) for s in form.signatures])
        await self._core.storage.memory.keep([wish])
        self._core.wake()
        return ActionView(state="queued", digest=wish.digest, transaction=to_hex(wish.digest))
