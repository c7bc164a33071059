"""What a `replay` topic carries: one byte that says what follows, then the message as it was published."""

from __future__ import annotations

from enum import IntEnum

from channels.errors import FormatError

__all__ = ["ReplayKind", "split_replay"]


class ReplayKind(IntEnum):
    """The first byte of a replayed message."""

    COMMIT = 1
    ENVELOPE = 2
    CHECKPOINT = 3


def split_replay(payload: bytes) -> tuple[ReplayKind, bytes]:
    """Kind and message; FormatError for anything else."""
    if len(payload) < 2 or payload[0] not in {kind.value for kind in ReplayKind}:
        raise FormatError("a replayed message begins with its kind")
    return ReplayKind(payload[0]), payload[1:]
