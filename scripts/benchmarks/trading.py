"""Trades from the first offer to the last payment on a chain that mines every second, whole way: sealed orders, the
book, contracts on chain, both reports of each delivery, payments. A thousand assets, half of them sellers.

Each is the library for programs of others with a key of its own. In one row they share the market's process and hear of
a change from its journal; in the other the market is a node of its own, and its assets ask it over HTTP.

What is timed is both times of work: from the first offer until every contract is on chain, and from the end of the
deliveries until every one is paid. Between them nothing happens but that time goes by: in one process the clocks are
moved, over HTTP it is waited for. Money is in the book before.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from keys.signers import LocalSigner
from node.app.garbage import collect_seldom
from node.app.services import hand_over_soon
from node.app.simulation.stage import Stage, assembled
from node.app.simulation.villagers import Villagers
from node.client.link import MarketLink
from node.client.market import MarketClient
from node.clock import ManualClock, SystemClock
from node.projection.submission import Submission
from node.projection.trade import Trade
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.runtime.supervisor import Lifecycle, Service
from node.wire.desk import DeskContract
from scripts.benchmarks.markethall import GAS_LIMIT, Hall, endow, opened_hall
from scripts.benchmarks.rows import Row, at_least, cpu_seconds

__all__ = ["measure", "over_http", "within_one_process"]

ASSETS = 1_000
EACH = 4
"""Deliveries that each asset sells or buys; a payment takes up to ten contracts of one buyer."""
PRICE, WH, MONEY = 200_000, 1_000, 10_000_000
AT_ONCE = 128
ASK_EVERY_S = 5.0
WITHIN_S = 900.0
PAID = frozenset({"paid", "confirmed"})


def measure() -> list[Row]:
    """Both rows, one run each."""
    return [_row("trades_settled_per_s", within_one_process, 100), _row("trades_settled_http_per_s", over_http, 30)]


def _row(name: str, run: Callable[[Path, int], Awaitable[tuple[float, float, float]]], bound: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        made, paid, cpu = asyncio.run(_awaited(run(Path(folder), ASSETS)))
    trades = ASSETS // 2 * EACH
    how = f"{trades} trades of {ASSETS} assets: offers to contracts {made:.1f} s, deliveries to payments {paid:.1f} s"
    how += f"; {cpu * 1e3:.0f} ms of the CPU of the market's process for each"
    return at_least(name, trades / (made + paid), "per second", bound, how)


async def _awaited(work: Awaitable[tuple[float, float, float]]) -> tuple[float, float, float]:
    return await work


class _Ahead(ManualClock):
    """The machine's clock, which can be set forward."""

    def __init__(self) -> None:
        super().__init__(0)
        self._machine = SystemClock()

    def now(self) -> int:
        return super().now() + self._machine.now()

    def monotonic(self) -> float:
        return self._machine.monotonic()


async def _each(work: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Some at a time, as many assets do."""
    waiting = iter(work)

    async def lane() -> None:
        for one in waiting:
            await one()

    await asyncio.gather(*(lane() for _ in range(AT_ONCE)))


async def _order(clients: Sequence[MarketClient], start: int, lasts: int) -> None:
    """Sellers and buyers by turns; each delivery begins after the one before."""

    def one(client: MarketClient, sells: bool, number: int) -> Callable[[], Awaitable[object]]:
        begin = start + number * lasts
        return lambda: (client.offer if sells else client.request)(WH, PRICE, begin, begin + lasts)

    await _each([one(client, n % 2 == 0, number) for number in range(EACH) for n, client in enumerate(clients)])


async def _until(what: str, so: Callable[[], Awaitable[bool]], every: float) -> None:
    ends = time.monotonic() + WITHIN_S
    while not await so():
        assert time.monotonic() < ends, f"not within {WITHIN_S} s: {what}"
        await asyncio.sleep(every)


def _counted(counts: dict[str, int], trades: int) -> bool:
    """Whether all are paid."""
    return sum(counts.get(status, 0) for status in PAID) == trades


# --- in one process ---------------------------------------------------------------------------------------------------


async def within_one_process(folder: Path, assets: int) -> tuple[float, float, float]:
    """Seconds until every contract is made; seconds from the end of the deliveries until every one is paid; seconds of
    CPU for each, of the market and its assets together."""
    clock, options = _Ahead(), DevnetOptions(AnvilOptions(block_time=1, gas_limit=GAS_LIMIT), settlement=True)
    collect_seldom()
    hand_over_soon()  # both as the node does
    async with AsyncExitStack() as stack:
        devnet = await stack.enter_async_context(Devnet(options, clock))
        stage = await assembled(stack, devnet, clock, folder)
        villagers = Villagers(stage, assets)
        await stack.enter_async_context(_Running(stage))
        await villagers.open()
        await _until("the terms are on chain", lambda: _terms_stand(stage), 0.2)
        await endow(devnet, stage.market.operator, [each.account for each in villagers.clients[1::2]], MONEY)
        trades, used = assets // 2 * EACH, cpu_seconds(os.getpid())
        start, began = clock.now() + 3_600, time.perf_counter()
        await _order(villagers.clients, start, 900)
        await _until("contracts", lambda: _made(stage, trades), 0.05)
        made = time.perf_counter() - began
        await _until("nothing takes them back", lambda: _final(stage, trades), 0.1)
        await _pass(stage, clock, start + EACH * 900 - clock.now() + 1)
        began = time.perf_counter()
        villagers.wake()
        while True:
            while await villagers.settle():
                pass
            if _counted(await stage.core.storage.views.counts(Trade), trades):
                break
            await asyncio.sleep(0.02)
            assert time.perf_counter() - began < WITHIN_S, await stage.core.storage.views.counts(Trade)
        return made, time.perf_counter() - began, (cpu_seconds(os.getpid()) - used) / trades


async def _terms_stand(stage: Stage) -> bool:
    views = stage.core.chain.market
    assert views is not None
    return (await views.terms(stage.market.terms_id)).operator == stage.market.operator


async def _made(stage: Stage, trades: int) -> bool:
    return (await stage.core.storage.views.counts(Trade)).get("matched", 0) == trades


async def _final(stage: Stage, trades: int) -> bool:
    return (await stage.core.storage.views.counts(Submission)).get("final", 0) >= trades


async def _pass(stage: Stage, clock: _Ahead, seconds: int) -> None:
    """The deliveries: all clocks go on, and a block says so."""
    await stage.devnet.rpc.request("evm_increaseTime", [seconds])
    clock.advance(seconds)
    goal = clock.now()

    async def there() -> bool:
        return (await stage.devnet.rpc.head()).timestamp >= goal

    await _until("a block of then", there, 0.1)


class _Running:
    """The services of the market, which a node would run: nothing waits for anybody's turn."""

    def __init__(self, stage: Stage) -> None:
        core, market = stage.core, stage.market
        services: list[Service] = [
            market.service(),
            market.duties.service(),
            stage.book.service(),
            stage.feed.service(),
        ]
        services.append(stage.inbox.service(lambda: stage.feed.block[1]))
        services += [Service("outbox", stage.executor.run), Service("timers", stage.scheduler.run)]
        self._lives = [(each, Lifecycle()) for each in services]
        self._endless = [core.chain.sender.run, *(each.run for each in core.chain.batches)]
        self._tasks: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        works = [*(each.run(life) for each, life in self._lives), *(run() for run in self._endless)]
        self._tasks = [asyncio.ensure_future(work) for work in works]

    async def __aexit__(self, *_: object) -> None:
        failed = [task.exception() for task in self._tasks if task.done() and not task.cancelled()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not any(failed), failed


# --- over HTTP --------------------------------------------------------------------------------------------------------


async def over_http(folder: Path, assets: int) -> tuple[float, float, float]:
    """As `within_one_process`, with the market as a node of its own, whose CPU alone is counted."""
    async with opened_hall(folder) as hall, aiohttp.ClientSession() as http:
        place = await hall.place()
        clients = []
        for number in range(assets):
            signer = LocalSigner((number + 1).to_bytes(32, "big"))
            link = MarketLink(hall.node.url, signer, hall.devnet.chain_id, http, SystemClock())
            clients.append(MarketClient.over(link, signer, hall.devnet.chain_id, hall.contract))
        await _each([each.__aenter__ for each in clients])
        await endow(hall.devnet, place.operator, [each.account for each in clients[1::2]], MONEY)
        trades, used = assets // 2 * EACH, cpu_seconds(hall.node.process.pid)
        start, began = int(time.time()) + max(30, trades // 10), time.perf_counter()
        await _order(clients, start, 1)
        await _until("contracts", lambda: _all_made(hall, trades), 0.1)
        made = time.perf_counter() - began
        await asyncio.sleep(max(0.0, start + EACH + 2 - time.time()))
        began = time.perf_counter()
        asking = asyncio.create_task(_ask(clients))
        try:
            await _until("payments", lambda: _all_paid(hall, trades), 0.1)
        finally:
            asking.cancel()
            await asyncio.wait([asking])
        if not asking.cancelled():
            asking.result()
        return made, time.perf_counter() - began, (cpu_seconds(hall.node.process.pid) - used) / trades


async def _ask(clients: Sequence[MarketClient]) -> None:
    """Every asset asks every few seconds, whether or not there is news."""

    def one(client: MarketClient) -> Callable[[], Awaitable[object]]:
        return lambda: client.settle(_meter)

    while True:
        began = time.monotonic()
        await _each([one(client) for client in clients])
        await asyncio.sleep(max(0.0, ASK_EVERY_S - (time.monotonic() - began)))


def _meter(contract: DeskContract) -> int | None:
    return contract.wh


async def _all_made(hall: Hall, trades: int) -> bool:
    return sum(_statuses(hall).values()) == trades


async def _all_paid(hall: Hall, trades: int) -> bool:
    return _counted(_statuses(hall), trades)


def _statuses(hall: Hall) -> dict[str, int]:
    assert hall.node.process.running, hall.node.process.said()[-2_000:]
    question = "SELECT status, count(*) FROM states WHERE kind = 'trade' GROUP BY status"
    with sqlite3.connect(f"file:{hall.node.folder / 'wattpact.db'}?mode=ro", uri=True) as connection:
        return dict(connection.execute(question).fetchall())
