"""The stage of a simulation: a local chain, and a market's roles in this process, worked round by round.

Roles, journal, sender and contract are those of a node. Only time is the simulation's own: each round ends with a
block, and between two slots nothing happens but that the clock goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from channels.transports.inprocess import Hub, InProcessTransport
from contracts.bindings import dev_token
from keys.header import KdfCost
from keys.identity import Identity
from keys.keystore import Keystore
from node.app.chainfeed import ChainFeed
from node.app.core import Core, Keys, open_chain, open_storage
from node.app.datadir import DataDir
from node.app.inbox import Inbox
from node.app.submissions import Submissions
from node.app.trading.market import MarketRole
from node.app.trading.statements import StatementBook
from node.clock import ManualClock
from node.config import Settings
from node.observability import Metrics
from node.projection.effects import EFFECTS, SubmitMessage
from node.projection.trade import Trade
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.runtime.executor import Executor, ExecutorOptions, Handlers
from node.runtime.scheduler import Scheduler

__all__ = ["Stage", "assembled", "mine_after_a_second", "opened_stage"]

PARALLEL = 64
LONG_S = 1_000_000


async def mine_after_a_second(devnet: Devnet, clock: ManualClock) -> None:
    """One block, one second later on the clock and on the chain; the clock catches up with a chain that is ahead."""
    head = await devnet.rpc.head()
    clock.advance(1)
    if clock.now() <= head.timestamp:
        clock.set(head.timestamp + 1)
    await devnet.rpc.request("evm_setNextBlockTimestamp", [clock.now()])
    await devnet.mine()


@dataclass(slots=True)
class Stage:
    """The market's node, opened by hand, and its chain."""

    devnet: Devnet
    clock: ManualClock
    core: Core
    inbox: Inbox
    market: MarketRole
    book: StatementBook
    feed: ChainFeed
    executor: Executor
    scheduler: Scheduler

    @property
    def contract(self) -> bytes:
        """Address of the Market contract."""
        return self.devnet.contracts.find("Market").address

    async def round(self) -> None:
        """Everything that is due, once, and then a block."""
        while (batch := await self.core.chain.indexer.step()) is not None:
            await self.feed._apply(batch)
        await self.scheduler.step()
        await self.market.step()
        await self.market.duties.step()
        while await self.executor.step():
            pass
        for each in self.core.chain.batches:
            await each.step()
        await self.core.chain.sender.step()
        for each in self.core.chain.batches:
            await each.settle()
        while await self.book.step():
            pass
        await self.mine()

    async def mine(self) -> None:
        """One block, one second later."""
        await mine_after_a_second(self.devnet, self.clock)

    async def wait_until(self, moment: int) -> None:
        """The clock goes on; on the chain nothing happens meanwhile."""
        if moment > self.clock.now():
            self.clock.set(moment)
        await self.mine()

    async def give(self, accounts: list[bytes], amount: int) -> None:
        """Money from nowhere, as a devnet has it."""
        money, payer = self.devnet.contracts.find("DevToken").address, await self.devnet.payer()
        for account in accounts:
            data = dev_token.encode_mint(account, amount)
            call = {"from": "0x" + payer.hex(), "to": "0x" + money.hex(), "data": "0x" + data.hex()}
            await self.devnet.rpc.request("eth_sendTransaction", [call])
        await self.mine()

    async def trades(self) -> list[Trade]:
        """Every contract, oldest first."""
        found: list[tuple[int, Trade]] = []
        before: int | None = None
        while page := await self.core.storage.views.page(Trade, before=before, limit=1_000):
            found += page
            before = page[-1][0]
        return [trade for _, trade in reversed(found)]


@asynccontextmanager
async def opened_stage(folder: Path) -> AsyncIterator[Stage]:
    """Chain and market, with the market's terms on chain."""
    clock = ManualClock()
    options = DevnetOptions(AnvilOptions(block_time=0), settlement=True)
    async with AsyncExitStack() as stack:
        devnet = await stack.enter_async_context(Devnet(options, clock))
        clock.set((await devnet.rpc.head()).timestamp)
        stage = await assembled(stack, devnet, clock, folder)
        for _ in range(3):
            await stage.round()
        yield stage


def _settings(devnet: Devnet, folder: Path) -> Settings:
    contracts = devnet.contracts
    return Settings.model_validate(
        {
            "node": {"data_dir": folder, "roles": ("market",), "name": "market"},
            "chain": {
                "rpc_urls": (devnet.url,),
                "chain_id": devnet.chain_id,
                "registry": contracts.registry.address,
                "finality_depth": 1,
                "max_chain_silence_s": 86_400,
            },
            "settlement": {"market": contracts.find("Market").address},
        }
    )


async def assembled(stack: AsyncExitStack, devnet: Devnet, clock: ManualClock, folder: Path) -> Stage:
    """The market's roles on a chain that runs, nothing done yet; closed with the stack."""
    settings, identity = _settings(devnet, folder), Identity(bytes(range(64)))
    place = DataDir.of(settings)
    place.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The identity is that of a simulation and worth nothing, so its keystore is quickly made.
    keystore = Keystore.create(folder / "keystore", "simulation", KdfCost(1, 64, 1))
    storage = await open_storage(stack, settings, place, identity, clock)
    await devnet.fund(identity.sender().address, 10**24)
    chain = await open_chain(stack, settings, place, identity, storage, clock)
    http = await stack.enter_async_context(aiohttp.ClientSession())
    keys = Keys(keystore, identity, identity.sealing_key("inbox"))
    transport = InProcessTransport(Hub(), "market")
    core = Core(settings, clock, Metrics(), keys, storage, chain, transport, http, clock.now())
    inbox, handlers = Inbox(core), Handlers()
    handlers.on(SubmitMessage, Submissions(core).submit)
    storage.journal.want(handlers.wanted())
    handlers.ignore(*EFFECTS)
    executor = Executor(storage.outbox, storage.journal, handlers, clock, ExecutorOptions(parallel=PARALLEL))
    feed = ChainFeed(core)
    scheduler = Scheduler(storage.timers, storage.journal, clock, lambda: feed.block[1] + LONG_S)
    market = MarketRole(core)
    market.register(inbox)
    await chain.rpc.connect()
    chain.indexer.resume([], -1)
    return Stage(devnet, clock, core, inbox, market, StatementBook(core), feed, executor, scheduler)
