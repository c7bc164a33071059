"""Errors of deciding on consents.

Refused (node.errors)
└── ConsentRefused      what was asked or narrowed cannot be granted; names the field
NotFound (node.errors)
└── UnknownRequest      no such request, or it has ended
"""

from __future__ import annotations

from node.errors import NotFound, Refused

__all__ = ["ConsentRefused", "UnknownRequest"]


class ConsentRefused(Refused):
    """The consent as worded cannot be given; nothing was signed."""


class UnknownRequest(NotFound):
    """No request of this id waits for an answer."""
