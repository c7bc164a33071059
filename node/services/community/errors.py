"""Errors of an energy community.

Refused (node.errors)
└── ReadingRefused      a reading that mints nothing; nothing of it was kept
"""

from __future__ import annotations

from node.errors import Refused

__all__ = ["ReadingRefused"]


class ReadingRefused(Refused):
    """The reading is of another device, goes back, or promises more than its source can make."""

    code = "reading_refused"
