"""Lists of facts that the chain told: what a reorg takes away, what finality keeps, what told twice means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from node.projection.base import Block
from node.projection.errors import ContradictingFact

__all__ = ["KEPT_FINAL", "Fact", "add", "cut", "settle", "top_block", "unsettled_block"]

KEPT_FINAL = 16
"""Final facts kept per list, so that a reorg below finality still finds the fact before the ones it removes."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something in a block; lists of facts are in chain order."""

    block: Block
    final: bool


F = TypeVar("F", bound=Fact)


def add(facts: tuple[F, ...], new: F) -> tuple[F, ...]:
    """Append a fact; return the same list if it was told before.

    Raises ContradictingFact if the place is taken by another block, or lies before facts that are not final: then the
    reader of the chain skipped a roll-back. A place before a final fact is old history told again and ignored.
    """
    if not facts or new.block.number > facts[-1].block.number:
        return (*facts, new)
    for known in reversed(facts):  # in chain order, so those of the same block and above are the last ones
        if known.block.number < new.block.number:
            break
        if known == new or (known.final and replace(known, final=False) == new):
            return facts
        if known.block.number == new.block.number and known.block.hash != new.block.hash:
            raise ContradictingFact(f"two blocks numbered {new.block.number} without a roll-back in between")
    if new.block.number < facts[-1].block.number:
        if any(known.final and known.block.number > new.block.number for known in facts):
            return facts
        raise ContradictingFact(f"a fact of block {new.block.number} after one of block {facts[-1].block.number}")
    return (*facts, new)


def cut(facts: tuple[F, ...], ancestor_height: int) -> tuple[F, ...]:
    """What a reorg to this ancestor leaves."""
    if not facts or facts[-1].block.number <= ancestor_height:
        return facts
    return tuple(fact for fact in facts if fact.block.number <= ancestor_height)


def settle(facts: tuple[F, ...], height: int) -> tuple[F, ...]:
    """Mark what is final at `height` and forget all but the newest final ones."""
    if not any(not fact.final and fact.block.number <= height for fact in facts):
        return facts
    marked = tuple(f if f.final or f.block.number > height else replace(f, final=True) for f in facts)
    final = sum(fact.final for fact in marked)
    return marked[max(0, final - KEPT_FINAL) :]


def top_block(*lists: tuple[Fact, ...]) -> int | None:
    if not any(lists):
        return None
    return max((facts[-1].block.number for facts in lists if facts), default=None)


def unsettled_block(*lists: tuple[Fact, ...]) -> int | None:
    if not any(lists):
        return None
    return min((fact.block.number for facts in lists for fact in facts if not fact.final), default=None)
