"""What an owner signed to fund: by itself within the allowance, refused beyond it, or by hand (M-27, M-41, M-56, M-62,
A-29)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.app.core import peer_of
from node.app.trading.owning import FUNDED, Allowed
from node.errors import InvalidInput
from node.runtime.errors import PermanentFailure
from node.wire.settlement import FundWanted
from tests.support.tradeworld import DAY, Node, World, trading, unpaid

pytestmark = pytest.mark.chain


async def owner_of_buyer(world: World, wallet: int) -> Node:
    """The household that the buyer's asset belongs to, with money in its wallet."""
    owner = await world.open("buyer's owner")
    await world.mint(owner.core.keys.identity.wallet().address, wallet)
    await world.rounds(2)
    return owner


async def allow(world: World, owner: Node, per_day: int, per_contract: int, total: int = 10**9) -> None:
    account = world.nodes["buyer"].asset.account(world.operator).address
    wallet = owner.core.keys.identity.wallet().address
    until = world.clock.now() + 30 * DAY
    views = owner.core.chain.funding
    assert views is not None
    before = (await views.funding(wallet, world.operator, account)).nonce
    await owner.funds.allow(Allowed(account, world.operator, per_day, per_contract, until, total))

    async def so() -> bool:
        return (await views.funding(wallet, world.operator, account)).nonce == before + 1

    await world.until("the allowance is on chain", so)


async def reason_of(world: World, owner: Node, contract: bytes) -> str:
    """What the asset and its owner were told, which is the same."""
    buyer = world.nodes["buyer"].asset.trades.payments

    async def told() -> bool:
        return contract in buyer.unfunded

    await world.until("the owner's answer", told)
    found = await owner.core.storage.memory.facts.get(FUNDED, contract.hex())
    assert found is not None
    assert not found["done"]
    assert found["reason"] in buyer.unfunded[contract]
    return str(found["reason"])


async def test_m27_m56_the_owner_funds_what_the_allowance_covers(tmp_path: Path) -> None:
    """M-56: the asset lacks 2,000; it asks, the owner's node draws exactly that, and the contract is paid."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        owner = await owner_of_buyer(world, 10_000)
        over = Allowed(bytes(20), world.operator, 5_000, 3_000, world.clock.now(), 10**9)
        with pytest.raises(InvalidInput, match="still to come"):
            await owner.funds.allow(over)
        await allow(world, owner, per_day=5_000, per_contract=3_000)
        contract = await unpaid(world)
        await world.pass_time(60)
        await world.reach(contract, "confirmed")
        assert await world.token_of(owner.core.keys.identity.wallet().address) == 8_000
        assert await world.balance("buyer") == 0


async def test_a29_of_two_words_of_one_moment_the_later_counts(tmp_path: Path) -> None:
    """A-29: what was allowed by mistake is taken back before a block has it; a node that starts anew meanwhile knows
    which number it signed last."""
    async with trading(tmp_path) as world:
        owner = await owner_of_buyer(world, 10_000)
        account = world.nodes["buyer"].asset.account(world.operator).address
        wallet, until = owner.core.keys.identity.wallet().address, world.clock.now() + 30 * DAY

        async def on_chain() -> int:
            views = owner.core.chain.funding
            assert views is not None
            return int((await views.funding(wallet, world.operator, account)).nonce)

        for per_day in (5_000, 7_000, 0):
            await owner.funds.allow(Allowed(account, world.operator, per_day, per_day, until))
        owner = await world.restart("buyer's owner")
        await owner.funds.allow(Allowed(account, world.operator, 400, 400, until))

        async def last() -> bool:
            return await on_chain() == 4

        await world.until("the last word is on chain", last)
        views = owner.core.chain.funding
        assert views is not None
        assert (await views.funding(wallet, world.operator, account)).per_day == 400


async def test_a29_an_allowance_takes_nothing_from_other_assets(tmp_path: Path) -> None:
    """What the token lets go is for all assets: it grows where a day needs more, and is not less for one that ends."""
    async with trading(tmp_path) as world:
        owner = await owner_of_buyer(world, 10_000)
        views, market = owner.core.chain.funding, owner.core.chain.market
        assert views is not None
        assert market is not None
        wallet, until, spender = owner.core.keys.identity.wallet().address, world.clock.now() + DAY, views.address
        money = await market.money()
        accounts = [world.nodes[name].asset.account(world.operator).address for name in ("buyer", "seller")]

        async def lets(amount: int) -> None:
            async def so() -> bool:
                return await money.allowance(wallet, spender) == amount

            await world.until(f"the token lets {amount} go", so)

        await owner.funds.allow(Allowed(accounts[0], world.operator, 7_000, 7_000, until))
        await owner.funds.allow(Allowed(accounts[1], world.operator, 500, 500, until))
        await world.rounds(3)
        await lets(7_000)
        await owner.funds.allow(Allowed(accounts[1], world.operator, 0, 0, until))
        await world.rounds(3)
        await lets(7_000)
        for total in (9_000, 20):  # said outright, twice within one block: the later holds
            await owner.funds.allow(Allowed(accounts[1], world.operator, 100, 100, until, total))
        await lets(20)


async def test_a29_more_than_the_allowance_for_one_contract_is_refused(tmp_path: Path) -> None:
    """Owner and asset are told why; the money stays; a higher allowance is a new chance.

    M-41: money that comes to the seller from elsewhere meanwhile, of the very amount, pays no contract.
    """
    async with trading(tmp_path, terms={"escrow": False}) as world:
        owner = await owner_of_buyer(world, 10_000)
        await allow(world, owner, per_day=5_000, per_contract=1_999)
        contract = await unpaid(world)
        assert "AllowanceShort" in await reason_of(world, owner, contract)
        assert await world.token_of(owner.core.keys.identity.wallet().address) == 10_000
        await world.pay_in("seller", 2_000)
        await world.rounds(4)
        assert (await world.market.trade(contract)).status.value == "delivered"
        await allow(world, owner, per_day=5_000, per_contract=2_000)
        await world.pass_time(60)
        await world.reach(contract, "confirmed")


@pytest.mark.long
async def test_a29_more_than_the_allowance_for_a_day_is_refused(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"escrow": False}) as world:
        owner = await owner_of_buyer(world, 10_000)
        await allow(world, owner, per_day=1_500, per_contract=5_000)
        contract = await unpaid(world)
        assert "AllowanceShort" in await reason_of(world, owner, contract)
        assert (await world.market.trade(contract)).status.value == "delivered"


@pytest.mark.long
async def test_an_owner_without_funds_is_told_so(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"escrow": False}) as world:
        owner = await owner_of_buyer(world, 100)
        await allow(world, owner, per_day=5_000, per_contract=5_000)
        contract = await unpaid(world)
        assert await reason_of(world, owner, contract)
        assert await world.token_of(owner.core.keys.identity.wallet().address) == 100


async def test_m27_nobody_but_the_paired_gateway_is_funded(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"escrow": False}) as world:
        owner = await owner_of_buyer(world, 10_000)
        await allow(world, owner, per_day=5_000, per_contract=5_000)
        world.off.add("buyer's owner")
        contract = await unpaid(world)
        account = world.nodes["buyer"].asset.account(world.operator).address
        body = FundWanted(operator=world.operator, account=account, contract=contract, missing=2_000)
        with pytest.raises(PermanentFailure, match="Only the paired gateway"):
            await world.nodes["seller"].post.send(peer_of(owner.core.card), "user.fund", body.to_json())


@pytest.mark.long
async def test_m62_funded_by_hand_it_is_paid(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await unpaid(world)
        await world.pay_in("buyer", 2_000)
        await world.clock_on(60)
        await world.reach(contract, "confirmed")
