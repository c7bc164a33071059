"""A market and its assets in one process, on a real chain: roles, journals and senders are real, time is set by hand.

Nothing runs by itself. `World.round` lets every node do what it has to do and mines a block; `World.until` goes on
until something is so; `World.pass_time` moves the clock of every node and of the chain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from channels.transports.inprocess import Hub, InProcessTransport
from contracts.bindings import dev_token
from contracts.bindings import market as market_abi
from keys.header import KdfCost
from keys.identity import Identity
from keys.keystore import Keystore
from node.app.chainfeed import ChainFeed
from node.app.core import Core, Keys, open_chain, open_storage, peer_of
from node.app.counters import Counters
from node.app.datadir import DataDir
from node.app.inbox import Inbox
from node.app.parcels import Post
from node.app.simulation.stage import mine_after_a_second
from node.app.submissions import Submissions
from node.app.trading.asset import AssetRole
from node.app.trading.assetpool import AssetPool
from node.app.trading.assettelling import AssetTelling
from node.app.trading.market import MarketRole
from node.app.trading.ownedassets import Gateway, OwnedAssets
from node.app.trading.owning import OwnerFunds
from node.app.trading.twins import Holders, Twins
from node.clock import ManualClock
from node.config import Settings
from node.ledger.endpoint import Pace
from node.observability import Metrics
from node.projection.base import Peer
from node.projection.effects import EFFECTS, SendParcel, SubmitMessage
from node.projection.trade import Trade
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.runtime.executor import Executor, ExecutorOptions, Handlers
from node.runtime.scheduler import Scheduler
from node.services.asset.orders import Wanted
from node.storage.chain import ChainStore
from node.wire.orderdetails import details_of_carrier
from tests.support.tradenode import Node, open_face, serve

__all__ = ["DAY", "HOUR", "Node", "World", "trading", "unpaid"]

HOUR = 3_600
DAY = 24 * HOUR
CHEAP = KdfCost(1, 64, 1)


class StoodStill(AssertionError):
    """What was waited for did not come about."""


@dataclass(frozen=True, slots=True)
class _Paired:
    """A gateway, as far as its twins need it: where its household is."""

    owner: Callable[[], Awaitable[Peer | None]]

    async def owner_peer(self) -> Peer | None:
        return await self.owner()


@dataclass(frozen=True, slots=True)
class _Household:
    """A home, as far as its twins need it: which gateway is paired."""

    gateway: Callable[[], Awaitable[bytes | None]]

    async def device_of(self, address: bytes) -> bytes | None:
        return address if address == await self.gateway() else None


@dataclass(slots=True)
class World:
    """The chain, the market, and the assets by name."""

    devnet: Devnet
    clock: ManualClock
    root: Path
    terms: Mapping[str, Any]
    settlement: Mapping[str, Any]
    sections: Mapping[str, Any] = field(default_factory=dict)
    hub: Hub = field(default_factory=Hub)
    nodes: dict[str, Node] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)

    @property
    def market(self) -> Node:
        return self.nodes["market"]

    @property
    def operator(self) -> bytes:
        assert self.market.market is not None
        return self.market.market.operator

    # Nodes

    async def open(self, name: str, *, like: str | None = None) -> Node:
        """Opens a node; one that was there before finds its folder again. `like`: with another one's keys."""
        stack = AsyncExitStack()
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        seed = self.root / f"{like or name}.seed"
        if not seed.exists():
            seed.write_bytes(bytes([len(self.nodes) + 1]) * 64)
        identity = Identity(seed.read_bytes())
        runner, url = await self._listen(stack)
        settings = self._settings(name, folder, url)
        keystore = _keystore(folder)
        place = DataDir.of(settings)
        place.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        storage = await open_storage(stack, settings, place, identity, self.clock)
        await self.devnet.fund(identity.sender().address)
        chain = await open_chain(stack, settings, place, identity, storage, self.clock)
        for endpoint in chain.rpc.endpoints:
            # A busy machine is no fault of the chain, and with a clock set by hand an endpoint would rest for ever.
            endpoint._pace = Pace(timeout=60.0)
        http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        stack.push_async_callback(http.close)
        transport = InProcessTransport(self.hub, name)
        keys = Keys(keystore, identity, identity.sealing_key("inbox"))
        core = Core(settings, self.clock, Metrics(), keys, storage, chain, transport, http, self.clock.now())
        node = await self._assemble(name, core, url, folder, stack)
        serve(runner, node)
        self.nodes[name] = node
        return node

    async def _listen(self, stack: AsyncExitStack) -> tuple[web.Application, str]:
        app = open_face()
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return app, f"http://127.0.0.1:{port}"

    def _settings(self, name: str, folder: Path, url: str) -> Settings:
        contracts = self.devnet.contracts
        return Settings.model_validate(
            {
                "node": {
                    "data_dir": folder,
                    "roles": ("market",) if name == "market" else ("gateway", "home"),
                    "name": name,
                    "public_url": url,
                },
                "chain": {
                    "rpc_urls": (self.devnet.url,),
                    "chain_id": self.devnet.chain_id,
                    "registry": contracts.registry.address,
                    "deploy_block": 0,
                    "finality_depth": 1,
                    "max_chain_silence_s": DAY,
                },
                "settlement": {
                    "market": contracts.find("Market").address,
                    "net_settlement": contracts.find("NetSettlement").address,
                    "allowances": contracts.find("Allowances").address,
                    "payment_every_s": 1,
                    **self.settlement,
                },
                "market": dict(self.terms),
                **(self.sections if name == "market" else {}),
            }
        )

    async def _assemble(self, name: str, core: Core, url: str, folder: Path, stack: AsyncExitStack) -> Node:
        inbox, post, handlers, shown = Inbox(core), Post(core), Handlers(), Counters()
        submissions = Submissions(core)
        handlers.on(SubmitMessage, submissions.submit)
        handlers.on(SendParcel, post.carry_out)
        core.storage.journal.want(handlers.wanted())
        handlers.ignore(*EFFECTS)
        # A round is a second: more is done in it than one claim of a node that goes on claiming.
        options = ExecutorOptions(parallel=64)
        executor = Executor(core.storage.outbox, core.storage.journal, handlers, core.clock, options)
        feed = ChainFeed(core)
        scheduler = Scheduler(core.storage.timers, core.storage.journal, core.clock, lambda: feed.block[1] + 120)
        # An asset `buyer` belongs to the household `buyer's owner`, if that is there.
        owner, owned = f"{name}'s owner", name.removesuffix("'s owner")

        async def owner_peer() -> Peer | None:
            return peer_of(self.nodes[owner].core.card) if owner in self.nodes else None

        async def gateway() -> bytes | None:
            return self.nodes[owned].core.signer.address if owned != name and owned in self.nodes else None

        asset = AssetRole(core, post, shown, owner_peer)

        async def household() -> bytes | None:
            return self.nodes[owner].core.signer.address if owner in self.nodes else None

        pool = AssetPool(core, asset, household)
        pool.register(inbox)
        funds = OwnerFunds(core, gateway)
        funds.register(inbox)
        asset.register(inbox)
        market = None
        if name == "market":
            market = MarketRole(core)
            market.register(inbox)
        twins = Twins(core, Holders(market, asset, _Paired(owner_peer), _Household(gateway)))
        twins.register(inbox)
        asset.compare_with(twins)
        chain = core.chain
        await chain.rpc.connect()
        cursor = await core.storage.chain.cursor("finalized")
        chain.final = cursor[0] if cursor else -1
        chain.indexer.resume(await ChainStore(core.storage.database).load_headers(), chain.final)

        async def gateway_of() -> Gateway | None:
            device = await gateway()
            return Gateway(device, peer_of(self.nodes[owned].core.card)) if device is not None else None

        assets = OwnedAssets(core, post, gateway_of)
        assets.register(inbox)
        telling = AssetTelling(core, asset, pool, owner_peer)
        roles = (asset, pool, funds, market, twins, assets, telling)
        return Node(name, core, inbox, post, executor, scheduler, feed, *roles, shown, url, folder, stack)

    async def restart(self, name: str) -> Node:
        """Ends a node and opens it again from its folder; its meter shows nothing at first."""
        await self.nodes.pop(name).close()
        return await self.open(name)

    # Time and blocks

    async def mine(self) -> None:
        """One block, one second later, on the chain and on every clock."""
        await mine_after_a_second(self.devnet, self.clock)

    async def pass_time(self, seconds: int) -> None:
        """So many seconds go by, with nothing on the chain meanwhile."""
        self.clock.advance(seconds)
        await self.mine()
        await self.mine()

    async def round(self) -> None:
        """Every node that is on works and hears of the chain; then there is a block."""
        for node in [each for name, each in self.nodes.items() if name not in self.off]:
            await node.read_chain()
            await node.work()
        await self.mine()

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self.round()

    async def until(self, what: str, so: Callable[[], Awaitable[bool]], most: int = 40) -> None:
        """Rounds until it is so. Raises StoodStill with what was waited for."""
        for _ in range(most):
            if await so():
                return
            await self.round()
        told = {name: await node.refusals() for name, node in self.nodes.items()}
        seen = {
            name: [(t.contract_id.hex()[:6], t.status.value, t.settled) for t in await node.trades()]
            for name, node in self.nodes.items()
        }
        raise StoodStill(f"not after {most} rounds: {what}; refused {told}; trades {seen}")

    async def reach(self, contract_id: bytes, status: str, most: int = 40) -> Trade:
        """Rounds until the market has the contract in this status."""

        async def so() -> bool:
            return (await self.market.trade(contract_id)).status.value == status

        await self.until(f"{contract_id.hex()[:6]} is {status}", so, most)
        return await self.market.trade(contract_id)

    # Money and orders

    async def mint(self, account: bytes, amount: int) -> None:
        """Money from nowhere, as a devnet has it."""
        await self.call(self.devnet.contracts.find("DevToken").address, dev_token.encode_mint(account, amount))

    async def call(self, to: bytes, data: bytes) -> None:
        """A call from an account that belongs to nobody here, in a block of its own."""
        query = {"from": _hex(await self.devnet.payer()), "to": _hex(to), "data": _hex(data), "gas": "0x200000"}
        await self.devnet.rpc.request("eth_sendTransaction", [query])
        await self.mine()

    async def give(self, name: str, amount: int) -> bytes:
        """Money from nowhere for an asset's account, which the asset puts into the market's book."""
        node = self.nodes[name]
        account = node.asset.account(self.operator).address
        await self.mint(account, amount)
        before = await self.balance(name)
        await node.asset.deposit(self.market.url, amount)

        async def booked() -> bool:
            # A debtor's money may be on its way to the creditor in the same moment.
            return await self.balance(name) > before or await self.token_of(account) == 0

        await self.until(f"the money of {name} is in the book", booked)
        return account

    async def token_of(self, account: bytes) -> int:
        """Money in an account's wallet."""
        views = self.market.core.chain.market
        assert views is not None
        return await (await views.money()).balance(account)

    async def pay_in(self, name: str, amount: int) -> None:
        """Somebody else puts money into an asset's book, as an owner does by hand (M-62)."""
        market = self.devnet.contracts.find("Market").address
        account = self.nodes[name].asset.account(self.operator).address
        await self.mint(await self.devnet.payer(), amount)
        await self.call(self.devnet.contracts.find("DevToken").address, dev_token.encode_approve(market, amount))
        await self.call(market, market_abi.encode_deposit_for(self.operator, account, amount))

    async def clock_on(self, seconds: int) -> None:
        """The clocks move on without anything on the chain."""
        self.clock.advance(seconds)

    async def balance(self, name: str) -> int:
        """Free money of an asset in the market's book."""
        node = self.nodes[name]
        views = node.core.chain.market
        assert views is not None
        return await views.balance(self.operator, node.asset.account(self.operator).address)

    async def order(
        self, name: str, side: str, wh: int, price: int, start: int, *, lasts: int = 900, carrier: str = "electric"
    ) -> bytes:
        """An offer or a request of an asset."""
        wanted = Wanted(side == "offer", wh, price, start, start + lasts, details=details_of_carrier(carrier))
        return await self.nodes[name].asset.order(self.market.url, wanted)

    async def contract(
        self, *, wh: int = 1_000, price: int = 200, count: int = 1, seller: str = "seller", buyer: str = "buyer"
    ) -> tuple[bytes, ...]:
        """Offers and requests of one delivery that becomes `count` contracts; their ids, oldest first."""
        start = self.clock.now() + 2 * HOUR
        for _ in range(count):
            await self.order(seller, "offer", wh, price, start)
            await self.order(buyer, "request", wh, price, start)
        before = {trade.contract_id for trade in await self.market.trades()}

        async def matched() -> bool:
            return len(await self.market.trades()) == len(before) + count

        await self.until(f"{count} contracts stand", matched, 40 + 4 * count)
        fresh = [t.contract_id for t in reversed(await self.market.trades()) if t.contract_id not in before]
        return tuple(fresh)

    async def deliver(
        self, contract_id: bytes, *, out: int, into: int | None = None, seller: str = "seller", buyer: str = "buyer"
    ) -> None:
        """Time passes to the end of the contract's delivery; both meters count. `into` None: as much as `out`."""
        made = (await self.market.trade(contract_id)).terms
        assert made is not None
        order = await self.market.order(made.offer)
        assert order.terms is not None
        start, end = order.terms.start, order.terms.end
        used = out if into is None else into
        for moment, sent, taken in ((start, 0, 0), (end, out, used)):
            await self.pass_time(max(1, moment - self.clock.now()))
            self.nodes[seller].meter(moment, out=sent)
            self.nodes[buyer].meter(moment, into=taken)
            await self.round()


@asynccontextmanager
async def trading(
    root: Path,
    *,
    terms: Mapping[str, Any] | None = None,
    settlement: Mapping[str, Any] | None = None,
    sections: Mapping[str, Any] | None = None,
) -> AsyncIterator[World]:
    """A market, a seller and a buyer, joined. `sections`: more of the market's config."""
    options = DevnetOptions(AnvilOptions(block_time=0), settlement=True)
    clock = ManualClock()
    async with Devnet(options, clock) as devnet:
        clock.set((await devnet.rpc.head()).timestamp)
        world = World(devnet, clock, root, terms or {}, settlement or {}, sections or {})
        try:
            for name in ("market", "seller", "buyer"):
                await world.open(name)
            await world.rounds(3)
            for name in ("seller", "buyer"):
                await world.nodes[name].asset.join(world.market.url)
            yield world
        finally:
            for node in reversed(world.nodes.values()):
                await node.close()


async def unpaid(world: World) -> bytes:
    """A contract without escrow, delivered, whose buyer has no money left to pay it. Returns its id."""
    await world.give("buyer", 1_000)
    (first,) = await world.contract(wh=1_000, price=1_000)
    await world.deliver(first, out=1_000)
    await world.reach(first, "confirmed")
    (second,) = await world.contract(wh=2_000, price=1_000)
    await world.deliver(second, out=2_000)
    await world.reach(second, "delivered")
    trade = await world.market.trade(second)
    assert trade.terms is not None
    assert not trade.terms.escrowed, "a buyer with history pays afterwards"
    return second


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def _keystore(folder: Path) -> Keystore:
    place = folder / "keystore"
    return Keystore.open(place, "word") if place.exists() else Keystore.create(place, "word", CHEAP)
