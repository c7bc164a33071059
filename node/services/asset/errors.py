"""Errors of an asset.

Refused (node.errors)
└── PaymentRefused      a contract that is not paid as it stands; names what differs
"""

from __future__ import annotations

from node.errors import Refused

__all__ = ["PaymentRefused"]


class PaymentRefused(Refused):
    """What is asked for is not what was ordered; nothing was signed."""

    code = "payment_refused"
