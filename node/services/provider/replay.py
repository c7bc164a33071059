"""What a `replay` topic carries: one byte that says what follows, then the message as it was published."""

from __future__ import annotations

from enum import IntEnum

from channels.errors import FormatError
from channels.transports.topics import Kind

__all__ = ["CARRIED", "ReplayKind", "split_replay"]


class ReplayKind(IntEnum):
    """The first byte of a replayed message."""

    COMMIT = 1
    ENVELOPE = 2
    CHECKPOINT = 3


CARRIED = {
    ReplayKind.COMMIT: Kind.COMMITS,
    ReplayKind.ENVELOPE: Kind.DATA,
    ReplayKind.CHECKPOINT: Kind.CHECKPOINTS,
}
"""The topic on which each was published first."""


def split_replay(payload: bytes) -> tuple[ReplayKind, bytes]:
    """Kind and message; FormatError for anything else."""
    if len(payload) < 2 or payload[0] not in {kind.value for kind in ReplayKind}:
        raise FormatError("a replayed message begins with its kind")
    return ReplayKind(payload[0]), payload[1:]
