"""Errors of settlement statements.

CallerError (node.errors)
└── StatementRefused    a delivery, a tariff or a period from which no statement can be made
"""

from __future__ import annotations

from node.errors import CallerError

__all__ = ["StatementRefused"]


class StatementRefused(CallerError):
    """Negative energy, a price without an end, money that does not follow from energy and price."""

    code = "statement_refused"
    status = 422
