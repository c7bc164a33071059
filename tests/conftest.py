"""No test judges time: a busy machine must not turn a right answer into a failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
