"""Signed messages on their way to the chain: the relay carries them, the sender tells what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keys.eip712 import Domain
from keys.errors import KeysError
from keys.messages import Message, Opening, StoredCall, call_from_stored
from node.app.core import Core
from node.app.spelling import wish_for
from node.errors import NodeError
from node.ledger.errors import MessageRefused
from node.ledger.transaction import Inclusion, Transaction, TxState
from node.projection.base import Block, Event
from node.projection.effects import SubmitMessage
from node.projection.events import (
    LoggedMessageIncluded,
    ReceivedSubmissionRefused,
    ReceivedSubmissionSent,
    RequestedSubmission,
)
from node.projection.submission import Submission, SubmissionStatus
from node.runtime.errors import PermanentFailure

__all__ = ["Submissions", "said_by", "submission_of"]


def submission_of(
    core: Core,
    message: Message,
    signatures: Sequence[bytes],
    opening: Sequence[Opening] = (),
    domain: Domain | None = None,
) -> RequestedSubmission:
    """The wish to have a signed message on chain, for the registry unless `domain` names another contract.

    `opening`: what the call discloses beside it (device and salt, the orders of a match).
    """
    return wish_for(message, signatures, opening, domain or core.chain.domain, core.clock.now())


async def said_by(core: Core, digest: bytes) -> tuple[Submission, StoredCall]:
    """A submission, and the message that it is to bring onto the chain. Raises PermanentFailure for one that is not
    here, or whose text nobody can read."""
    submission = await core.storage.views.one(Submission, digest)
    try:
        return submission, call_from_stored(submission.message)
    except KeysError as error:
        raise PermanentFailure(f"The message {digest.hex()} cannot be read: {error}") from error


class Submissions:
    """Carries out `SubmitMessage` and turns what the sender says into events."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.chain.sender.listener = self._heard

    async def submit(self, effect: SubmitMessage) -> None:
        """Hands the message to the relay. Idempotent: the relay knows a message by its digest."""
        submission, (message, domain, opening) = await said_by(self._core, effect.digest)
        try:
            relay = self._core.chain.relay
            if domain == self._core.chain.domain:
                relayed = await relay.relay(message, submission.signatures, opening, domain)
            else:
                relayed = await relay.share(message, submission.signatures, opening, domain)
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

    async def give_up(self, effect: SubmitMessage, why: str) -> None:
        """It is not sent, and its wish counts as refused."""
        await self._tell(ReceivedSubmissionRefused(effect.digest, why, self._core.clock.now()))

    async def _still_there(self, inclusion: Inclusion) -> bool:
        """Whether no reorg has removed the block since."""
        receipt = await self._core.chain.rpc.receipt(inclusion.transaction_hash)
        return receipt is not None and receipt.block_hash == inclusion.block_hash

    async def _heard(self, transactions: Sequence[Transaction]) -> None:
        # What is gathered for the registry came from others, through the relay: nobody's wish of this node.
        registry = self._core.registry
        ours = [tx for tx in transactions if not tx.members and not (tx.call.item and tx.call.to == registry)]
        news = await self._news(ours)
        try:
            # The members of a batch in one transaction.
            await self._tell(*(event for events in news for event in events))
        except NodeError:
            # One that is refused keeps no other from being told.
            told = await asyncio.gather(*(self._tell(*events) for events in news), return_exceptions=True)
            for failure in told:
                if failure is not None:
                    raise failure from None

    async def _tell_of(self, transaction: Transaction) -> None:
        for news in await self._news([transaction]):
            await self._tell(*news)

    async def _news(self, transactions: Sequence[Transaction]) -> list[list[Event]]:
        """What the journal does not know yet, for each of those that there is something to tell of, in order."""
        # What waits for a batch, or goes back to its batch because a reorg took the block, has been sent nowhere itself
        # and is in no block. That the block is gone, the journal hears from the chain.
        told = [tx for tx in transactions if tx.latest or tx.state not in (TxState.GATHERED, TxState.CARRIED)]
        known = await self._core.storage.views.many(Submission, {tx.key for tx in told}) if told else {}
        now = self._core.clock.now()
        return [_news_of(tx, known[tx.key], now) for tx in told if tx.key in known]

    async def _tell(self, *events: Event) -> None:
        if events:
            await self._core.storage.journal.apply(events)
            self._core.wake()


def _news_of(transaction: Transaction, known: Submission, now: int) -> list[Event]:
    key, latest, found = transaction.key, transaction.latest, transaction.inclusion
    if transaction.state is TxState.REFUSED:
        return [ReceivedSubmissionRefused(key, str(transaction.reason) if transaction.reason else "refused", now)]
    if (
        transaction.state is TxState.MINED
        and transaction.carrier
        and not transaction.succeeded
        and known.kind == "Match"
    ):
        # Two orders wait for what becomes of it. Where a reorg has it mined anew after all, its contract says so.
        return [ReceivedSubmissionRefused(key, str(transaction.reason) if transaction.reason else "refused", now)]
    news: list[Event] = []
    if latest is not None and known.status is SubmissionStatus.QUEUED:
        news.append(ReceivedSubmissionSent(key, latest.hash, now))
    if transaction.state in (TxState.MINED, TxState.FINAL) and found is not None and transaction.succeeded:
        block = Block(found.block_number, found.block_hash)
        if known.block == block and known.status in (SubmissionStatus.INCLUDED, SubmissionStatus.FINAL):
            return news  # told when it was mined
        # Another block: the sender saw the reorg before the journal; after the rollback the effect asks again.
        if known.block in (None, block):
            news.append(LoggedMessageIncluded(block, key))
    return news
