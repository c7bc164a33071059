"""A provider of the story in one process, with a disk that thieves look at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from channels.reader import Reader
from channels.reader_state import snapshot_reader
from channels.slots import OPEN_END
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.app.demo.evidence import (
    Reading,
)
from node.app.demo.keyharvest import reader_secrets


def signer(name: str) -> LocalSigner:
    return LocalSigner(hashlib.sha256(name.encode()).digest())


@dataclass
class Party:
    """A provider: one key, at most one grant, a real reader, and a disk that is stolen again and again."""

    letter: str
    key: SealingKey
    start: int = 0
    end: int = OPEN_END
    grant_id: bytes | None = None
    reader: Reader | None = None
    readings: list[Reading] = field(default_factory=list)
    secrets: set[bytes] = field(default_factory=set)
    states: set[bytes] = field(default_factory=set)
    deleted: bool = False

    @property
    def address(self) -> bytes:
        return signer(f"reader {self.letter}").address

    def keep(self, found: Sequence[Reading]) -> None:
        """The provider's store: a reading that is there already is not kept twice."""
        have = {(r.epoch, r.seq, r.time) for r in self.readings}
        self.readings += [reading for reading in found if (reading.epoch, reading.seq, reading.time) not in have]

    def steal(self) -> None:
        """What a look at the disk shows now."""
        if not self.deleted:
            self.secrets.add(self.key.to_bytes())
        if self.reader is not None:
            self.secrets |= reader_secrets(self.reader.params.sid, snapshot_reader(self.reader))
