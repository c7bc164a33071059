"""The states that were read or written last, beside the text that they are stored as.

A contract is read some ten times while it moves, and making objects of its text costs more than the question to the
database. Every reading still asks the database: only a state whose text is, letter by letter, the one that was read is
taken from here. So nothing here can be out of date, whatever was undone or whoever else writes.
"""

from __future__ import annotations

from typing import Final

from node.projection.base import State
from node.projection.codec import CODEC

__all__ = ["Remembered"]

_MOST: Final = 64_000_000
"""Characters of all texts together; the states take about as much. A market in its busiest hour has some
thousand contracts under way, each with two orders and a few messages of some thousand characters; a household never
comes near."""


class Remembered:
    """Of each aggregate the newest text, up to `most` characters in all; what was told longest ago goes first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._size = 0
        self._states: dict[tuple[str, bytes], tuple[str, State]] = {}

    def read(self, kind: str, key: bytes, text: str) -> State:
        """The state that the text says. Raises CodecError."""
        state = self._known(kind, key, text)
        if state is None:
            state = CODEC.decode(text, State)
            self._keep(kind, key, text, state)
        return state

    def read_once(self, kind: str, key: bytes, text: str) -> State:
        """The same for whoever goes through old ones: what is read of them is not kept."""
        return self._known(kind, key, text) or CODEC.decode(text, State)

    def write(self, kind: str, key: bytes, state: State) -> str:
        """The state as text, kept for those who read it next."""
        text = CODEC.encode(state)
        self._keep(kind, key, text, state)
        return text

    def _known(self, kind: str, key: bytes, text: str) -> State | None:
        known = self._states.get((kind, key))
        return known[1] if known is not None and known[0] == text else None

    def _keep(self, kind: str, key: bytes, text: str, state: State) -> None:
        before = self._states.pop((kind, key), None)
        if before is not None:
            self._size -= len(before[0])
        self._states[kind, key] = (text, state)
        self._size += len(text)
        while self._size > self._most:
            gone, _ = self._states.pop(next(iter(self._states)))
            self._size -= len(gone)
