"""A grant that acted and that a reorg deeper than finality removed: what its reader could have opened is reported.

The writer takes the leaf away in its next commit, as with a revocation. What was sealed in between cannot be taken
back, so the owner of the machine is told the epochs and the envelopes (contracts.md, finality).
"""

from __future__ import annotations

import asyncio

import structlog

from channels.stores.records import Alarm
from node.app.core import Core
from node.app.streams.gateway import GatewayRole, Writing
from node.errors import Busy
from node.projection.effects import NotifyGrantUndone
from node.runtime.executor import Handlers

__all__ = ["UndoneGrants"]

_log = structlog.get_logger(__name__)

KIND = "grant_undone"
LOOKS, LOOK_S = 25, 0.2
"""The commit is due within half a second; a writer that stands still is asked again by the outbox."""


class UndoneGrants:
    """At the gateway."""

    def __init__(self, core: Core, gateway: GatewayRole) -> None:
        self._core = core
        self._gateway = gateway

    def register(self, handlers: Handlers) -> None:
        handlers.on(NotifyGrantUndone, self._undone)

    async def _undone(self, effect: NotifyGrantUndone) -> None:
        """Raises Busy while a writer still has the leaf: only afterwards is it known how far the reader came."""
        if not effect.was_final:
            return
        for writing in tuple(self._gateway.writing.values()):
            for _ in range(LOOKS):
                if writing.engine.member(effect.grant_id) is None:
                    break
                await asyncio.sleep(LOOK_S)
            else:
                raise Busy("The stream's keys were not changed yet.", remedy="Wait: the writer removes the reader.")
            await self._report(writing, effect.grant_id)

    async def _report(self, writing: Writing, grant_id: bytes) -> None:
        left = writing.engine.left.get(grant_id)
        if left is None:
            return
        member, last_epoch = left
        first = await self._first_of(writing, member.joined_epoch)
        last = await self._first_of(writing, last_epoch + 1) - 1
        sealed = f"envelopes {first} to {last}" if first <= last else "no envelope"
        detail = (
            f"A reorg deeper than finality removed grant 0x{grant_id.hex()}, which had acted. Its reader could open "
            f"{sealed} of epochs {member.joined_epoch} to {last_epoch}, from slot {member.start_slot} on."
        )
        alarm = Alarm(KIND, self._core.clock.now(), detail, (grant_id,))
        await self._core.storage.channels.raise_alarm(writing.engine.sid, alarm)
        self._core.metrics.alarm(KIND)
        _log.error("grant_undone", category=writing.spec.category, first_seq=first, last_seq=last)

    async def _first_of(self, writing: Writing, epoch: int) -> int:
        """The first sequence number sealed under `epoch` or a later one: epochs rise with it, so halving finds it."""
        engine, store = writing.engine, self._core.storage.channels
        low, high = 1, engine.writer.position.seq + 1
        while low < high:
            middle = (low + high) // 2
            found = await store.envelopes_by_seq(engine.sid, middle, middle, limit=1)
            # One that is not kept any more is older than everything that is.
            if found and found[0].epoch >= epoch:
                high = middle
            else:
                low = middle + 1
        return low
