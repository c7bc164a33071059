"""The household gives a stream new keys at the gateway that it has: SetWriter with another writer, M, T and stream key.

For keys that may be stolen. Whoever has the old ones can neither write nor read from the change on: the registry takes
no commit of the old writer, readers take nothing that the old stream key signs, and the first commit of the new time
hands keys from new masters to every reader. What was sealed before stays open to the thief. A stolen gateway is no
case for this, for its recovery phrase makes the next keys as well: `wattpact gateway move` is.

The steps are those of a move (moving.py), with the same gateway on both sides. A stream that another household gave
away comes to our own gateway in the same way, from the one that wrote it.
"""

from __future__ import annotations

import structlog

from node.api.views import MoveView
from node.app.core import Core
from node.app.streams.home import HomeRole
from node.app.streams.moving import LAST, SIGNED, Mover
from node.app.streams.places import ROTATION
from node.errors import Conflict, NodeUnreachable, NotFound
from node.projection.device import DeviceStatus
from node.runtime.errors import PermanentFailure

__all__ = ["Rotator"]

_log = structlog.get_logger(__name__)


class Rotator:
    """Begins rotations and takes each a step further, whenever something changed."""

    def __init__(self, core: Core, home: HomeRole, mover: Mover) -> None:
        self._core = core
        self._home = home
        self._mover = mover

    async def rotate(self, sid: bytes) -> MoveView:
        """Remembers that a stream gets new keys. Raises NotFound or Conflict."""
        offer = (await self._home.streams()).get(sid)
        if offer is None:
            raise NotFound("This household has no such stream.", remedy="`wattpact stream list` shows all.")
        device, facts = await self._home.gateway(), self._core.storage.memory.facts
        if device is None or device.status is not DeviceStatus.PAIRED:
            raise Conflict("No gateway is paired that could write with new keys.", remedy="Pair with `wattpact pair`.")
        if await self._taken(sid, offer.category):
            raise Conflict(
                f"The paired gateway writes a stream {offer.category} of its own.",
                remedy="It has one meter: pair the gateway that the other stream came with.",
            )
        if await self._mover.moves():
            raise Conflict("A move is under way.", remedy="`wattpact gateway status` shows how far it is.")
        if await facts.get(ROTATION, sid.hex()) is None:
            begun = await self._home.places.begins(sid, device.device_hash)
            forgotten = [(SIGNED, sid.hex(), None)]
            if await self._home.places.inherited(sid) is None:  # else its gateway may have spoken already
                forgotten.append((LAST, sid.hex(), None))
            await self._core.storage.memory.keep((), [*forgotten, *begun])
            self._core.wake()
        return MoveView(sid=sid, name=offer.category, state=self._mover.state.get(sid, "waiting for the gateway"))

    async def _taken(self, sid: bytes, category: str) -> bool:
        """Whether a stream that another household gave away finds its name taken at our own gateway."""
        places = self._home.places
        if await places.inherited(sid) is None:
            return False
        same = [other for other, offer in (await self._home.living()).items() if offer.category == category]
        return any([other != sid and await places.inherited(other) is None for other in same])

    async def step(self) -> bool:
        """One look at every rotation."""
        facts = self._core.storage.memory.facts
        waiting = [bytes.fromhex(sid) for sid, generation in (await facts.all(ROTATION)).items() if generation]
        device = await self._home.gateway() if waiting else None
        if device is None or device.status is not DeviceStatus.PAIRED or device.local is None:
            return False
        streams = await self._home.streams()
        for sid in waiting:
            try:
                done = await self._mover.advance(sid, streams[sid], device.local.peer)
            except (NodeUnreachable, PermanentFailure) as failed:
                _log.warning("rotation_waits", reason=str(failed))
                continue
            if done:
                over = [(name, sid.hex(), None) for name in (ROTATION, SIGNED, LAST)]
                await self._core.storage.memory.keep((), [*over, *await self._home.places.arrived(sid)])
                self._mover.forget(sid)
                _log.info("stream_rotated", sid=sid.hex()[:8])
        return False
