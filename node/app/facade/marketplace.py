"""Which parcels belong at which of the marketplace's addresses."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox
from node.app.trading.assetpool import AssetPool
from node.errors import NotFound

__all__ = ["ADDRESSES", "MarketplacePart"]

Wanted = Callable[[Parcel], bool]


def _kind(*kinds: str) -> Wanted:
    return lambda parcel: parcel.kind in kinds


def _typed(kind: str, *types: str) -> Wanted:
    """A parcel of this kind that carries a signed message of one of these types."""

    def wanted(parcel: Parcel) -> bool:
        body: Any = parcel.body
        typed = body.get("typed") if isinstance(body, Mapping) else None
        return parcel.kind == kind and isinstance(typed, Mapping) and typed.get("primaryType") in types

    return wanted


ADDRESSES: Mapping[str, Wanted] = MappingProxyType(
    {
        "/asset/init": _kind("asset.init"),
        "/asset/contract": _kind("asset.contract"),
        "/asset/payment": _kind("asset.payment"),
        "/asset/payment_sent": _kind("asset.payment_sent"),
        "/asset/payment_confirmed": _kind("asset.payment_confirmed"),
        "/asset/payment_reminder": _kind("asset.payment_reminder"),
        "/asset/cancel": _kind("asset.cancel"),
        "/asset/claim": _kind("asset.claim"),
        "/asset/produce": _kind("asset.produce"),
        "/asset/consume": _kind("asset.consume"),
        "/market/register": _kind("market.register"),
        "/market/offer": _typed("market.order", "Offer"),
        "/market/request": _typed("market.order", "Request"),
        "/market/provision": _typed("market.word", "Provision"),
        "/market/payment_processing": _typed("market.word", "Payment", "Cure"),
        "/market/payment_confirmation": _typed("market.word", "Confirm"),
        "/market/payment_reminder": _typed("market.word", "Remind"),
        "/market/cancel": _typed("market.word", "Cancel"),
        "/market/claim": _typed("market.word", "IssueClaim"),
        # The bid manager runs inside the market: its book is fed by the same signed orders.
        "/bids/offer": _typed("market.order", "Offer"),
        "/bids/request": _typed("market.order", "Request"),
        "/bids/remove": _typed("market.word", "Cancel"),
        "/user/fund": _kind("user.fund"),
        "/user/notify_event": _kind("twin.open", "twin.entry", "twin.anchor"),
    }
)
"""Address -> what it takes. The inbox takes all of it too."""


@dataclass(frozen=True, slots=True)
class MarketplacePart:
    """Implements `MarketplaceFacade`; `pool` is None on a node without an asset."""

    core: Core
    inbox: Inbox
    pool: AssetPool | None

    async def take(self, address: str, parcel: bytes, peer: str) -> None:
        await self.inbox.take(parcel, peer, ADDRESSES[address])

    async def count(self, wh: int) -> None:
        if self.pool is None:
            raise NotFound("This node has no asset.")
        await (self.pool.produce(wh) if wh > 0 else self.pool.consume(-wh))

    async def public_key(self) -> str:
        return base64.b64encode(self.core.keys.sealing.public_bytes).decode()
