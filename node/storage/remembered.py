"""The states that were read or written last, beside the text that they are stored as.

A contract is read some ten times while it moves, and making objects of its text costs more than the question to the
database. Every reading still asks the database: only a state whose text is, letter by letter, the one that was read is
taken from here. So nothing here can be out of date, whatever was undone or whoever else writes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from node.projection.aggregates import deadlines_of, index_of
from node.projection.base import Deadline, State, StateIndex
from node.projection.codec import CODEC, Written

__all__ = ["Remembered", "Shown"]

_MOST: Final = 64_000_000
"""Characters of all texts together; the states take about as much. A market in its busiest hour has some
thousand contracts under way, each with two orders and a few messages of some thousand characters; a household never
comes near."""


class Shown(NamedTuple):
    """What a state is found by (`shown`), and all times that it waits for."""

    state: State
    shown: StateIndex
    due: tuple[Deadline, ...]


class Remembered:
    """Of each aggregate the newest text, up to `most` characters in all; what was told longest ago goes first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._size = 0
        self._states: dict[tuple[str, bytes], Written] = {}
        self._shown: dict[tuple[str, bytes], Shown] = {}

    def read(self, kind: str, key: bytes, text: str) -> State:
        """The state that the text says. Raises CodecError."""
        state = self._known(kind, key, text)
        if state is None:
            state = CODEC.decode(text, State)
            self._keep(kind, key, Written(state, text, ()))
        return state

    def read_once(self, kind: str, key: bytes, text: str) -> State:
        """The same for whoever goes through old ones: what is read of them is not kept."""
        return self._known(kind, key, text) or CODEC.decode(text, State)

    def write(self, kind: str, key: bytes, state: State) -> str:
        """The state as text, kept for those who read it next."""
        written = CODEC.encode_again(state, self._states.get((kind, key)))
        self._keep(kind, key, written)
        return written.text

    def shown(self, kind: str, key: bytes, state: State) -> Shown:
        """What the tables show of the state beside its text; worked out once for as long as it is the newest."""
        known = self._shown.get((kind, key))
        if known is None or known.state is not state:
            known = self._shown[kind, key] = Shown(state, index_of(state), deadlines_of(state))
        return known

    def forget(self, kind: str, key: bytes) -> None:
        """It is stored no more."""
        self._shown.pop((kind, key), None)
        gone = self._states.pop((kind, key), None)
        self._size -= len(gone.text) if gone is not None else 0

    def _known(self, kind: str, key: bytes, text: str) -> State | None:
        known = self._states.get((kind, key))
        return known.state if known is not None and known.text == text else None

    def _keep(self, kind: str, key: bytes, written: Written) -> None:
        before = self._states.pop((kind, key), None)
        if before is not None:
            self._size -= len(before.text)
        self._states[kind, key] = written
        self._size += len(written.text)
        while self._size > self._most:
            oldest = next(iter(self._states))
            self._size -= len(self._states.pop(oldest).text)
            self._shown.pop(oldest, None)
