"""Errors of the market.

CallerError (node.errors)
├── OrderRefused        the book does not take this order, or does not know it
├── BookLost            a bid manager does not have what it was told before; it is told anew
├── LineRefused         a line of a netting that does not bind its debtor
└── MatchRefused        an engine proposed what the orders that it names do not allow; nobody is bound by it
"""

from __future__ import annotations

from node.errors import CallerError

__all__ = ["BookLost", "LineRefused", "MatchRefused", "OrderRefused"]


class OrderRefused(CallerError):
    """An order without energy, with a negative price, of a book that is full, or one that is not in the book."""

    code = "order_refused"
    status = 422


class BookLost(CallerError):
    """A command for a session that is not (or no longer) known, or after one that never arrived."""

    code = "book_lost"
    status = 409


class LineRefused(CallerError):
    """Above what its request allows, for another market, or for nobody."""

    code = "line_refused"
    status = 422


class MatchRefused(CallerError):
    """A fill outside the limits of its orders."""

    code = "match_refused"
    status = 409
