"""What a market that nets tells the partners of its contracts: each side once, and again while it cannot be reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from node.app.core import Core
from node.app.parcels import NOBODY, Post
from node.errors import NodeUnreachable
from node.projection.order import Order
from node.runtime.errors import PermanentFailure

__all__ = ["SIDES", "NetTelling"]

_log = structlog.get_logger(__name__)

SIDES = ("seller", "buyer")
TELL_S = 86_400
AGAIN_S = 10
"""Seconds before a partner that did not answer is told again."""

Bodies = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]
"""What a side is told, in one parcel after the other: none may be larger than a parcel."""


class NetTelling:
    """`kind` is that of the parcels."""

    def __init__(self, core: Core, kind: str) -> None:
        self._core = core
        self._post = Post(core)
        self._kind = kind
        self._again: dict[tuple[bytes, str], int] = {}

    async def tell(
        self,
        key: bytes,
        orders: tuple[bytes, bytes],
        done: Collection[str],
        bodies: Bodies,
    ) -> tuple[str, ...]:
        """Tells both partners of a thing, but for the sides that are `done`, and returns those that are from now on:
        it arrived, it was refused for good, or an asset without a node asks by itself. `orders`: the seller's and the
        buyer's, by which they are found."""
        return tuple(
            [
                side
                for side, order_id in zip(SIDES, orders, strict=True)
                if side not in done and await self._told(key, side, order_id, bodies)
            ]
        )

    async def _told(self, key: bytes, side: str, order_id: bytes, bodies: Bodies) -> bool:
        now = self._core.clock.now()
        if self._again.get((key, side), 0) > now:
            return False
        order = await self._core.storage.views.one(Order, order_id)
        if order.terms is None:
            return False
        peer = order.peer
        if peer is None or peer.url.endswith(NOBODY):
            return True  # it asks the desk
        try:
            for body in await bodies(side):
                await self._post.send(peer, self._kind, body, TELL_S)
        except NodeUnreachable:
            self._again[key, side] = now + AGAIN_S
            return False
        except PermanentFailure as refused:
            _log.error("not_accepted", kind=self._kind, about=key.hex(), side=side, reason=str(refused))
        self._again.pop((key, side), None)
        return True
