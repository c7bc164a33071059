"""A reader's view of the chain: commit hashes by epoch, and how many grants lived at a block."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from node.app.core import Core
from node.projection.base import AggregateId
from node.projection.consent import Consent
from node.projection.events import LoggedCommitted, LoggedRolledBack
from node.projection.stream import Stream

__all__ = ["FactsAnswers", "StreamView"]

PAGE = 5_000


class StreamView:
    """Implements `channels.follower.ChainFacts` for one moment.

    `grants`: the block of each Grant of the stream, and the block from which it no longer covered it, if there is one.
    """

    __slots__ = ("_ended", "_granted", "hashes")

    def __init__(self, hashes: dict[int, bytes], grants: Iterable[tuple[int, int | None]]) -> None:
        lived = [(granted, ended) for granted, ended in grants if ended is None or ended > granted]
        self.hashes = hashes
        self._granted = sorted(granted for granted, _ in lived)
        self._ended = sorted(ended for _, ended in lived if ended is not None)

    def commit_hash(self, epoch: int) -> bytes | None:
        """See ChainFacts.commit_hash."""
        return self.hashes.get(epoch)

    def live_grants(self, block: int) -> int:
        """Grants of the stream whose Grant is in or before `block` and whose end, if any, came after it.

        Counted generously: a grant that ran out by time counts until the writer has had its slot to remove it.
        """
        return bisect_right(self._granted, block) - bisect_right(self._ended, block)


@dataclass(slots=True)
class _Seen:
    """A view of one stream and the event up to which it holds."""

    head: int = -1
    view: StreamView = field(default_factory=lambda: StreamView({}, ()))
    whole: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class FactsAnswers:
    """Answers from the journal; what the projection has let go of is found in the stream's history.

    Many readers of one stream ask the same for each commit. An answer is given again only while no event has come
    since: the head is read each time.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._seen: dict[bytes, _Seen] = {}

    async def facts(self, sid: bytes, first_epoch: int) -> StreamView:
        """See FactsPort.facts."""
        seen = self._seen.setdefault(sid, _Seen())
        async with seen.lock:
            head = await self._core.storage.views.head()
            known = seen.head == head and (seen.whole or first_epoch >= min(seen.view.hashes, default=first_epoch))
            if not known:
                seen.view, seen.whole = await self._read(sid, first_epoch)
                seen.head = head
            return seen.view

    async def _read(self, sid: bytes, first_epoch: int) -> tuple[StreamView, bool]:
        """The view, and whether it has all epochs."""
        stream = await self._core.storage.views.one(Stream, sid)
        hashes = {commit.epoch: commit.commit_hash for commit in stream.commits}
        whole = bool(hashes) and first_epoch < min(hashes)
        if whole:
            hashes = {**await self._older(sid), **hashes}
        return StreamView(hashes, await self._grants(sid)), whole

    async def _grants(self, sid: bytes) -> list[tuple[int, int | None]]:
        found: list[tuple[int, int | None]] = []
        before: int | None = None
        while True:
            page = await self._core.storage.views.page(Consent, link=("sid", sid), before=before, limit=PAGE)
            found += [(c.granted.number, _shut(c, sid)) for _, c in page if c.granted is not None]
            if len(page) < PAGE:
                return found
            before = page[-1][0]

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
