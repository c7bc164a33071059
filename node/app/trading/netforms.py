"""Contracts of a market that nets, in the forms in which they are told, kept in statements and written to twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node.services.market.netcontracts import NetContract
from node.services.twin.netrecords import NetStory
from node.storage.deliveries import DeliveryRow
from node.wire.settlement import NetContractMade

__all__ = ["Dues", "body_of", "contract_of", "rows_of", "story_of"]

Dues = Mapping[bytes, tuple[NetContract, dict[str, Any]]]
"""What counts of contracts, by id: `wh`, `amount`, and what each partner reported (`sold`, `used`)."""


def contract_of(body: NetContractMade) -> NetContract:
    """The contract as the rules take it."""
    return NetContract(
        bytes(body.offer),
        bytes(body.request),
        bytes(body.seller),
        bytes(body.buyer),
        body.wh,
        body.price,
        body.start,
        body.end,
        bytes(body.nonce),
    )


def body_of(made: NetContract, operator: bytes) -> NetContractMade:
    """The contract as it is told."""
    return NetContractMade(
        operator=operator,
        offer=made.offer,
        request=made.request,
        seller=made.seller,
        buyer=made.buyer,
        wh=made.wh,
        price=made.price,
        start=made.start,
        end=made.end,
        nonce=made.nonce,
    )


def story_of(
    made: NetContract, operator: bytes, sold: int | None, used: int | None, due: tuple[int, int] | None
) -> NetStory:
    """A contract as its digital twin tells it."""
    times = (made.start, made.end, made.day)
    orders = (made.offer, made.request, made.wh, made.price)
    return NetStory(made.contract_id, operator, made.seller, made.buyer, *orders, *times, sold, used, due)


def rows_of(dues: Dues, carriers: Mapping[bytes, str]) -> Sequence[DeliveryRow]:
    """Settled contracts as a statement takes them. `carriers`: of what kind of energy each is, by its id."""
    return [
        DeliveryRow(
            key, made.start, made.end, made.seller, made.buyer, made.wh, made.price, due["wh"], due["amount"],
            due.get("sold"), due.get("used"), carrier=carriers[key],
        )
        for key, (made, due) in dues.items()
    ]  # fmt: skip
