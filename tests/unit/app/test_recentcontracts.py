"""What a market remembers of the latest changes is what its database says of them, or it says that it does not know."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from node.app.core import Core
from node.app.trading.recentcontracts import RecentContracts
from node.clock import ManualClock
from node.projection import settlement_events as s
from node.projection.errors import ContradictingFact
from node.projection.events import LoggedRolledBack
from node.storage.accounts import Accounts
from node.storage.database import Database
from node.storage.deliveries import Position
from node.storage.journal import Journal
from node.storage.views import Views
from tests.unit.node.projection.kit import address, block, h32

NOW = 1_000_000
ACCOUNTS = [address(letter) for letter in "abcd"]
START, MOST = Position(), 12


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[RecentContracts, Journal, Accounts]]:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    journal = Journal(database, ManualClock(NOW))
    await matched(journal, 1, 1)  # from before anybody listened
    core = cast(Core, SimpleNamespace(storage=SimpleNamespace(journal=journal, views=Views(database))))
    yield RecentContracts(core, MOST), journal, Accounts(database)
    await journal.close()
    await database.close()


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


async def matched(journal: Journal, number: int, height: int) -> None:
    partners = ACCOUNTS[number % 4], ACCOUNTS[(number + 1) % 4]
    await journal.apply(
        [s.LoggedMatched(block(height), key(number), *partners, h32("o"), h32("r"), 1_000, 200, 200, True, NOW)]
    )


async def test_it_agrees_with_the_database_wherever_it_knows(
    parts: tuple[RecentContracts, Journal, Accounts],
) -> None:
    """Contracts come, move, are taken back by reorganisations and are too many to keep; whoever asks from any position
    is told the same as by the database, or that it must be asked."""
    recent, journal, accounts = parts
    dice, known, made, height = random.Random(7), 0, 1, 1
    for turn in range(120):
        height += 1
        if turn % 40 == 39:
            height -= 3
            await journal.apply([LoggedRolledBack(height)])
        elif made < 5 or dice.random() < 0.4:
            made += 1
            await matched(journal, made, height)
        else:
            said = s.LoggedProvisioned(block(height), key(dice.randint(max(1, made - 6), made)), ACCOUNTS[0], turn)
            with contextlib.suppress(ContradictingFact):  # of a contract that a reorganisation took
                await journal.apply([said])
        for account in ACCOUNTS:
            everything = await accounts.contracts(account, START)
            positions = [START, *(position for position, _ in everything)]
            since = dice.choice(positions[-3:])
            found = await recent.after(account, since)
            if found is None:
                recent.told(account, everything[-1][0] if everything else since)
                continue
            known += 1
            assert found == [each for each in everything if each[0] > since]
    assert known > 200
    assert len(recent._moved) <= MOST


async def test_what_it_heard_before_anybody_asked_it_knows(
    parts: tuple[RecentContracts, Journal, Accounts],
) -> None:
    recent, journal, accounts = parts
    ((first, _),) = await accounts.contracts(ACCOUNTS[1], START)
    before = Position(first.seq, b"\xff" * 32)
    await matched(journal, 5, 2)
    everything = await accounts.contracts(ACCOUNTS[1], before)
    assert [trade.contract_id for _, trade in everything] == [key(5)]
    assert await recent.after(ACCOUNTS[1], before) == everything


async def test_what_was_before_it_began_it_does_not_know(parts: tuple[RecentContracts, Journal, Accounts]) -> None:
    recent, journal, accounts = parts
    account = ACCOUNTS[1]
    assert await recent.after(account, START) is None
    last = (await accounts.contracts(account, START))[-1][0]
    recent.told(account, last)
    assert await recent.after(account, last) == []
    await matched(journal, 5, 2)
    found = await recent.after(account, last)
    assert found is not None
    assert [trade.contract_id for _, trade in found] == [key(5)]
    assert await recent.after(account, START) is None


async def test_attack_accounts_that_have_nothing_ask_without_end(
    parts: tuple[RecentContracts, Journal, Accounts],
) -> None:
    """Each question is signed by an account of its own, which costs nothing. Those that trade are told as before."""
    recent, journal, accounts = parts
    assert await recent.after(ACCOUNTS[1], START) is None
    for number in range(40 * MOST):
        asking = number.to_bytes(20, "big")
        assert await recent.after(asking, START) is None
        recent.told(asking, START)
    assert await recent.after(asking, START) == []
    assert len(recent._told) <= 4 * MOST
    assert not recent._last
    await matched(journal, 2, 2)
    found = await accounts.contracts(ACCOUNTS[2], START, 500)
    assert await recent.after(ACCOUNTS[2], START) in (None, found)
    assert found
