"""Sealed messages between nodes: sending with a clear verdict, and taking in each parcel once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import ValidationError

from keys.errors import KeysError
from keys.parcel import MAX_LIFETIME, Parcel, pack, unpack
from node.app.core import Core
from node.errors import InvalidInput, NodeUnreachable, NotFound, Refused
from node.projection.base import Event, Peer
from node.projection.effects import SendParcel
from node.projection.events import ReceivedAnswerReceipt
from node.runtime.errors import PermanentFailure
from node.storage.errors import DuplicateParcel
from node.storage.extras import SeenParcel

__all__ = ["Inbox", "Kept", "Post"]

ANSWERS = frozenset({"consent.granted", "consent.denied", "consent.expired"})
BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Kept:
    """What a parcel changes: events for the journal, and facts by (namespace, name)."""

    events: tuple[Event, ...] = ()
    facts: tuple[tuple[str, str, Any], ...] = ()


Taker = Callable[[Parcel], Awaitable[Kept]]


class Post:
    """Sends parcels. A refusal by the other side is final; silence is tried again by the outbox."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def send(self, peer: Peer, kind: str, body: Mapping[str, Any], lifetime: int = MAX_LIFETIME) -> None:
        """Raises NodeUnreachable (try again) or PermanentFailure (the other side will not have it)."""
        core = self._core
        parcel = await pack(
            core.signer,
            peer.sealing_key,
            kind,
            body,
            chain_id=core.settings.chain.chain_id,
            now=core.clock.now(),
            lifetime=max(60, min(lifetime, MAX_LIFETIME)),
        )
        url = peer.url.rstrip("/") + "/api/v1/inbox"
        try:
            async with core.http.post(url, data=parcel, headers=BINARY, allow_redirects=False) as answer:
                status, text = answer.status, await answer.content.read(4_096)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeUnreachable(f"{peer.url} cannot be reached for a {kind}.", remedy="It is tried again.") from error
        core.metrics.parcels.labels("sent").inc()
        if status >= 500 or status in (408, 425, 429):
            raise NodeUnreachable(f"{peer.url} answers {status} to a {kind}.", remedy="It is tried again.")
        if status >= 400:
            raise PermanentFailure(f"{peer.url} refuses a {kind}: {_reason(text)}")

    async def carry_out(self, effect: SendParcel) -> None:
        """The outbox's handler: delivers, then tells that an answer was received."""
        now = self._core.clock.now()
        if effect.until <= now:
            raise PermanentFailure(f"the time for a {effect.kind} is over")
        await self.send(effect.peer, effect.kind, json.loads(effect.body), effect.until - now)
        if effect.kind in ANSWERS:
            await self._core.storage.memory.keep([ReceivedAnswerReceipt(effect.about, now)])


def _reason(text: bytes) -> str:
    try:
        problem = json.loads(text)
    except ValueError:
        return "no reason given"
    return str(problem.get("detail") or problem.get("title") or "no reason given")[:200]


class Inbox:
    """Opens parcels and hands them to whoever registered for their kind."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._takers: dict[str, Taker] = {}

    def on(self, kind: str, taker: Taker) -> None:
        """Each kind has one taker."""
        self._takers[kind] = taker

    async def take(self, data: bytes, _peer: str) -> None:
        """Returns once the parcel's content is on disk; the same parcel again is fine and changes nothing."""
        core = self._core
        try:
            parcel = unpack(core.keys.sealing, data, chain_id=core.settings.chain.chain_id, now=core.clock.now())
        except KeysError as error:
            core.metrics.parcels.labels("refused").inc()
            raise Refused(f"The parcel was not accepted: {error}.", remedy="Seal it to this node's card.") from error
        taker = self._takers.get(parcel.kind)
        if taker is None:
            raise NotFound(f"This node takes no {parcel.kind}.", remedy="It lacks the role for it.")
        try:
            kept = await taker(parcel)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InvalidInput(
                f"{field}: {first['msg']}", field=field, remedy="Correct it and send it again."
            ) from error
        try:
            await core.storage.memory.keep(kept.events, kept.facts, [SeenParcel(parcel.id, parcel.forget_after)])
        except DuplicateParcel:
            return
        core.metrics.parcels.labels("taken").inc()
        core.wake()
