"""Errors of the market.

CallerError (node.errors)
├── OrderRefused        the book does not take this order, or does not know it
└── MatchRefused        an engine proposed what the orders that it names do not allow; nobody is bound by it
"""

from __future__ import annotations

from node.errors import CallerError

__all__ = ["MatchRefused", "OrderRefused"]


class OrderRefused(CallerError):
    """An order without energy, with a negative price, of a book that is full, or one that is not in the book."""

    code = "order_refused"
    status = 422


class MatchRefused(CallerError):
    """A fill outside the limits of its orders."""

    code = "match_refused"
    status = 409
