"""Errors of an energy community.

Refused (node.errors)
└── ReadingRefused      a reading that mints nothing; nothing of it was kept
CallerError (node.errors)
└── FlowRefused         figures from which no flows follow
"""

from __future__ import annotations

from node.errors import CallerError, Refused

__all__ = ["FlowRefused", "ReadingRefused"]


class ReadingRefused(Refused):
    """The reading is of another device, goes back, or promises more than its source can make."""

    code = "reading_refused"


class FlowRefused(CallerError):
    """Negative energy or weights."""

    code = "flow_refused"
    status = 422
