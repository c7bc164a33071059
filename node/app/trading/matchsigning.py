"""A match as it goes onto the chain: signed by the operator, with both orders and their signatures beside it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from keys import messages as m
from keys.eip712 import Domain
from node.app.core import Core
from node.app.submissions import submission_of
from node.errors import Conflict
from node.projection.events import RequestedSubmission
from node.projection.order import Order
from node.services.market.engine import Fill

__all__ = ["market_domain_of", "signed_match"]

MATCH_VALID_S = 600


def market_domain_of(core: Core) -> Domain:
    """The signing domain of the market contract that this node follows. Raises Conflict where it follows none."""
    if core.chain.market is None:
        raise Conflict("This node follows no market contract.", remedy="Set settlement.market.")
    return m.market_domain(core.settings.chain.chain_id, core.chain.market.address)


async def signed_match(
    core: Core,
    fill: Fill,
    offer: Order,
    request: Order,
    times: tuple[int, int] | None = None,
    signed: Sequence[tuple[m.Message, Domain] | None] = (None, None),
) -> RequestedSubmission:
    """The wish to have this node's market make a contract of a fill. `times`: its delivery, by default the offer's.
    `signed`: what both orders say, where it was read already."""
    assert offer.terms is not None  # noqa: S101 (only orders with terms are matched)
    assert request.terms is not None  # noqa: S101 (as above)
    start, end = times or (offer.terms.start, offer.terms.end)
    wallet = core.keys.identity.wallet()
    message = m.Match(
        operator=wallet.address,
        offer=fill.offer,
        request=fill.request,
        wh=fill.wh,
        price=fill.price,
        start=start,
        end=end,
        nonce=secrets.randbits(256),
        deadline=min(core.clock.now() + MATCH_VALID_S, offer.terms.until, request.terms.until),
    )
    domain = market_domain_of(core)
    signature = await wallet.sign_message(message, domain)
    signatures = [signature, offer.signature, request.signature]
    # Both were signed for this same contract.
    orders = [(known or m.from_stored(order.body))[0] for known, order in zip(signed, (offer, request), strict=True)]
    return submission_of(core, message, signatures, orders, domain)
