"""A reader's view of the chain: commit hashes by epoch, and how many grants lived at a block."""

from __future__ import annotations

from dataclasses import dataclass

from node.app.core import Core
from node.projection.base import AggregateId
from node.projection.consent import Consent
from node.projection.events import LoggedCommitted, LoggedRolledBack
from node.projection.stream import Stream

__all__ = ["FactsAnswers", "StreamView"]

MANY = 100_000


@dataclass(frozen=True, slots=True)
class StreamView:
    """Implements `channels.follower.ChainFacts` for one moment."""

    hashes: dict[int, bytes]
    grants: tuple[tuple[int, int | None], ...]

    def commit_hash(self, epoch: int) -> bytes | None:
        """See ChainFacts.commit_hash."""
        return self.hashes.get(epoch)

    def live_grants(self, block: int) -> int:
        """Grants of the stream whose Grant is in or before `block` and whose end, if any, came after it.

        Counted generously: a grant that ran out by time counts until the writer has had its slot to remove it.
        """
        return sum(1 for granted, ended in self.grants if granted <= block and (ended is None or ended > block))


class FactsAnswers:
    """Answers from the journal; what the projection has let go of is found in the stream's history."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def facts(self, sid: bytes, first_epoch: int) -> StreamView:
        """See FactsPort.facts."""
        views = self._core.storage.views
        stream = await views.one(Stream, sid)
        hashes = {commit.epoch: commit.commit_hash for commit in stream.commits}
        if stream.commits and first_epoch < min(hashes):
            hashes = {**await self._older(sid), **hashes}
        grants: list[tuple[int, int | None]] = []
        for _, consent in await views.page(Consent, link=("sid", sid), limit=MANY):
            if consent.granted is not None:
                grants.append((consent.granted.number, _shut(consent, sid)))
        return StreamView(hashes, tuple(grants))

    async def _older(self, sid: bytes) -> dict[int, bytes]:
        found: dict[int, tuple[int, bytes]] = {}
        after = 0
        while True:
            page = await self._core.storage.views.history(AggregateId("stream", sid), after=after, limit=500)
            for entry in page:
                event = entry.event
                if isinstance(event, LoggedCommitted):
                    found[event.epoch] = (event.block.number, event.commit_hash)
                elif isinstance(event, LoggedRolledBack):
                    height = event.ancestor_height
                    found = {epoch: kept for epoch, kept in found.items() if kept[0] <= height}
            if len(page) < 500:
                return {epoch: commit_hash for epoch, (_, commit_hash) in found.items()}
            after = page[-1].seq


def _shut(consent: Consent, sid: bytes) -> int | None:
    """The block from which the grant no longer covered the stream; None while it does, or where it has no block."""
    if sid in consent.open_sids or consent.terms is None:
        return None
    parties = (consent.terms.owner, consent.terms.reader)
    blocks = [
        revocation.block.number
        for revocation in consent.revocations
        if revocation.account in parties and revocation.sid in (sid, bytes(32)) and revocation.block is not None
    ]
    return min(blocks, default=None)
