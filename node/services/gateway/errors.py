"""Errors of writing streams.

RecoverableError (node.errors)
├── EpochOpen           an erasure reaches into an epoch that is still in use
└── WriterStale         the store refused what this writer did: it must be opened anew from there
NeedsPerson (node.errors)
├── WriterBehindChain   the chain has epochs that this writer does not know: a second writer, or an old backup
└── StreamNotOurs       the chain names another writer for the stream
"""

from __future__ import annotations

from node.errors import NeedsPerson, RecoverableError

__all__ = ["EpochOpen", "StreamNotOurs", "WriterBehindChain", "WriterStale"]


class EpochOpen(RecoverableError):
    """A commit that ends the epoch has to be on the chain first."""

    code = "epoch_open"


class WriterStale(RecoverableError):
    """Memory is ahead of what is kept. Nothing of it was published."""

    code = "writer_stale"


class WriterBehindChain(NeedsPerson):
    """Going on would fork the stream, so nothing is sealed until a person has looked."""

    code = "writer_behind_chain"


class StreamNotOurs(NeedsPerson):
    """Another writer was set for the stream, or the pairing ended."""

    code = "stream_not_ours"
