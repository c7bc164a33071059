"""Signed messages on their way to the chain: the relay carries them, the sender tells what became of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from keys.eip712 import Domain
from keys.messages import Message, digest, from_typed_data, typed_data
from node.app.core import Core, canonical
from node.ledger.errors import MessageRefused
from node.ledger.transaction import Inclusion, Transaction, TxState
from node.projection.base import AggregateId, Block, Event
from node.projection.effects import SubmitMessage
from node.projection.events import (
    LoggedMessageIncluded,
    ReceivedSubmissionRefused,
    ReceivedSubmissionSent,
    RequestedSubmission,
)
from node.projection.submission import Submission, SubmissionStatus

__all__ = ["Submissions", "submission_of"]


def submission_of(
    core: Core,
    message: Message,
    signatures: Sequence[bytes],
    opening: Sequence[bytes] = (),
    domain: Domain | None = None,
) -> RequestedSubmission:
    """The wish to have a signed message on chain, for the registry unless `domain` names another contract.

    `opening`: what the call discloses beside it (device and salt, the orders of a match).
    """
    wanted = domain or core.chain.domain
    document = {"typed": typed_data(message, wanted), "opening": [part.hex() for part in opening]}
    deadline = getattr(message, "deadline", None)
    return RequestedSubmission(
        digest(message, wanted),
        type(message).__name__,
        canonical(document),
        tuple(signatures),
        deadline,
        core.clock.now(),
    )


class Submissions:
    """Carries out `SubmitMessage` and turns what the sender says into events."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.chain.sender.listener = self._heard

    async def submit(self, effect: SubmitMessage) -> None:
        """Hands the message to the relay. Idempotent: the relay knows a message by its digest."""
        document = json.loads(effect.message)
        message, domain = from_typed_data(document["typed"])
        opening = [bytes.fromhex(part) for part in document["opening"]]
        try:
            relayed = await self._core.chain.relay.relay(message, effect.signatures, opening, domain)
        except MessageRefused as refused:
            await self._tell(ReceivedSubmissionRefused(effect.digest, str(refused), self._core.clock.now()))
            return
        if relayed.transaction is None:
            header = self._core.chain.indexer.head
            if header is not None:
                # The registry shows the effect already, put there by somebody else or before our database was lost.
                await self._tell(LoggedMessageIncluded(Block(header.number, header.hash), effect.digest))
            return
        known = relayed.transaction
        if known.inclusion is not None and not await self._still_there(known.inclusion):
            # The sender has not looked yet. It will, and send it again, and tell.
            self._core.chain.sender.look_again()
            return
        await self._tell_of(known)

    async def _still_there(self, inclusion: Inclusion) -> bool:
        """Whether no reorg has removed the block since."""
        receipt = await self._core.chain.rpc.receipt(inclusion.transaction_hash)
        return receipt is not None and receipt.block_hash == inclusion.block_hash

    async def _heard(self, transactions: Sequence[Transaction]) -> None:
        for transaction in transactions:
            # What is gathered for a batch came from others, through the relay: nobody's wish of this node.
            if not transaction.call.item and not transaction.members:
                await self._tell_of(transaction)

    async def _tell_of(self, transaction: Transaction) -> None:
        key = transaction.key
        known = await self._core.storage.views.get(AggregateId("submission", key))
        if not isinstance(known, Submission) or known.status is SubmissionStatus.NONE:
            return
        now = self._core.clock.now()
        if transaction.state is TxState.REFUSED:
            reason = str(transaction.reason) if transaction.reason else "refused"
            await self._tell(ReceivedSubmissionRefused(key, reason, now))
            return
        latest = transaction.latest
        if latest is not None and known.status is SubmissionStatus.QUEUED:
            await self._tell(ReceivedSubmissionSent(key, latest.hash, now))
        found = transaction.inclusion
        if transaction.state in (TxState.MINED, TxState.FINAL) and found is not None and transaction.succeeded:
            block = Block(found.block_number, found.block_hash)
            if known.block not in (None, block):
                # The sender saw the reorg before the journal: after the rollback the effect asks again.
                return
            await self._tell(LoggedMessageIncluded(block, key))

    async def _tell(self, event: Event) -> None:
        await self._core.storage.journal.apply([event])
        self._core.wake()
