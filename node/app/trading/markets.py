"""What a market shows to everybody: its terms. An asset checks them on chain before it names them in an order."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import aiohttp
from pydantic import ConfigDict, Field, ValidationError

from node.app.core import Core
from node.errors import NodeUnreachable, Refused
from node.runtime.outbound import read_at_most
from node.wire.consents import PartyCard
from node.wire.fields import Address, Body, Hash
from node.wire.orderdetails import Name

__all__ = ["MarketTerms", "ShownTerms", "fetch_terms"]

MAX_BYTES = 16_384


class ShownTerms(Body):
    """The answer of /api/v1/market/terms: who operates the market, and the id of its terms on chain.

    Markets of later versions say more: what is not known here is left out.
    """

    model_config = ConfigDict(extra="ignore")

    operator: Address
    terms: Hash
    market: Address
    settle: Literal["gross", "net"] = "gross"
    net_settlement: Address | None = None
    slot_s: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    gate_closure_s: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    energies: Annotated[tuple[Name, ...], Field(max_length=64)] | None = None


class MarketTerms(Body):
    """A market that this node trades in. `slot_s`: length of its deliveries, 0 for any; `gate_closure_s`: seconds
    between gate and delivery, None for no gate; `energies`: the kinds that it knows, None where it does not say."""

    operator: Address
    terms: Hash
    card: PartyCard
    settle: Literal["gross", "net"] = "gross"
    slot_s: int = 0
    gate_closure_s: int | None = None
    energies: tuple[str, ...] | None = None


async def fetch_terms(core: Core, url: str) -> ShownTerms:
    """The terms that a market shows. Raises NodeUnreachable, or Refused for something else or another contract."""
    address = url.rstrip("/") + "/api/v1/market/terms"
    try:
        async with core.http.get(address, allow_redirects=False) as answer:
            raw = await read_at_most(answer, MAX_BYTES)
            if answer.status != 200:
                raise NodeUnreachable(f"{url} answers {answer.status}.", remedy="Is it a market?")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NodeUnreachable(f"{url} cannot be reached.", remedy="Check the address and the network.") from error
    try:
        shown = ShownTerms.model_validate(json.loads(raw))
    except (ValueError, RecursionError, ValidationError) as error:
        raise Refused(f"{url} shows no terms of a market.", remedy="Check the address.") from error
    if core.chain.market is None or shown.market != core.chain.market.address:
        raise Refused(f"{url} settles in another market contract.", remedy="Compare settlement.market.")
    if shown.settle == "net" and (core.chain.netting is None or shown.net_settlement != core.chain.netting.address):
        raise Refused(f"{url} nets in another contract.", remedy="Compare settlement.net_settlement.")
    return shown
