"""Errors of the demo.

NodeError
└── DemoFailed (FatalError)   the story cannot go on: a process ended, or something awaited did not come
"""

from __future__ import annotations

from node.errors import FatalError

__all__ = ["DemoFailed"]


class DemoFailed(FatalError):
    """The message says which step waited for what, the remedy which log tells more."""

    code = "demo_failed"
    default_remedy = "Look into the logs beside the report."
