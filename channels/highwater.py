"""The high-water file: how far a writer has sealed, outside every database and backup (channels.md 4, rule 10).

A restored backup or a copied folder brings an old database along; this file tells. It is written, and on disk, before
anything that it describes is published.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from channels.errors import FormatError, HighWaterBehind, HighWaterDamaged, HighWaterMissing
from channels.kdf import sha256
from channels.position import START, Position

__all__ = ["HighWater", "Mark"]

_CHECK = 8


@dataclass(slots=True)
class Mark:
    """One stream's mark. `restored`: it was missing or older than the world, so the writer listens before it seals."""

    path: Path
    position: Position = START
    restored: bool = field(default=False)

    def advance(self, position: Position) -> None:
        """Write the mark forward; durable when it returns. HighWaterBehind for one that goes back or forks off."""
        place, kept = (position.epoch, position.seq), (self.position.epoch, self.position.seq)
        if place < kept:
            raise HighWaterBehind(f"seq {position.seq} lies behind the mark {self.position.seq}")
        if place == kept and position.last_hash != self.position.last_hash:
            raise HighWaterBehind(f"seq {position.seq} was sealed before, as another envelope")
        if position == self.position:
            return
        _write(self.path, position)
        self.position = position

    def compare(self, *, chain_epoch: int, recorded_epoch: int, retained_seq: int) -> None:
        """Set `restored` when the world has seen more of this writer than this folder has.

        `chain_epoch` is the stream's head on chain, `recorded_epoch` the newest commit in the store, `retained_seq` the
        last sequence number under the topic's retained checkpoint (0 without one; its signature is the caller's to
        check, or a broker could make every start wait). After an ordinary crash the store has the newest commit, for
        it is recorded before it is sent, and the mark every published envelope, for it is written before they go out.
        """
        if chain_epoch > max(recorded_epoch, self.position.epoch) or retained_seq > self.position.seq:
            self.restored = True


class HighWater:
    """The folder of marks. `start_without` accepts that a mark is missing; see `open`."""

    def __init__(self, folder: Path, *, start_without: bool = False) -> None:
        self._folder = folder
        self._start_without = start_without

    def open(self, sid: bytes, *, fresh: bool) -> Mark:
        """The mark of a stream; `fresh` says that no writer of it can have sealed anything yet.

        Raises HighWaterMissing when there should be one and `start_without` was not given: a writer that starts without
        it cannot know whether an earlier one went further. Raises HighWaterDamaged for a file that does not decode.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{sid.hex()}.mark"
        try:
            raw = path.read_bytes()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                raise HighWaterDamaged(f"{path} cannot be read: {error.strerror}") from error
            if fresh:
                # From here on it is there: a stream whose first commit comes before its first reading is no restore.
                _write(path, START)
                return Mark(path)
            if not self._start_without:
                raise HighWaterMissing(f"{path} is missing, and the stream has been written before") from None
            return Mark(path, restored=True)
        return Mark(path, _decode(path, raw))


def _decode(path: Path, raw: bytes) -> Position:
    body, check = raw[:-_CHECK], raw[-_CHECK:]
    try:
        if sha256(body)[:_CHECK] != check:
            raise FormatError("the check does not fit")
        return Position.from_bytes(body)
    except FormatError as error:
        raise HighWaterDamaged(f"{path} cannot be read: {error}") from error


def _write(path: Path, position: Position) -> None:
    """Atomic: the old mark or the new one, never half of either."""
    body = position.to_bytes()
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        data = body + sha256(body)[:_CHECK]
        if os.write(descriptor, data) != len(data):
            raise OSError("the mark was written in part only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
