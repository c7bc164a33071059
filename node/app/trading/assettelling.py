"""An asset tells its owner which account it has in its market, and how it stands: once for each change (M-75)."""

from __future__ import annotations

import structlog

from node.app.core import Core
from node.app.services import looped
from node.app.trading.asset import AssetRole
from node.app.trading.assetpool import AssetPool
from node.app.trading.paying import OwnerPeer
from node.errors import NodeUnreachable
from node.runtime.errors import PermanentFailure
from node.runtime.supervisor import Service
from node.wire.assets import AssetTold

__all__ = ["AssetTelling"]

_log = structlog.get_logger(__name__)

TOLD = ("asset_owner_told", "asset")
"""The fact of what the owner was told last."""

EVERY_S = 5.0

AGAIN_S, LONGEST_S = 15.0, 600.0
"""Seconds between two letters of the same content to a mailbox where nobody answers, doubled up to the longest: all
of them wait there for an owner that is away."""


class AssetTelling:
    """`owner` finds the paired household; an owner that does not answer is told later."""

    def __init__(self, core: Core, asset: AssetRole, pool: AssetPool, owner: OwnerPeer) -> None:
        self._core = core
        self._asset = asset
        self._pool = pool
        self._owner = owner
        self._unheard: AssetTold | None = None
        self._again_at, self._pause = 0.0, AGAIN_S

    def service(self) -> Service:
        return Service("asset telling", looped(self._core.new_wake(), self.step, EVERY_S))

    async def step(self) -> bool:
        config, memory = await self._pool.config(), self._core.storage.memory
        if config is None:
            return False
        operator = await self._pool.operator()
        if operator is None:
            return False
        body = AssetTold(operator=operator, account=self._asset.account(operator).address, status=config.status)
        peer = await self._owner()
        if peer is None or await memory.facts.get(*TOLD) == body.to_json():
            return False
        now = self._core.clock.monotonic()
        if not peer.url and body == self._unheard and now < self._again_at:
            return False
        self._pause = min(2 * self._pause, LONGEST_S) if body == self._unheard else AGAIN_S
        self._unheard, self._again_at = body, now + self._pause
        try:
            await self._asset.voice.post.send(peer, "user.asset", body.to_json())
        except NodeUnreachable as silent:
            _log.info("owner_not_told", reason=str(silent))
            return False
        except PermanentFailure as refused:
            _log.warning("owner_not_told", reason=str(refused))
        self._unheard = None
        await memory.keep((), [(*TOLD, body.to_json())])
        return False
