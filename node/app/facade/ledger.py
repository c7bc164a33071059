"""Signed messages and transactions as the REST interface shows them."""

from __future__ import annotations

from typing import Literal

from keys.errors import KeysError
from keys.messages import Revoke, from_typed_data
from node.api.forms import RelayForm
from node.api.views import ActionView, TransactionView
from node.app.core import Core
from node.app.submissions import submission_of
from node.errors import InvalidInput, NotFound, Refused
from node.ledger.registry import registry_signers
from node.ledger.transaction import Transaction, TxState
from node.projection.base import AggregateId
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
RELAYED: dict[TxState, TransactionState] = {
    TxState.GATHERED: "queued",
    TxState.QUEUED: "queued",
    TxState.CARRIED: "sent",
    TxState.SENT: "sent",
    TxState.MINED: "included",
    TxState.FINAL: "final",
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
        core = self._core
        if domain != core.chain.domain:
            raise InvalidInput("The message is for another chain or contract.", field="typed_data.domain")
        signatures = [bytes(s) for s in form.signatures]
        if isinstance(message, Revoke) or core.keys.identity.wallet().address in registry_signers(message):
            # Our own word, and every revocation: on the private log, never given up, also without this database. But
            # nobody else's word under our name, of which the log would keep any number.
            await core.chain.relay.vouch(message, signatures)
            wish = submission_of(core, message, signatures)
            await core.storage.memory.keep([wish])
            core.wake()
            return ActionView(state="queued", digest=wish.digest, transaction=to_hex(wish.digest))
        relayed = await core.chain.relay.accept(message, signatures)
        return ActionView(state="queued", digest=relayed.digest, transaction=to_hex(relayed.digest))

    async def transaction(self, digest: bytes) -> TransactionView:
        """One, by the digest of its message: this node's own, or one that it relays."""
        state = await self._core.storage.views.get(AggregateId("submission", digest))
        if isinstance(state, Submission) and state.status is not SubmissionStatus.NONE:
            return await self._view(state)
        sent = await self._core.chain.sender.find(digest)
        if sent is None:
            raise NotFound("This node knows no such transaction.", remedy="`wattpact transaction list` shows its own.")
        return _relayed(sent)

    async def cancel(self, digest: bytes) -> TransactionView:
        """Gives up on what is in no block yet. Raises Refused for a revocation, CancelRefused for what cannot be."""
        state = await self._core.storage.views.get(AggregateId("submission", digest))
        if isinstance(state, Submission) and state.persistent:
            raise Refused("A revocation is not taken back.", remedy="Grant anew, once it is final.")
        await self._core.chain.sender.cancel(digest)
        return await self.transaction(digest)


def _relayed(sent: Transaction) -> TransactionView:
    inclusion, latest = sent.inclusion, sent.latest
    found = inclusion.transaction_hash if inclusion else latest.hash if latest else None
    failed = sent.state is TxState.REFUSED or (inclusion is not None and not sent.succeeded)
    return TransactionView(
        id=to_hex(sent.key),
        kind="relayed",
        state="failed" if failed else RELAYED[sent.state],
        hash=found,
        nonce=sent.nonce,
        block=inclusion.block_number if inclusion else None,
        gas_used=inclusion.gas_used if inclusion and sent.carrier is None else None,
        error=str(sent.reason) if sent.reason else None,
        created_at=sent.created_at,
    )
