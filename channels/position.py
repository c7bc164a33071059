"""How far a writer has sealed: what must never be forgotten or repeated (channels.md 4, rule 10)."""

from __future__ import annotations

from dataclasses import dataclass

from channels.codec import ByteReader, ByteWriter, require
from channels.envelope import FIRST_HASH

__all__ = ["START", "Position"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """The last sealed envelope: epoch, slot, seq and hash; `covered_seq` is the last one that a checkpoint covers."""

    epoch: int
    slot: int
    seq: int
    last_hash: bytes
    covered_seq: int

    def to_bytes(self) -> bytes:
        """62 bytes, for the high-water file."""
        out = ByteWriter().u16(_VERSION).u64(self.epoch).u32(self.slot).u64(self.seq)
        return out.raw(self.last_hash).u64(self.covered_seq).done()

    @classmethod
    def from_bytes(cls, data: bytes) -> Position:
        reader = ByteReader(data)
        reader.version(_VERSION)
        found = cls(reader.u64(), reader.u32(), reader.u64(), reader.raw(32), reader.u64())
        reader.end()
        require(found.covered_seq <= found.seq, "more envelopes covered than sealed")
        return found


START = Position(0, 0, 0, FIRST_HASH, 0)
