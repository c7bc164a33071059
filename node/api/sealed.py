"""What is inside the sealed bodies of the marketplace's addresses: the kind of the parcel, and the form of its body.

Nobody can see that in a request, so the API description says it. Which of it a node takes is decided by
`MarketplaceFacade.take`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from pydantic import BaseModel

from node.wire.assets import AssetConfig, AssetRegistered, MeterCounted, TradeNotice
from node.wire.settlement import FundWanted, OrderPlaced, SignedMessage
from node.wire.twins import TwinAnchored, TwinEntrySent, TwinOpened

__all__ = ["SEALED", "Sealed"]


class Sealed(NamedTuple):
    """`kind` of the parcel, the form of its body, and the EIP-712 messages that `typed` in it may be; none for a body
    without one."""

    kind: str
    body: type[BaseModel]
    messages: tuple[str, ...] = ()


def _word(*messages: str) -> tuple[Sealed, ...]:
    return (Sealed("market.word", SignedMessage, messages),)


def _order(message: str) -> tuple[Sealed, ...]:
    return (Sealed("market.order", OrderPlaced, (message,)),)


def _notice(kind: str) -> tuple[Sealed, ...]:
    return (Sealed(kind, TradeNotice),)


SEALED: Final[Mapping[str, tuple[Sealed, ...]]] = MappingProxyType(
    {
        "/asset/init": (Sealed("asset.init", AssetConfig),),
        "/asset/contract": _notice("asset.contract"),
        "/asset/payment": _notice("asset.payment"),
        "/asset/payment_sent": _notice("asset.payment_sent"),
        "/asset/payment_confirmed": _notice("asset.payment_confirmed"),
        "/asset/payment_reminder": _notice("asset.payment_reminder"),
        "/asset/cancel": _notice("asset.cancel"),
        "/asset/claim": _notice("asset.claim"),
        "/asset/produce": (Sealed("asset.produce", MeterCounted),),
        "/asset/consume": (Sealed("asset.consume", MeterCounted),),
        "/market/register": (Sealed("market.register", AssetRegistered),),
        "/market/offer": _order("Offer"),
        "/market/request": _order("Request"),
        "/market/provision": _word("Provision"),
        "/market/payment_processing": _word("Payment", "Cure"),
        "/market/payment_confirmation": _word("Confirm"),
        "/market/payment_reminder": _word("Remind"),
        "/market/cancel": _word("Cancel"),
        "/market/claim": _word("IssueClaim"),
        "/bids/offer": _order("Offer"),
        "/bids/request": _order("Request"),
        "/bids/remove": _word("Cancel"),
        "/user/fund": (Sealed("user.fund", FundWanted),),
        "/user/notify_event": (
            Sealed("twin.open", TwinOpened),
            Sealed("twin.entry", TwinEntrySent),
            Sealed("twin.anchor", TwinAnchored),
        ),
    }
)
"""By address."""
