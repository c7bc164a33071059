"""Errors of an asset.

Refused (node.errors)
└── PaymentRefused      a contract that is not paid as it stands; names what differs
    └── PaymentWaits    what it is compared with is not here yet; it is looked at again
"""

from __future__ import annotations

from node.errors import Refused

__all__ = ["PaymentRefused", "PaymentWaits"]


class PaymentRefused(Refused):
    """What is asked for is not what was ordered; nothing was signed."""

    code = "payment_refused"


class PaymentWaits(PaymentRefused):
    """Nothing differs, and something is missing; nothing was signed."""

    code = "payment_waits"
