"""Jobs of a node: queued, running, failed with the error; tried again and called off (M-10, M-69, M-70)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from keys.parcel import Parcel
from node.app.core import peer_of
from node.app.facade.jobs import JobsPart
from node.app.inbox import Kept
from node.errors import Conflict, InvalidInput, NotFound, Refused
from node.projection.settlement_events import RequestedTradeNotice
from tests.support.marketface import face, set_up
from tests.support.tradeworld import HOUR, trading

pytestmark = pytest.mark.chain


async def test_m69_a_failed_job_shows_its_error_is_tried_again_or_called_off(tmp_path: Path) -> None:
    """The market does not take what it is sent, for good; the jobs say so until a person acts.

    M-68: the database file of the node has it all, for any program that opens one: what was done and what failed.
    """
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        contracts = await world.contract(wh=100, price=50, count=2)
        seller = world.nodes["seller"]
        jobs = JobsPart(seller.core, seller.pool)
        now, market = world.clock.now(), peer_of(world.market.core.card)
        letters = [
            RequestedTradeNotice(each, "asset.novelty", market, "asset.novelty", "{}", now + HOUR, now)
            for each in contracts
        ]
        await seller.core.storage.memory.keep(letters)
        queued = await jobs.jobs("queued", 10)
        assert [job.kind for job in queued] == ["SendParcel", "SendParcel"]
        assert {job.about for job in queued} == {f"trade/{each.hex()}" for each in contracts}
        with pytest.raises(Conflict):
            await jobs.retry(queued[0].id)
        claimed = await seller.core.storage.outbox.claim(world.clock.now(), 1, 60)
        (running,) = await jobs.jobs("running", 10)
        with pytest.raises(Conflict, match="runs"):
            await jobs.cancel(running.id)
        await seller.core.storage.outbox.give_back(claimed[0])
        await world.rounds(2)
        failed = await jobs.jobs(None, 10)
        assert [job.state for job in failed] == ["failed", "failed"]
        assert all("asset.novelty" in job.error for job in failed)
        with sqlite3.connect(f"file:{seller.folder / 'wattpact.db'}?mode=ro", uri=True) as database:
            (done,) = database.execute("select count(*) from journal").fetchone()
            failures = [row[0] for row in database.execute("select reason from outbox where status = 'dead'")]
            kept = {row[0] for row in database.execute("select distinct kind from states")}
        assert done > 0
        assert len([reason for reason in failures if "asset.novelty" in reason]) == 2
        assert {"order", "trade"} <= kept
        taken: list[bytes] = []

        async def take(parcel: Parcel) -> Kept:
            taken.append(parcel.sender)
            return Kept()

        world.market.inbox.on("asset.novelty", take)  # a market of a later version
        await jobs.retry(failed[0].id)
        await jobs.cancel(failed[1].id)
        await world.rounds(2)
        assert await jobs.jobs(None, 10) == ()
        assert taken == [seller.core.signer.address]
        for unknown, error in (("999999-0", NotFound), ("x", InvalidInput), (failed[1].id, NotFound)):
            with pytest.raises(error):
                await jobs.cancel(unknown)
        with pytest.raises(InvalidInput):
            await jobs.jobs("done", 10)


async def test_m10_m70_the_dashboard_is_switched_on_and_off_by_the_owner(tmp_path: Path) -> None:
    """A-22: besides the switch it asks for a token that may administer the node."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        seller = world.nodes["seller"]
        jobs = JobsPart(seller.core, seller.pool)
        with pytest.raises(Refused, match="switched off"):
            await jobs.dashboard()
        await set_up(world, "seller", dashboard=True)
        empty = await jobs.dashboard()
        assert (empty.items, empty.waiting, empty.failed, empty.oldest_at) == ((), 0, 0, None)
        await world.order("seller", "offer", 100, 50, world.clock.now() + 2 * HOUR)
        shown = await jobs.dashboard()
        assert (len(shown.items), shown.waiting, shown.failed) == (1, 1, 0), "details and statistics"
        assert shown.oldest_at == shown.items[0].created_at == world.clock.now()
        async with face(seller) as api:
            _, admin = await api.tokens.issue("admin", frozenset({"admin"}))
            _, reader = await api.tokens.issue("reader", frozenset({"read"}))
            _, meter = await api.tokens.issue("meter", frozenset({"asset:meter"}))
            for token, wanted in ((None, 401), ("wattpact_guess", 401), (reader, 403), (meter, 403), (admin, 200)):
                headers = {} if token is None else {"Authorization": f"Bearer {token}"}
                async with api.http.get(api.url + "/asset/dashboard", headers=headers) as answer:
                    assert answer.status == wanted, token
        await set_up(world, "seller", dashboard=False)
        with pytest.raises(Refused, match="switched off"):
            await jobs.dashboard()
