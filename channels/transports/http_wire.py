"""Entries of a relay's log as bytes: what an HTTP body carries in either direction.

::

    body   ver u8 | entry*
    entry  seq u64 | flags u8 | topic u16-counted | payload u32-counted        flags: 1 = retained

`seq` is the place in the relay's log, ascending over all topics; 0 where there is none yet. An empty payload under the
retained flag takes what is retained off its topic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from channels.codec import ByteReader, ByteWriter, require
from channels.errors import FormatError

__all__ = ["ENTRY_OVERHEAD", "Entry", "decode_entries", "encode_entries"]

_VERSION = 1
_MAX_TOPIC = 512
ENTRY_OVERHEAD = 15


class Entry(NamedTuple):
    """One message in a relay's log."""

    seq: int
    topic: str
    payload: bytes
    retained: bool = False


def encode_entries(entries: Iterable[Entry]) -> bytes:
    """One body."""
    out = ByteWriter().u8(_VERSION)
    for entry in entries:
        topic = entry.topic.encode()
        out.u64(entry.seq).u8(1 if entry.retained else 0).u16(len(topic)).raw(topic).counted(entry.payload)
    return out.done()


def decode_entries(data: bytes) -> list[Entry]:
    """The inverse; FormatError for anything that `encode_entries` would not give."""
    source = ByteReader(data)
    require(source.u8() == _VERSION, "entries of an unknown version")
    entries: list[Entry] = []
    while source.left:
        seq, retained = source.u64(), source.flag()
        size = source.u16()
        require(0 < size <= _MAX_TOPIC, "a topic has 1 to 512 bytes")
        try:
            topic = source.raw(size).decode()
        except UnicodeDecodeError as error:
            raise FormatError("a topic is UTF-8") from error
        entries.append(Entry(seq, topic, source.counted(), retained))
    return entries
