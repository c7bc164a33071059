"""The header chain: a window of linked headers and the one step that finds reorganisations. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from node.ledger.errors import BrokenBranch, DeepReorg, UnknownParent

__all__ = ["WINDOW", "Behind", "Extended", "Header", "HeaderChain", "Outcome", "RolledBack"]

# Longer than any reorganisation that is handled by rolling back (64), with room for the walk.
WINDOW = 160


@dataclass(frozen=True, slots=True)
class Header:
    """One block: height, hash and parent hash (bytes32), timestamp in seconds UTC."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Extended:
    """The branch continues the tip; ``added`` may be empty when everything was known."""

    added: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The branch leaves the chain above ``ancestor``: ``dropped`` is gone (oldest first), ``added`` replaces it."""

    ancestor: Header
    dropped: tuple[Header, ...]
    added: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Behind:
    """Only known blocks below the tip: whoever said this is late. Nothing changes, a chain never shrinks by this."""

    seen: Header


Outcome = Extended | RolledBack | Behind


@dataclass(frozen=True, slots=True)
class HeaderChain:
    """A window of linked headers, oldest first, at most ``limit`` long. Immutable: every step returns a new one."""

    headers: tuple[Header, ...] = ()
    limit: int = WINDOW

    def __post_init__(self) -> None:
        _linked(self.headers)

    @property
    def tip(self) -> Header | None:
        """The newest header, or None in an empty window."""
        return self.headers[-1] if self.headers else None

    @property
    def lowest(self) -> Header | None:
        """The oldest header of the window."""
        return self.headers[0] if self.headers else None

    def at(self, number: int) -> Header | None:
        """Return the header of this height, or None outside the window."""
        if not self.headers:
            return None
        index = number - self.headers[0].number
        return self.headers[index] if 0 <= index < len(self.headers) else None

    def holds(self, number: int, block_hash: bytes) -> bool:
        """Tell whether the window has this hash at this height."""
        header = self.at(number)
        return header is not None and header.hash == block_hash

    def place(self, branch: Sequence[Header]) -> tuple[HeaderChain, Outcome]:
        """Put linked headers (oldest first) on the chain.

        Raises BrokenBranch when they do not follow each other, UnknownParent when the first hangs on a block that is
        not in the window (fetch that one and try again), DeepReorg when its parent would be below the window.
        """
        _linked(branch)
        if not branch:
            raise BrokenBranch("an empty branch")
        if self.tip is None:
            return self._cut(tuple(branch)), Extended(tuple(branch))
        fresh = tuple(h for h in branch if not self.holds(h.number, h.hash))
        if not fresh:
            behind = branch[-1].hash != self.tip.hash
            return self, Behind(branch[-1]) if behind else Extended(())
        ancestor = self._ancestor(fresh[0])
        if ancestor == self.tip:
            return self._cut(self.headers + fresh), Extended(fresh)
        keep = ancestor.number - self.headers[0].number + 1
        chain = self._cut(self.headers[:keep] + fresh)
        return chain, RolledBack(ancestor, self.headers[keep:], fresh)

    def _ancestor(self, first: Header) -> Header:
        parent = self.at(first.number - 1)
        if parent is not None and parent.hash == first.parent:
            return parent
        if first.number - 1 <= self.headers[0].number:
            raise DeepReorg(
                f"block {first.number} leaves the known chain below block {self.headers[0].number}: "
                "the chain is scanned again from the start block"
            )
        raise UnknownParent(first.number, first.parent)

    def _cut(self, headers: tuple[Header, ...]) -> HeaderChain:
        return HeaderChain(headers[-self.limit :], self.limit)


def _linked(headers: Sequence[Header]) -> None:
    for below, above in pairwise(headers):
        if above.number != below.number + 1 or above.parent != below.hash:
            raise BrokenBranch(f"block {above.number} does not follow block {below.number}")
