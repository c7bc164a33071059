"""Resyncs that were answered: who asked, when, from where on. The owner sees each (channels.md 4, rule 8).

A resync hands a reader everything that it has a right to once more, so a stranger who took a reader's key shows up as
resyncs that the reader did not need. The gateway notes each answer and tells the household; what could not be told is
told later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from channels.asks import Ask
from keys.parcel import Parcel
from node.api.views import ResyncView
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.streams.home import HomeRole
from node.errors import NodeUnreachable, Refused
from node.projection.base import Peer
from node.runtime.errors import PermanentFailure
from node.wire.streams import ResyncGiven

__all__ = ["ResyncBook", "ResyncPost", "register_resyncs"]

_log = structlog.get_logger(__name__)

GIVEN, UNTOLD = "resync_given", "resync_untold"
"""Namespaces of facts by stream and request: every answer; those that the household has not heard of."""


def _name(body: ResyncGiven) -> str:
    return f"{body.sid.hex()}/{body.request_id.hex()}"


class ResyncBook:
    """What is known of the resyncs of streams, at the gateway that answered and at the household that was told."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def of(self, sid: bytes) -> tuple[ResyncView, ...]:
        """The resyncs of a stream, the earliest first."""
        found = await self._core.storage.memory.facts.all(GIVEN)
        bodies = [ResyncGiven.model_validate(body) for name, body in found.items() if name.startswith(f"{sid.hex()}/")]
        given = sorted(bodies, key=lambda body: body.at)
        return tuple(ResyncView(grant_id=body.grant_id, at=body.at, since_epoch=body.since_epoch) for body in given)


class ResyncPost:
    """The gateway's side."""

    def __init__(self, core: Core, post: Post) -> None:
        self._core = core
        self._post = post

    async def note(self, ask: Ask, now: int) -> None:
        """An answer is on its way: remembered before anything else happens to it."""
        body = ResyncGiven(sid=ask.sid, grant_id=ask.grant_id, request_id=ask.request_id, at=now, since_epoch=ask.first)
        facts: list[tuple[str, str, Any]] = [(name, _name(body), body.to_json()) for name in (GIVEN, UNTOLD)]
        await self._core.storage.memory.keep((), facts)

    async def given(self) -> list[ResyncGiven]:
        """Every answer that was ever noted."""
        found = await self._core.storage.memory.facts.all(GIVEN)
        return [ResyncGiven.model_validate(body) for body in found.values()]

    async def tell(self, owner_of: Callable[[bytes], Awaitable[Peer | None]]) -> None:
        """Tells each stream's owner what it has not heard of; what cannot be told stays for the next time."""
        untold = {name: body for name, body in (await self._core.storage.memory.facts.all(UNTOLD)).items() if body}
        for name, body in untold.items():
            owner = await owner_of(ResyncGiven.model_validate(body).sid)
            if owner is None:
                continue
            try:
                await self._post.send(owner, "stream.resynced", body, standing=True)
            except NodeUnreachable:
                continue
            except PermanentFailure as refused:
                _log.warning("resync_untold", reason=str(refused))
            await self._core.storage.memory.keep((), [(UNTOLD, name, None)])


def register_resyncs(inbox: Inbox, home: HomeRole) -> None:
    """The household's side: believed of the gateway that it is paired with, about the streams it has."""

    async def take(parcel: Parcel) -> Kept:
        body = ResyncGiven.model_validate(parcel.body)
        place = await home.places.inherited(body.sid)
        if await home.device_of(parcel.sender) is None and (place is None or place.address != parcel.sender):
            raise Refused("Only the paired gateway tells of resyncs.", remedy="Pair with it first.")
        if body.sid not in await home.streams():
            raise Refused("This household has no such stream.", field="sid")
        return Kept((), ((GIVEN, _name(body), body.to_json()),))

    inbox.on("stream.resynced", take)
