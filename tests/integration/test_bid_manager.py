"""A market whose bid manager is a program of its own: a real process, and certificates on both sides (M-14, M-23,
M-24, M-25, A-27). The chain, the market and its assets are real as well."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.app.mutual import Tls
from node.app.trading.bidmanager import BidManager
from node.config import Listen
from node.errors import NodeUnreachable
from node.runtime.broker.authority import CertificateFiles, client_context, issue_client, issue_server, make_authority
from node.services.market.engines import load_engine
from node.services.market.remote import BidBook
from node.wire.bids import MatchProposed
from tests.support.processes import PATIENCE, free_port
from tests.support.tradeworld import HOUR, World, trading

pytestmark = pytest.mark.chain


def certificates(folder: Path) -> Path:
    """An authority, a server's certificate for this machine, and clients: both sides, and somebody else."""
    now = datetime.now(UTC)
    authority = make_authority(folder, "operator", now)
    issue_server(folder, authority, ["127.0.0.1"], now)
    for name in ("market", "bids", "somebody"):
        issue_client(folder, authority, name, now)
    return folder


@asynccontextmanager
async def bid_manager(port: int, market_port: int, tls: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`wattpact bids run`, until it listens; killed at the end."""
    words = ("bids", "run", "--market", f"https://127.0.0.1:{market_port}", "--tls", str(tls))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "node.app", *words, "--listen", f"127.0.0.1:{port}",
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert b"bid manager" in await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def linked(world: World) -> AsyncIterator[None]:
    """The market speaks with its bid manager all the while, as its service does."""
    assert world.market.market is not None
    link = world.market.market.bids
    assert link is not None
    await link.open()

    async def always() -> None:
        while True:
            with suppress(NodeUnreachable):  # it is tried again, as by the supervisor
                await link.step()
            await asyncio.sleep(0.02)

    task = asyncio.ensure_future(always())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await link.close()


async def contracts(world: World, count: int) -> None:
    async def so() -> bool:
        await asyncio.sleep(0.1)
        return len(await world.market.trades()) == count

    await world.until(f"{count} contracts stand", so, most=300)


async def pair(world: World, wh: int) -> None:
    start = world.clock.now() + 2 * HOUR
    await world.order("seller", "offer", wh, 100, start)
    await world.order("buyer", "request", wh, 200, start)


async def test_a27_m14_m23_m24_a_bid_manager_of_its_own_matches_is_killed_and_is_told_everything_anew(
    tmp_path: Path,
) -> None:
    """Offers and requests go there and matches come back, over TLS in which both show certificates. It is killed with
    orders in its book; another one that knows nothing gets them all, and no order is matched twice."""
    tls, port, own = certificates(tmp_path / "tls"), free_port(), free_port()
    bids = {"url": f"https://127.0.0.1:{port}", "listen": f"127.0.0.1:{own}", "tls": tls}
    async with trading(tmp_path, sections={"bids": bids}) as world, linked(world):
        await world.give("buyer", 1_000_000)
        async with bid_manager(port, own, tls):
            await pair(world, 500)
            await contracts(world, 1)
            (trade,) = await world.market.trades()
            assert trade.terms is not None
            assert (trade.terms.wh, trade.terms.price) == (500, 100)
            start = world.clock.now() + 2 * HOUR
            await world.order("seller", "offer", 300, 100, start)
            await world.rounds(3)
        await world.order("buyer", "request", 300, 200, start)
        await world.rounds(4)
        assert len(await world.market.trades()) == 1, "nobody is there to match them"
        async with bid_manager(port, own, tls):
            await contracts(world, 2)
            await world.rounds(3)
        assert len(await world.market.trades()) == 2
        assert await world.market.refusals() == []


async def test_a27_attacks_on_the_way_between_market_and_bid_manager(tmp_path: Path) -> None:
    """Nobody without the bid manager's certificate proposes anything; and what a bid manager makes up, against the
    limits that were signed or of a book that is over, binds nobody."""
    tls, port, own = certificates(tmp_path / "tls"), free_port(), free_port()
    bids = {"url": f"https://127.0.0.1:{port}", "listen": f"127.0.0.1:{own}", "tls": tls}
    async with trading(tmp_path, sections={"bids": bids}) as world, linked(world):
        await world.give("buyer", 1_000_000)
        start = world.clock.now() + 2 * HOUR
        offer = await world.order("seller", "offer", 500, 100, start)
        request = await world.order("buyer", "request", 500, 200, start)
        await world.rounds(4)
        assert world.market.market is not None
        matching = world.market.market.matching
        remote = matching.remote
        assert remote is not None
        numbers = [command.number for command in remote._waiting]
        assert len(numbers) == 2, "the bid manager is off, and both orders wait for it"

        async def propose(http: aiohttp.ClientSession, **changes: Any) -> int:
            body = MatchProposed(
                session=remote.session, offer=offer, offer_number=1, request=request, request_number=2, energy=500,
                price=150,
            )  # fmt: skip
            url = f"https://127.0.0.1:{own}/market/match"
            async with http.post(url, json=body.to_json() | changes) as answer:
                found = await answer.json()
                assert found["success"] is (answer.status == 200)
                return answer.status

        async with Tls(tls, "somebody").client() as http:
            assert await propose(http) == 403
        connector = aiohttp.TCPConnector(ssl=client_context(tls / "authority.pem"))
        async with aiohttp.ClientSession(connector=connector) as http:
            with pytest.raises(aiohttp.ClientError):
                await propose(http)
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http:
                await propose(http)
        make_authority(tmp_path / "forged", "operator", datetime.now(UTC))
        forged = CertificateFiles(tmp_path / "forged" / "authority.pem", tmp_path / "forged" / "authority.key")
        thief = issue_client(tmp_path / "forged", forged, "bids", datetime.now(UTC))
        connector = aiohttp.TCPConnector(ssl=client_context(tls / "authority.pem", thief))
        async with aiohttp.ClientSession(connector=connector) as http:
            with pytest.raises(aiohttp.ClientError):
                await propose(http)
        async with Tls(tls, "bids").client() as http:
            assert await propose(http, session="0x" + "07" * 32) == 409
            assert await propose(http, energy=-1) == 422
            for lie in (
                {"price": 99},
                {"price": 201},
                {"energy": 501},
                {"offer_number": 2},
                {"offer": "0x" + "07" * 32},
            ):
                assert await propose(http, **lie) == 200, "what it is worth is decided by the rules"
                await world.rounds(2)
                assert await world.market.trades() == [], lie


async def test_auctions_are_held_by_a_bid_manager_of_its_own(tmp_path: Path) -> None:
    """The market says when the gate has come, and gets the whole result: one price. In the next delivery the bid
    manager is off at the gate, comes back with nothing in its book, is told everything, and the auction is held late.
    """
    tls, port, own = certificates(tmp_path / "tls"), free_port(), free_port()
    bids = {"url": f"https://127.0.0.1:{port}", "listen": f"127.0.0.1:{own}", "tls": tls}
    terms = {"engine": "uniform_price", "slot_s": 900, "gate_closure_s": 600}

    async def manager(world: World) -> BidManager:
        book = BidBook(load_engine("uniform_price"))
        listen, way = Listen("127.0.0.1", port), Tls(tls, "bids")
        made = BidManager(listen, way, book, f"https://127.0.0.1:{own}", world.clock)
        await made.start()
        return made

    async with trading(tmp_path, terms=terms, sections={"bids": bids}) as world, linked(world):
        assert world.market.market is not None
        matching = world.market.market.matching
        await world.give("buyer", 1_000_000)
        start = -(-(world.clock.now() + HOUR) // 900) * 900
        first = await manager(world)
        for wh, price in ((400, 100), (400, 120)):
            await world.order("seller", "offer", wh, price, start)
        for wh, price in ((300, 200), (500, 141)):
            await world.order("buyer", "request", wh, price, start)
        await world.rounds(4)
        assert await world.market.trades() == []
        await world.pass_time(start - 600 - world.clock.now())
        await contracts(world, 3)
        assert {trade.terms.price for trade in await world.market.trades() if trade.terms} == {130}
        assert matching._desk is not None
        assert matching._desk.closed == start - 600
        later = start + 900
        await world.order("seller", "offer", 400, 100, later)
        await world.order("buyer", "request", 300, 200, later)
        await world.rounds(4)
        await first.close()
        await world.pass_time(later - 590 - world.clock.now())
        await world.rounds(4)
        assert len(await world.market.trades()) == 3, "nobody is there to hold it"
        second = await manager(world)
        try:
            await contracts(world, 4)
            await world.rounds(4)
            assert len(await world.market.trades()) == 4, "and once"
        finally:
            await second.close()
