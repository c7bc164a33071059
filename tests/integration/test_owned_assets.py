"""A household's asset, from the home: set up, traded, paused, changed, retired (M-72 to M-81, M-86, A-30)."""

from __future__ import annotations

from pathlib import Path

import pytest

from keys.errors import EntryMissing
from node.api.assets import AssetForm, FundForm, WithdrawalForm
from node.api.settlementviews import OrderForm, TradeQuery
from node.app.core import peer_of
from node.app.facade.assets import AssetsPart
from node.app.facade.settlement import MarketPart
from node.app.facade.tradepages import TradePages
from node.app.facade.twins import TwinPart
from node.app.trading.ownedassets import OWNED
from node.errors import Busy, Conflict, InvalidInput, NotFound, Refused
from node.projection.order import Order
from node.runtime.errors import PermanentFailure
from node.wire.assets import PERSONAL, AssetConfig
from tests.support.tradeworld import DAY, Node, World, trading

pytestmark = pytest.mark.chain

WORDS = {"name": "Roof", "area": "north", "location": "Linden street 5", "description": "Bought with the neighbours"}
PICTURE = "data:image/png;base64,iVBORw0KGgo="


def config(world: World, **changes: object) -> AssetConfig:
    values = {
        "market": world.market.url,
        "offer_price": 100,
        "limit_price": 300,
        "min_offer_wh": 200,
        **WORDS,
        "image": PICTURE,
    }
    return AssetConfig.model_validate(values | changes)


async def orders(node: Node) -> int:
    return len(await node.core.storage.views.page(Order, limit=100))


async def test_m72_to_m78_set_up_paused_continued_and_changed_from_the_home(tmp_path: Path) -> None:
    """M-74, M-75: the device gets its settings, makes its own keys and tells its account; M-86: its own wallet;
    M-78: the market hears what changed."""
    async with trading(tmp_path) as world:
        owner, seller = await world.open("seller's owner"), world.nodes["seller"]
        part = AssetsPart(owner.core, owner.assets)
        values = config(world).model_dump(exclude={"status", "market"})
        form = AssetForm.model_validate({**values, "market": world.market.url, "role": "producer"})
        first = await part.configure(form)
        assert (first.name, first.role, first.status, first.account) == ("Roof", "producer", "running", None)
        await world.rounds(2)
        account = seller.asset.account(world.operator).address
        (shown,) = await part.assets()
        assert (shown.account, shown.operator) == (account, world.operator)
        assert (shown.wallet, shown.balance) == (0, 0)
        await world.mint(account, 70)
        assert (await part.asset(shown.device)).wallet == 70, "a wallet of its own, apart from the household's"
        assert (await part.wallet()).account != account
        # By hand, without any allowance (M-62): into the asset's wallet, and no more than there is.
        wallet = (await part.wallet()).account
        await world.mint(wallet, 500)
        with pytest.raises(Conflict, match="has 500"):
            await part.fund(shown.device, FundForm(amount=501))
        await part.fund(shown.device, FundForm(amount=300))
        # M-73: anywhere else as well, one after the other; not to itself, and never to nobody.
        with pytest.raises(Busy, match="on its way"):
            await part.withdraw(WithdrawalForm(receiver=b"\x0e" * 20, amount=1))
        for nowhere in (wallet, bytes(20)):
            with pytest.raises(InvalidInput):
                await part.withdraw(WithdrawalForm(receiver=nowhere, amount=1))

        async def funded() -> bool:
            return await world.token_of(account) == 370

        await world.until("the money is in the asset's wallet", funded)
        assert (await part.wallet()).balance == 200
        await part.withdraw(WithdrawalForm(receiver=b"\x0e" * 20, amount=50))

        async def withdrawn() -> bool:
            return await world.token_of(b"\x0e" * 20) == 50

        await world.until("it is where it was sent", withdrawn)
        assert (await part.wallet()).balance == 150
        assert ((await part.wallet()).symbol, (await part.wallet()).decimals) == ("DEV", 6)
        # Into the book and out again, after the contract's wait; no more than there is.
        with pytest.raises(Conflict, match="wallet has 370 minor units"):
            await seller.asset.deposit(world.market.url, 371)
        with pytest.raises(Conflict, match="Nothing can be taken out: "):
            await seller.asset.money.take_out(world.market.url)
        await seller.asset.deposit(world.market.url, 370)

        async def booked() -> bool:
            return await world.balance("seller") == 370

        await world.until("the money is in the book", booked)
        with pytest.raises(Conflict, match="Only 370"):
            await seller.asset.money.withdraw(world.market.url, 371)
        await seller.asset.money.withdraw(world.market.url, 370)

        async def leaving() -> bool:
            return await world.balance("seller") == 0

        await world.until("it is on its way out", leaving)
        with pytest.raises(Conflict, match=r"Nothing can be taken out before 20\d\d-\d\d-\d\d \d\d:\d\d"):
            await seller.asset.money.take_out(world.market.url)
        await world.pass_time(40 * DAY)
        await world.rounds(1)
        await seller.asset.money.take_out(world.market.url)
        await world.until("it is out", funded)
        # Paused: what it makes is counted, and not offered.
        await part.change(shown.device, "paused")
        desk, now = MarketPart(seller.core, seller.asset, None), world.clock.now()
        by_hand = OrderForm(
            market=world.market.url, side="offer", wh=100, price=150, start=now + 2 * 3_600, end=now + 3 * 3_600
        )
        with pytest.raises(Conflict, match="paused"):
            await desk.order(by_hand)
        await seller.pool.produce(500)
        await world.rounds(2)
        assert await orders(seller) == 0
        await part.change(shown.device, "running")
        await seller.pool.produce(100)
        await world.rounds(2)
        ((_, order),) = await seller.core.storage.views.page(Order, limit=9)
        assert order.terms is not None
        assert (order.terms.wh, order.terms.price) == (600, 100)
        # Changed: a higher price, and the market knows the new carrier.
        await owner.assets.configure(config(world, offer_price=150, carrier="thermal"))
        await seller.pool.produce(300)
        await world.rounds(2)
        prices = [o.terms.price for _, o in await seller.core.storage.views.page(Order, limit=9) if o.terms]
        assert prices == [150, 100]
        assert world.market.market is not None
        registered = await world.market.market.notices.registered(account)
        assert registered is not None
        assert (registered.carrier, registered.area) == ("thermal", "north")
        # A stranger says which account the asset has: nobody believes it.
        told = {"operator": "0x" + "01" * 20, "account": "0x" + "02" * 20, "status": "running"}
        with pytest.raises(PermanentFailure, match="Only the paired gateway"):
            await world.nodes["buyer"].post.send(peer_of(owner.core.card), "user.asset", told)


async def test_m76_m80_m81_what_an_asset_came_to_and_its_contracts_page_by_page(tmp_path: Path) -> None:
    """M-79: overview, settings and contracts of one asset; M-80: contracts by status, by id, by time, some at a time;
    M-81: every event of a contract; A-17: unit price and total."""
    async with trading(tmp_path) as world:
        owner = await world.open("seller's owner")
        part = AssetsPart(owner.core, owner.assets)
        await owner.assets.configure(config(world))
        await world.give("buyer", 5_000)
        made = await world.contract(wh=1_000, price=200, count=2)
        await world.deliver(made[0], out=1_500)
        for contract in made:
            await world.reach(contract, "confirmed")
        (device,) = [each.device for each in await part.assets()]
        totals = (await part.asset(device)).totals
        assert totals is not None
        assert (totals.contracts, totals.produced_wh, totals.consumed_wh) == (2, 1_500, 0)
        assert (totals.income, totals.cost, totals.mean_price) == (300, 0, 200)
        pages = TradePages(owner.core)
        account = world.nodes["seller"].asset.account(world.operator).address
        first = await pages.page(TradeQuery(limit=1, account=account))
        rest = await pages.page(TradeQuery(limit=1, account=account, before=first[-1].number))
        assert [row.id for row in (*first, *rest)] == list(reversed(made))
        assert (first[0].price, first[0].amount) == (200, 200)
        assert await pages.page(TradeQuery(account=b"\x09" * 20)) == ()
        assert len(await pages.page(TradeQuery(status="confirmed"))) == 2
        assert await pages.page(TradeQuery(status="claimed")) == ()
        (one,) = await pages.page(TradeQuery(begins=made[1].hex()[:12]))
        assert one.id == made[1]
        moment = one.made_at
        between = await pages.page(TradeQuery(since=moment, until=moment + 1))
        assert made[1] in [row.id for row in between]
        assert await pages.page(TradeQuery(since=moment + 86_400 * 9)) == ()
        with pytest.raises(InvalidInput, match="A contract is"):
            await pages.page(TradeQuery(status="nonsense"))

        async def told() -> bool:
            entries = (await twin(world.nodes["seller"], made[0])).entries
            events = {entry.message.get("status") or entry.message.get("event") for entry in entries}
            return {"reported", "delivered", "paid", "confirmed"} <= events

        await world.until("every event of the contract stands in its twin", told)


async def twin(node: Node, contract: bytes):  # type: ignore[no-untyped-def]
    return await TwinPart(node.core, node.twins).twin(contract)


async def everything_kept(node: Node) -> str:
    """All that a node's private log and facts say, opened, and every byte in its folder."""
    log = [raw async for _, raw in node.core.storage.memory.log.entries(0)]
    files = [path.read_bytes() for path in node.folder.rglob("*") if path.is_file()]
    return b"\n".join([*log, *files]).decode("utf-8", "replace")


async def test_a30_a_retired_assets_words_are_erased_by_key_and_its_contracts_stay_proven(tmp_path: Path) -> None:
    """M-77. No copy of the words was ever readable without the key: log, database, replica; afterwards none is."""
    async with trading(tmp_path) as world:
        owner, seller = await world.open("seller's owner"), world.nodes["seller"]
        await owner.assets.configure(config(world))
        await world.give("buyer", 5_000)
        (contract,) = await world.contract()
        await world.deliver(contract, out=1_000)
        await world.reach(contract, "confirmed")
        await world.rounds(4)
        before = await twin(seller, contract)
        held = (owner, seller, world.market)
        for node in held:
            kept = await everything_kept(node)
            assert not [word for word in (WORDS["location"], WORDS["description"], PICTURE) if word in kept]
        known = await seller.pool.config()
        assert known is not None
        assert {field: getattr(known, field) for field in PERSONAL} == {**WORDS, "image": PICTURE}
        device = seller.core.signer.address
        stored = (await owner.core.storage.memory.facts.all(OWNED))[device.hex()]["personal"]
        await owner.assets.change(device, "retired")
        for node in held:
            assert not [name for name in node.core.keys.keystore.names() if name.startswith("personal-")]
            with pytest.raises(EntryMissing):
                node.core.keys.keystore.get("personal-asset")
        assert owner.assets._personal.open(device.hex(), stored) == {}, "the old sealed text stays closed"
        config_now, shown = await seller.pool.config(), await owner.assets.one(device)
        assert config_now is not None
        for each in (config_now, shown.config):
            assert (each.status, *[getattr(each, field) for field in PERSONAL]) == ("retired", *[""] * len(PERSONAL))
        assert world.market.market is not None
        account = seller.asset.account(world.operator).address
        registered = await world.market.market.notices.registered(account)
        assert registered is not None
        assert (registered.status, registered.area) == ("retired", "")
        # What it did is as provable as before.
        after = await twin(seller, contract)
        assert (after.agrees, after.entries) == (before.agrees, before.entries)
        assert after.agrees
        with pytest.raises(Conflict, match="retired"):
            await owner.assets.change(device, "running")
        with pytest.raises(Refused, match="retired"):
            await owner.assets.configure(config(world))
        assert (await owner.assets.change(device, "retired")).config.status == "retired"
        with pytest.raises(NotFound):
            await owner.assets.one(b"\x01" * 20)
        # Off and on again: it stays forgotten, and it knows that it is retired.
        seller = await world.restart("seller")
        config_now = await seller.pool.config()
        assert config_now is not None
        assert (config_now.status, config_now.name) == ("retired", "")
