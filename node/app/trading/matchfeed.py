"""What the projection has, as the market's rules need it: orders, matches on their way, contracts, and the settings."""

from __future__ import annotations

import re

from keys import messages as m
from keys.eip712 import Domain
from node.app.trading.orderreading import particulars_of
from node.config.settlement import MarketTermsSettings
from node.errors import ConfigError
from node.projection.order import Order
from node.projection.submission import Submission
from node.projection.trade import Trade
from node.services.market.engine import Fill
from node.services.market.engines import load_engine
from node.services.market.matching import Standing
from node.services.market.prices import Traded
from node.services.market.remote import RemoteBook
from node.services.market.slots import Rules
from node.wire.orderdetails import OrderDetails

__all__ = ["Signed", "fill_of", "named_in", "names_somebody", "rules_of", "standing_of", "traded_of"]

Signed = tuple[m.Offer | m.Request, Domain]
"""What was signed as an order, and for which contract."""

_NAMED = re.compile(
    r"\b(?:(?:BalanceShort|Excluded)\(account=0x([0-9a-f]{40})|(?:OrderCancelled|OverFilled)\(order=0x([0-9a-f]{64}))\b"
)
_NAMES = re.compile(r"\b(?:BalanceShort|Excluded|OrderCancelled|OverFilled)\(\)")
"""The contract's errors that say whose fault a refused match is, as the ledger writes them."""


def rules_of(chosen: MarketTermsSettings, remote: RemoteBook | None = None) -> Rules:
    """Raises ConfigError for an engine that is not there, or an auction without a gate. `remote`: the book is there."""
    engine = load_engine(chosen.engine)
    if engine.auction and chosen.gate_closure_s is None:
        raise ConfigError(
            f"The auction {chosen.engine} needs a gate.",
            field="market.gate_closure_s",
            remedy="Set market.gate_closure_s to the seconds between the auction and the delivery.",
        )
    if remote is not None:
        engine = remote.kind(engine)
    return Rules(engine, chosen.slot_s, chosen.gate_closure_s, frozenset(chosen.areas), frozenset(chosen.energies))


def _message(order: Order, domain: Domain | None, signed: Signed | None) -> m.Offer | m.Request | None:
    if order.terms is None:
        return None
    message, named = signed or m.from_stored(order.body)
    return message if isinstance(message, m.Offer | m.Request) and domain in (None, named) else None


def standing_of(
    order: Order, operator: bytes, terms: bytes, domain: Domain | None = None, signed: Signed | None = None
) -> Standing | None:
    """An open order as the desk takes it; None for one of another market, of terms that do not hold any more, or that
    was signed for another contract than `domain`. `signed`: what its body says, if that was read already."""
    message = _message(order, domain, signed)
    if message is None or message.operator != operator or message.terms != terms:
        return None
    details = OrderDetails.model_validate_json(order.details) if order.details else None
    return Standing(
        order.order_id,
        message.account,
        isinstance(message, m.Offer),
        message.wh,
        order.filled,
        message.price,
        operator,
        message.start,
        message.end,
        message.deadline,
        particulars_of(message.partner, details),
    )


def fill_of(submission: Submission, operator: bytes) -> Fill | None:
    """What a match on its way takes; None for one of another operator."""
    message, _ = m.from_stored(submission.message)
    if not isinstance(message, m.Match) or message.operator != operator:
        return None
    return Fill(message.offer, message.request, message.wh, message.price)


def named_in(reason: str) -> bytes | None:
    """The account or the order for whose sake the chain refused a match; None where it named nobody."""
    found = _NAMED.search(reason)
    return bytes.fromhex(found[1] or found[2]) if found else None


def names_somebody(reason: str) -> bool:
    """Whether the contract's error would say whose fault it is, had it come with its arguments."""
    return _NAMES.search(reason) is not None


def traded_of(trade: Trade, order: Order, operator: bytes, signed: Signed | None = None) -> Traded | None:
    """A contract as the price history takes it, by one of its orders; None for one of another market. `signed` as for
    `standing_of`."""
    message = _message(order, None, signed)
    if message is None or message.operator != operator or trade.terms is None:
        return None
    terms = trade.terms
    return Traded((message.start, message.end), terms.wh, terms.price, terms.amount)
