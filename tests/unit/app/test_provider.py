"""Revocations that a reader's alarm waits for: those the writer must answer with a commit (channels.md 4 rule 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.app.core import Core
from node.app.streams.provider import SETTLED_BLOCKS, SETTLED_SLOTS, ProviderRole, Reading
from node.projection.base import ALL_STREAMS, Block
from node.projection.consent import Consent, ConsentStatus, Revocation, Terms
from node.projection.effects import NotifyRevoked
from node.projection.stream import Commit, Stream
from node.types import OPEN_END

SID, OTHER, GRANT, OWNER, READER = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32, bytes([4]) * 20, bytes([5]) * 20
NOW, SLOT, START = 1_800_000_000, 60, 1_799_000_000
GRANTED = 1_000
REVOKED = GRANTED + SETTLED_BLOCKS


def block(number: int) -> Block:
    return Block(number, number.to_bytes(32, "big"))


CONSENT = Consent(
    GRANT,
    ConsentStatus.REVOKED,
    Terms(OWNER, READER, bytes(32), (SID,), START, OPEN_END, 1, bytes(32)),
    block(GRANTED),
    (Revocation(OWNER, ALL_STREAMS, block(REVOKED)),),
)


@dataclass
class Member:
    """A reader in an epoch, and the revocations that it was told."""

    told: list[int]
    epoch: int = 7

    @property
    def params(self) -> Any:
        return SimpleNamespace(slot_seconds=SLOT)

    def status(self) -> Any:
        return SimpleNamespace(epoch=self.epoch)

    async def revocation_seen(self, number: int) -> None:
        self.told.append(number)


async def told(consent: Consent, committed: int = REVOKED - 1, *, epoch: int = 7, sid: bytes = SID) -> list[int]:
    """What the reader of `sid` hears when the chain shows the consent's revocation and the commit of epoch 7."""
    stream = Stream(SID, commits=(Commit(block(committed), True, 7, bytes(32)),))

    async def one(kind: type[Any], key: bytes) -> Any:
        return consent if kind is Consent else stream

    core = SimpleNamespace(
        storage=SimpleNamespace(views=SimpleNamespace(one=one)), clock=SimpleNamespace(now=lambda: NOW)
    )
    role, member = ProviderRole(cast("Core", core)), Member([], epoch)
    role.reading[sid, bytes(32)] = Reading(sid, bytes(32), "electricity/1s", cast("Any", member), cast("Any", None))
    await role._revoked(NotifyRevoked(GRANT, OWNER, (SID,)))
    return member.told


def between(start: int = START, end: int = OPEN_END) -> Consent:
    assert CONSENT.terms is not None
    return replace(CONSENT, terms=replace(CONSENT.terms, start=start, end=end))


async def test_a_revocation_that_no_followed_commit_knows_is_waited_for() -> None:
    assert await told(CONSENT) == [REVOKED]


@pytest.mark.parametrize(
    ("consent", "why"),
    [
        (replace(CONSENT, granted=block(GRANTED + 1)), "young: it may not have been final"),
        (replace(CONSENT, granted=None), "its block was removed"),
        (replace(CONSENT, revocations=(Revocation(OWNER, ALL_STREAMS, None),)), "only a signature, in no block yet"),
        (replace(CONSENT, revocations=(Revocation(READER, ALL_STREAMS, block(REVOKED)),)), "somebody else's"),
        (between(end=NOW), "over by itself"),
        (between(start=NOW - SETTLED_SLOTS * SLOT + 1), "not begun for long enough"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_no_commit_is_due_for_a_grant_that_may_have_had_no_leaf(consent: Consent, why: str) -> None:
    assert await told(consent) == []


async def test_a_commit_from_the_same_block_on_has_answered_it() -> None:
    assert await told(CONSENT, committed=REVOKED) == []


async def test_a_reader_whose_epoch_the_chain_does_not_show_waits_for_nothing() -> None:
    assert await told(CONSENT, epoch=8) == []


async def test_another_streams_readers_hear_nothing() -> None:
    assert await told(CONSENT, sid=OTHER) == []
