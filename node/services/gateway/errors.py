"""Errors of writing streams.

NeedsPerson (node.errors)
├── WriterBehindChain   the chain has epochs that this writer does not know: a second writer, or an old backup
└── StreamNotOurs       the chain names another writer for the stream
"""

from __future__ import annotations

from node.errors import NeedsPerson

__all__ = ["StreamNotOurs", "WriterBehindChain"]


class WriterBehindChain(NeedsPerson):
    """Going on would fork the stream, so nothing is sealed until a person has looked."""

    code = "writer_behind_chain"


class StreamNotOurs(NeedsPerson):
    """Another writer was set for the stream, or the pairing ended."""

    code = "stream_not_ours"
