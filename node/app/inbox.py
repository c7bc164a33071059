"""Taking in sealed messages of other nodes: each once, on disk before it is answered, none at the cost of another.

A parcel goes through three queues, in the order of arrival in each: it is opened, it is looked at by whoever takes its
kind, and it is written down. Those that wait at the same time go through together, and a fault of one is answered to
that one alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from keys.errors import KeysError
from keys.parcel import Parcel
from node.app.core import Core
from node.app.opening import Opened, Opening, Reader
from node.app.services import looped
from node.errors import InvalidInput, NotFound, Refused
from node.projection.base import Event
from node.runtime.supervisor import Lifecycle, Service
from node.storage.errors import DuplicateParcel
from node.storage.extras import SeenParcel
from node.storage.facts import Parcels
from node.storage.group import GroupCommit

__all__ = ["Inbox", "Kept"]

FORGET_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What a parcel changes: events for the journal, and facts by (namespace, name)."""

    events: tuple[Event, ...] = ()
    facts: tuple[tuple[str, str, Any], ...] = ()


Taker = Callable[[Parcel], Awaitable[Kept]]
ReadTaker = Callable[[Sequence[Any]], Awaitable[Sequence[Kept | Exception]]]
"""Takes what its reader made of several parcels; to each what it changes, or why it was refused (a NodeError)."""


class Inbox:
    """Opens parcels and hands them to whoever registered for their kind."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._takers: dict[str, Callable[[Opened], Awaitable[Kept]]] = {}
        self._readers: dict[str, Reader] = {}
        self._opened: Opening | None = None

    def on(self, kind: str, taker: Taker) -> None:
        """Each kind has one taker."""
        self._takers[kind] = lambda opened: taker(opened.parcel)

    def on_many(self, kind: str, reader: Reader, taker: ReadTaker) -> None:
        """For kinds of which many come. The reader checks what can be checked of a parcel by itself, maybe in another
        process; the taker has several of them at once, in the order in which they came."""
        group: GroupCommit[Any, Kept] = GroupCommit(kind, taker)

        async def take(opened: Opened) -> Kept:
            return await group.submit(opened.read if opened.read is not None else reader(opened.parcel))

        self._takers[kind], self._readers[kind] = take, reader

    @property
    def _opening(self) -> Opening:
        if self._opened is None:
            core = self._core
            self._opened = Opening(core.keys.sealing, core.settings.chain.chain_id, core.clock, self._readers)
        return self._opened

    def service(self, horizon: Callable[[], int | None]) -> Service:
        """Forgets the ids of parcels that are too old to be taken, and while it runs there may be a helper that opens
        them. `horizon`: the latest second the chain vouches for.

        A clock that runs ahead must not forget the ids of parcels that are good once it is set right.
        """

        async def step() -> bool:
            until, now = horizon(), self._core.clock.now()
            await Parcels(self._core.storage.database).prune(now if until is None else min(now, until))
            return False

        async def run(life: Lifecycle) -> None:
            async with self._opening.helped():
                await looped(asyncio.Event(), step, FORGET_S)(life)

        return Service("parcels", run)

    async def take(self, data: bytes, _peer: str, wanted: Callable[[Parcel], bool] | None = None) -> None:
        """Returns once the parcel's content is on disk; the same parcel again is fine and changes nothing.

        `wanted`: what an address takes that is for some parcels only.
        """
        core = self._core
        try:
            opened = await self._opening.open(data, whole=wanted is not None)
        except KeysError as error:
            core.metrics.parcels.labels("refused").inc()
            raise Refused(f"The parcel was not accepted: {error}.", remedy="Seal it to this node's card.") from error
        parcel = opened.parcel
        if wanted is not None and not wanted(parcel):
            raise InvalidInput(f"A {parcel.kind} does not belong here.", remedy="Send it to the address for its kind.")
        taker = self._takers.get(parcel.kind)
        if taker is None:
            raise NotFound(f"This node takes no {parcel.kind}.", remedy="It lacks the role for it.")
        try:
            kept = await taker(opened)
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
