"""An asset that pauses or retires takes back what it has open in its market: no contract comes of it any more."""

from __future__ import annotations

from node.app.core import Core
from node.app.trading.asset import AssetRole
from node.app.trading.assetvoice import VALID_S
from node.projection.order import Order, OrderStatus

__all__ = ["AssetResting"]

_PAGE = 200


class AssetResting:
    """Each order is taken back once, for as long as that word may be on its way. What was matched before stands."""

    def __init__(self, core: Core, asset: AssetRole) -> None:
        self._core = core
        self._asset = asset
        self._said: dict[bytes, int] = {}

    async def take_back(self, operator: bytes) -> tuple[Order, ...]:
        """All that is open in one market; what was not taken back before, now. Raises NodeUnreachable."""
        views, account = self._core.storage.views, self._asset.account(operator).address
        await self._asset.left.all()  # what a netting left out was delivered: its orders are for money, and stand
        found: list[Order] = []
        before: int | None = None
        while rows := await views.page(
            Order, status=OrderStatus.OPEN.value, link=("account", account), before=before, limit=_PAGE
        ):
            found += [each for _, each in rows if each.own and self._asset.left.agreed(each.order_id) is None]
            before = rows[-1][0]
        now = self._core.clock.now()
        for order in found:
            if self._said.get(order.order_id, 0) < now:
                await self._asset.actions.cancel_order(order.order_id)
                self._said[order.order_id] = now + VALID_S
        return tuple(found)

    async def outstanding(self) -> bool:
        """Whether something that was taken back is open still: what becomes of its energy is not known before."""
        now, views = self._core.clock.now(), self._core.storage.views
        for order_id, until in list(self._said.items()):
            if until < now or (await views.one(Order, order_id)).status is not OrderStatus.OPEN:
                del self._said[order_id]
        return bool(self._said)
