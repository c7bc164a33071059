"""A market tells an asset that the chain did not take its word, and only then (A-28)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.app.core import Core
from node.app.spelling import wish_for
from node.app.trading.knownorders import KnownOrders
from node.app.trading.marketduties import MarketDuties
from node.app.trading.marketnotices import MarketNotices
from node.clock import ManualClock
from node.projection import settlement_events as s
from node.projection.base import Event, Peer
from node.projection.events import LoggedFinalized, LoggedMessageIncluded
from node.storage.database import Database
from node.storage.journal import Applied, Journal
from node.storage.views import Views
from tests.unit.node.projection.kit import address, block, h32

NOW, OPERATOR = 1_000_000, address("m")
ASSET = LocalSigner(b"\x61" * 32)
PEER = Peer(address("n"), "http://x.example", b"\x01" * 1216)
TERMS = s.OrderTerms(True, ASSET.address, 9_000, 200, NOW, NOW + 900, NOW)
DOMAIN = m.market_domain(31337, address("c"))
WORD = m.Confirm(ASSET.address, OPERATOR, h32("c"), NOW + 600)
DIGEST = m.digest(WORD, DOMAIN)


class Market:
    """What of a node the duties need, with its journal and database."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self.journal = journal
        self.told: list[Event] = []
        wallet = SimpleNamespace(address=OPERATOR)
        self.core = cast(
            Core,
            SimpleNamespace(
                clock=ManualClock(NOW),
                keys=SimpleNamespace(identity=SimpleNamespace(wallet=lambda: wallet), keystore=None),
                chain=SimpleNamespace(market=object()),
                storage=SimpleNamespace(database=database, journal=journal, views=Views(database), memory=self),
                wake=lambda: None,
            ),
        )
        orders = KnownOrders(self.core)
        self.duties = MarketDuties(self.core, MarketNotices(self.core, orders), orders)

    async def keep(self, events: Iterable[Event]) -> Applied:
        found = list(events)
        self.told += found
        return await self.journal.apply(found)


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    journal = Journal(database, ManualClock(NOW))
    made = Market(database, journal)
    await journal.apply([s.ReceivedOrder(h32("o"), TERMS, "{}", b"\x01" * 65, PEER, 1)])
    await journal.apply([wish_for(WORD, [b"\x01" * 65], (), DOMAIN, NOW)])
    await journal.apply([LoggedFinalized(5, NOW + 601)])  # its time is over, and no block is known to have it
    yield made
    await journal.close()
    await database.close()


async def test_a_word_that_no_block_has_is_told_to_be_refused_once(market: Market) -> None:
    await market.duties.step()
    await market.duties.step()
    assert [type(event) for event in market.told] == [s.RequestedRefusal]


async def test_a_word_whose_block_is_known_only_then_is_not_told_to_be_refused(market: Market) -> None:
    """The chain may be read to its head before the sender says which block has the message."""
    await market.journal.apply([LoggedMessageIncluded(block(4), DIGEST)])
    await market.duties.step()
    assert not market.told
