"""The market's desk answers an account about itself only, and only what it signed now for this market."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keys.messages import parcel_domain
from keys.signers import LocalSigner
from node.app.core import Core
from node.app.trading.desk import MarketDesk
from node.app.trading.knownorders import KnownOrders
from node.clock import ManualClock
from node.errors import Refused
from node.projection import settlement_events as s
from node.projection.base import Peer
from node.projection.events import LoggedRolledBack
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.views import Views
from node.wire.desk import DeskAnswer, DeskQuestion, desk_statement
from tests.unit.node.projection.kit import address, block, h32

NOW, CHAIN, OPERATOR = 1_000_000, 31337, address("m")
ASSET, OTHER = LocalSigner(b"\x61" * 32), LocalSigner(b"\x62" * 32)
PEER = Peer(address("n"), "http://x.example", b"\x01" * 1216)
TERMS = s.OrderTerms(True, ASSET.address, 9_000, 200, NOW, NOW + 900, NOW)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[MarketDesk, Journal]]:
    """Seven contracts of the asset, some others', in one database."""
    database, clock = await Database.open(f"sqlite:///{tmp_path / 'node.db'}"), ManualClock(NOW)
    journal = Journal(database, clock)
    await journal.apply([s.ReceivedOrder(h32("o"), TERMS, "{}", b"\x01" * 65, PEER, 1)])
    for number in range(7):
        buyer = OTHER.address if number % 2 else address("z")
        values = (ASSET.address, buyer, h32("o"), h32("r"), 1_000, 200, 200, True, NOW)
        await journal.apply([s.LoggedMatched(block(number + 1), bytes([number + 1]) * 32, *values)])
    settings = SimpleNamespace(chain=SimpleNamespace(chain_id=CHAIN))
    storage = SimpleNamespace(database=database, journal=journal, views=Views(database))
    core = cast(Core, SimpleNamespace(clock=clock, settings=settings, storage=storage))
    yield MarketDesk(core, KnownOrders(core), OPERATOR), journal
    await journal.close()
    await database.close()


@pytest.fixture
def desk(parts: tuple[MarketDesk, Journal]) -> MarketDesk:
    return parts[0]


async def question(signer: LocalSigner, operator: bytes = OPERATOR, at: int = NOW, **more: Any) -> DeskQuestion:
    asked = desk_statement(signer.address, operator, h32("n"), at)
    signature = await signer.sign_message(asked, parcel_domain(CHAIN))
    fields: dict[str, Any] = {"account": signer.address, "nonce": h32("n"), "signed_at": at, "signature": signature}
    return DeskQuestion(**fields, **more)


async def test_an_account_sees_its_own_contracts_and_each_change_once(desk: MarketDesk) -> None:
    mine = await desk.answer(await question(ASSET))
    assert [each.id[0] for each in mine.contracts] == [1, 2, 3, 4, 5, 6, 7]
    theirs = await desk.answer(await question(OTHER))
    assert [each.id[0] for each in theirs.contracts] == [2, 4, 6]
    assert all(each.buyer == OTHER.address for each in theirs.contracts)
    again = await desk.answer(await question(ASSET, seen_seq=mine.seen_seq, seen_id=mine.seen_id))
    assert (again.contracts, again.seen_seq, again.more) == ((), mine.seen_seq, False)
    assert DeskAnswer.model_validate(mine.to_json()) == mine


async def test_whatever_changes_after_a_question_is_in_the_next_answer(parts: tuple[MarketDesk, Journal]) -> None:
    """The desk remembers what changed since it began; an account without news costs no look at its history."""
    desk, journal = parts
    last = (await desk.answer(await question(ASSET))).seen_seq
    assert not (await desk.answer(await question(ASSET, seen_seq=last, seen_id=b"\x07" * 32))).contracts
    for number, buyer in ((8, OTHER.address), (9, address("z"))):
        values = (ASSET.address, buyer, h32("o"), h32("r"), 1_000, 200, 200, True, NOW)
        await journal.apply([s.LoggedMatched(block(number), bytes([number]) * 32, *values)])
    fresh = await desk.answer(await question(ASSET, seen_seq=last, seen_id=b"\x07" * 32))
    assert [each.id[0] for each in fresh.contracts] == [8, 9]
    told = await question(ASSET, seen_seq=fresh.seen_seq, seen_id=b"\x09" * 32)
    assert not (await desk.answer(told)).contracts
    theirs = await desk.answer(await question(OTHER, seen_seq=last))
    assert [each.id[0] for each in theirs.contracts] == [8]
    await journal.apply([LoggedRolledBack(8)])
    again = await desk.answer(await question(OTHER, seen_seq=last))
    assert [each.id[0] for each in again.contracts] == [8]


async def test_questions_of_others_of_yesterday_and_for_other_markets_are_refused(desk: MarketDesk) -> None:
    stolen = (await question(OTHER)).model_copy(update={"account": ASSET.address})
    for asked in (
        stolen,
        await question(ASSET, operator=address("q")),
        await question(ASSET, at=NOW - 181),
        await question(ASSET, at=NOW + 121),
        (await question(ASSET)).model_copy(update={"signature": b"\x00" * 65}),
    ):
        with pytest.raises(Refused):
            await desk.answer(asked)
