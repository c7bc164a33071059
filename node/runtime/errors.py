"""Errors of the runtime.

```
NodeError
└── RuntimeFault
    ├── PermanentFailure (CallerError)  this effect can never succeed; it becomes a dead letter
    ├── HandlerMissing (FatalError)     an effect that nobody carries out
    └── StartTooSlow (FatalError)       a service that others need was not ready in time
```
"""

from __future__ import annotations

from node.errors import CallerError, FatalError, NodeError

__all__ = ["HandlerMissing", "PermanentFailure", "RuntimeFault", "StartTooSlow"]


class RuntimeFault(NodeError):
    """Root of the runtime's errors."""


class PermanentFailure(RuntimeFault, CallerError):
    """Raised by a handler when no repetition helps: the other side refused for good, the time for it is over."""

    code = "permanent_failure"


class HandlerMissing(RuntimeFault, FatalError):
    """The node would collect effects that are never carried out, so it does not start."""

    code = "handler_missing"


class StartTooSlow(RuntimeFault, FatalError):
    """Services that come later rely on this one."""

    code = "start_too_slow"
