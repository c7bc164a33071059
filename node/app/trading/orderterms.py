"""The terms that hold for a contract: those that its orders named when they were signed, for good."""

from __future__ import annotations

from contracts.bindings import market as abi
from keys import messages as m
from node.projection.order import Order
from node.projection.settlement_events import OrderTerms, Waits

__all__ = ["terms_named", "waits_of"]


def terms_named(order: Order) -> bytes | None:
    """The id of the terms in a signed offer or request; None where its text is not here."""
    if not order.body:
        return None
    message, _ = m.from_stored(order.body)
    return message.terms if isinstance(message, m.Offer | m.Request) else None


def waits_of(order: OrderTerms, terms: abi.Terms) -> Waits:
    """The times of a contract: its delivery, and the waits of the terms."""
    return Waits(
        order.start,
        order.end,
        terms.start_grace,
        terms.provision_grace,
        terms.payment_due,
        terms.reminder_every,
        terms.dispute_window,
        terms.ruling_window,
    )
