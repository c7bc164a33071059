"""Attacks on an asset without a node by its market: lies about what a day's netting left out, and about what was set
off. None is signed for; what is true beside them is."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from keys import messages as m
from keys.signers import LocalSigner
from node.client.errors import MarketRefused
from node.client.left import LASTS_S
from node.client.link import Contracts, Place
from node.client.market import MarketClient
from node.clock import ManualClock
from node.services.asset.errors import PaymentRefused
from node.services.market.netting import DAY
from node.wire.desk import DeskAnswer, DeskContract
from node.wire.settlement import NetLeftOut, OrderPlaced
from tests.integration.test_net_client import trade
from tests.integration.test_netting import becomes, operator_deposits
from tests.support.handlink import HandLink, while_blocks_come
from tests.support.tradeworld import HOUR, World, trading

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain]

SIGNERS = {name: LocalSigner(bytes([n]) * 32) for n, name in enumerate(("ann", "ben", "tom"), 0x61)}
Twist = Callable[[DeskAnswer], DeskAnswer]


class Liar(HandLink):
    """The way to a market that twists its own answers, and brings onto the chain nothing of what it is sent."""

    def __init__(self, world: World, signer: LocalSigner, twist: Twist) -> None:
        super().__init__(world, signer, nets=True)
        self.twist = twist
        self.sent: list[OrderPlaced] = []
        self.no: MarketRefused | None = None

    async def send(self, place: Place, kind: str, body: Mapping[str, Any], lifetime: int) -> None:
        assert kind == "market.order"
        if self.no is not None:
            raise self.no
        self.sent.append(OrderPlaced.model_validate(body))

    async def ask(self, place: Place, seen: tuple[int, bytes], *, money: bool = False) -> DeskAnswer:
        return self.twist(await super().ask(place, seen, money=money))


@dataclass
class Town:
    """A day on which Ben bought of Ann for 900 and Ann of Ben for 400, and Tom of Ann for 200; nothing was netted. Set
    off, Ben owes Ann 500, Ann owes Ben nothing, and Tom still owes 200."""

    world: World
    contracts: Contracts
    root: Path
    orders: dict[str, Path]
    names: dict[bytes, str] = field(default_factory=lambda: {each.address: name for name, each in SIGNERS.items()})

    def client(self, name: str, link: HandLink, orders: Path) -> MarketClient:
        clock, chain = ManualClock(self.world.clock.now()), self.world.devnet.chain_id
        return MarketClient.over(link, SIGNERS[name], chain, self.contracts, clock, orders)

    async def told(self, name: str, twist: Twist, orders: Path) -> tuple[MarketClient, Liar]:
        """What one of them knows after a look at its market; its `orders` are copied where there are none yet."""
        self.copy(name, orders)
        link = Liar(self.world, SIGNERS[name], twist)
        client = self.client(name, link, orders)
        await client.__aenter__()
        await client.look()
        return client, link

    def copy(self, name: str, orders: Path) -> None:
        if not orders.exists():
            shutil.copy(self.orders[name], orders)

    def lines(self, answer: DeskAnswer) -> dict[str, NetLeftOut]:
        """By the names of buyer and seller."""
        found = (*answer.left, *answer.beside)
        return {f"{self.names[bytes(e.buyer)]} owes {self.names[bytes(e.seller)]}": e for e in found}


def whole(contract: DeskContract) -> int:
    return contract.wh


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    root = tmp_path_factory.mktemp("town")
    async with trading(root, terms={"settle": "net", "provision_grace_s": 1_800}) as world:
        await world.pass_time(DAY - world.clock.now() % DAY + HOUR)
        await operator_deposits(world, 1_000)
        find = world.devnet.contracts.find
        contracts = Contracts(find("Market").address, find("NetSettlement").address)
        town = Town(world, contracts, root, {name: root / f"{name}.jsonl" for name in SIGNERS})
        clients = dict[str, MarketClient]()
        for name, signer in SIGNERS.items():
            link, chain = HandLink(world, signer, nets=True), world.devnet.chain_id
            clients[name] = MarketClient.over(link, signer, chain, contracts, world.clock, town.orders[name])
            await clients[name].__aenter__()
            await world.mint(signer.address, 5_000)
            await while_blocks_come(world, clients[name].deposit(5_000))
            await clients[name].mandate(3_000, world.clock.now() + 30 * DAY)
        await world.rounds(4)
        day = world.clock.now() // DAY
        await trade(world, clients["ann"], clients["ben"], 1_000, 900)
        await trade(world, clients["ben"], clients["ann"], 400, 1_000)
        await trade(world, clients["ann"], clients["tom"], 200, 1_000)
        for each in clients.values():
            await each.mandate(0, world.clock.now() + 30 * DAY)
        await world.rounds(4)
        await world.pass_time((day + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, day, "idle")
        await world.rounds(2)
        yield town


def honest(answer: DeskAnswer) -> DeskAnswer:
    return answer


def with_lines(*asked: NetLeftOut, beside: tuple[NetLeftOut, ...] = ()) -> Twist:
    return lambda answer: answer.model_copy(update={"left": asked, "beside": beside})


async def truth(town: Town, name: str) -> dict[str, NetLeftOut]:
    link = Liar(town.world, SIGNERS[name], honest)
    client = town.client(name, link, town.root / f"{name} asks")
    await client.__aenter__()
    return town.lines(await link.ask(client.place, (0, bytes(32))))


def changed(line: NetLeftOut, **fields: Any) -> NetLeftOut:
    return line.model_copy(update=fields)


async def test_the_truth_stands_up(town: Town, tmp_path: Path) -> None:
    """Ann is asked for two sales and sees her purchase beside them; she signs by herself what was not set off: of that
    day nothing, since she cannot see whether a batch took what she bought. She does when she has looked."""
    client, link = await town.told("ann", honest, tmp_path / "orders")
    lines = await truth(town, "ann")
    assert {key: (e.amount, e.due) for key, e in lines.items()} == {
        "ben owes ann": (900, 500),
        "ann owes ben": (400, 0),
        "tom owes ann": (200, 200),
    }
    assert set(client.left) == {bytes(lines[f"{name} owes ann"].leaf) for name in ("ben", "tom")}
    assert not client.refused
    await client.settle(whole)
    assert not link.sent
    assert set(client.waits) == set(client.left)
    assert all("set off" in reason for reason in client.waits.values())
    await client.sign_left(bytes(lines["ben owes ann"].leaf))
    assert set(client.waits) == {bytes(lines["tom owes ann"].leaf)}
    (offer,) = [m.from_typed_data(each.typed)[0] for each in link.sent]
    assert isinstance(offer, m.Offer)
    assert (offer.wh, offer.price, offer.partner) == (1_000, 500, SIGNERS["ben"].address)


async def test_settle_says_of_a_debt_that_it_leaves_it_to_the_program(town: Town, tmp_path: Path) -> None:
    leaf = bytes((await truth(town, "tom"))["tom owes ann"].leaf)
    client, link = await town.told("tom", honest, tmp_path / "orders")
    await client.settle(whole)
    assert not link.sent
    assert "no batch took" in client.waits[leaf]
    await client.sign_left(leaf)
    assert not client.waits


async def test_a_line_that_the_market_does_not_take_holds_up_nothing(town: Town, tmp_path: Path) -> None:
    """What was reported and paid in the same round is said all the same, and the program is told why."""
    line = (await truth(town, "ann"))["tom owes ann"]
    client, link = await town.told("ann", with_lines(line), tmp_path / "orders")
    link.no = MarketRefused("the market", 422, "line_refused", "The order's time does not reach into now.")
    await client.settle(whole)
    assert "does not reach into now" in client.refused[bytes(line.leaf)]
    link.no = None
    await client.settle(whole)
    assert signed_for(link) == [bytes(line.leaf)]


async def refuses(town: Town, name: str, twist: Twist, orders: Path, lie: bytes, field: str) -> MarketClient:
    """The lie is refused by this field, and by `sign_left` too; `settle` goes on with the rest."""
    client, link = await town.told(name, twist, orders)
    assert client.refused[lie].startswith(f"{field}: "), client.refused
    assert lie not in client.left
    with pytest.raises(PaymentRefused) as refused:
        await client.sign_left(lie)
    assert refused.value.field == field
    assert not link.sent
    await client.settle(whole)
    assert lie not in signed_for(link)
    return client


def signed_for(link: Liar) -> list[bytes]:
    """The lines for which orders were sent, by leaf."""
    messages = [m.from_typed_data(each.typed)[0] for each in link.sent]
    return [each.nonce.to_bytes(32, "big") for each in messages if isinstance(each, m.Offer | m.Request)]


async def test_a_ring_that_is_none_is_refused(town: Town, tmp_path: Path) -> None:
    """Ben owes 500 of 900, and nothing is shown that Ann owed for it. What Tom owes is signed for all the same."""
    lines = await truth(town, "ann")
    sale, other = lines["ben owes ann"], lines["tom owes ann"]
    client, link = await town.told("ann", with_lines(sale, other), tmp_path / "orders")
    assert client.refused == {bytes(sale.leaf): "owed: More is set off on one side than on the other."}
    await client.settle(whole)
    assert signed_for(link) == [bytes(other.leaf)]
    await refuses(town, "ann", with_lines(sale, other), tmp_path / "again", bytes(sale.leaf), "owed")


async def test_a_ring_through_a_purchase_that_never_was_is_refused(town: Town, tmp_path: Path) -> None:
    """The market shows a debt of Ann to Tom, for which she has no contract."""
    lines = await truth(town, "ann")
    sale = changed(lines["tom owes ann"], owed=100)
    made_up = changed(
        sale, leaf=b"\x07" * 32, seller=sale.buyer, buyer=sale.seller, request=b"\x08" * 32, amount=100, wh=100, owed=0
    )
    twist = with_lines(sale, beside=(made_up,))
    await refuses(town, "ann", twist, tmp_path / "orders", bytes(sale.leaf), "owed")
    await refuses(town, "ann", twist, tmp_path / "again", bytes(made_up.leaf), "request")


async def test_more_is_set_off_of_a_sale_than_of_a_purchase(town: Town, tmp_path: Path) -> None:
    """Too small for the seller: 400 are to be owed of 900, for a purchase of 400."""
    lines = await truth(town, "ann")
    sale = changed(lines["ben owes ann"], owed=400)
    twist = with_lines(sale, lines["tom owes ann"], beside=(lines["ann owes ben"],))
    client = await refuses(town, "ann", twist, tmp_path / "orders", bytes(sale.leaf), "owed")
    assert "owed" in client.refused[bytes(sale.leaf)]


async def test_less_is_set_off_of_a_debt_than_of_a_claim(town: Town, tmp_path: Path) -> None:
    """Too large for the buyer: Ben is to pay 600, though all of his claim of 400 is gone."""
    lines = await truth(town, "ben")
    debt, claim = changed(lines["ben owes ann"], owed=600), lines["ann owes ben"]
    await refuses(town, "ben", with_lines(debt, beside=(claim,)), tmp_path / "orders", bytes(debt.leaf), "owed")


async def test_more_is_owed_than_the_line_is_for(town: Town, tmp_path: Path) -> None:
    debt = changed((await truth(town, "tom"))["tom owes ann"], owed=201)
    await refuses(town, "tom", with_lines(debt), tmp_path / "orders", bytes(debt.leaf), "owed")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"wh": 201, "amount": 201, "owed": 201}, "wh"),
        ({"amount": 201, "owed": 201}, "amount"),
        ({"price": 1_001, "amount": 200}, "request"),
    ],
    ids=["energy", "amount", "price"],
)
async def test_a_line_is_too_large_for_its_buyer(
    town: Town, tmp_path: Path, fields: dict[str, int], field: str
) -> None:
    debt = changed((await truth(town, "tom"))["tom owes ann"], **fields)
    await refuses(town, "tom", with_lines(debt), tmp_path / "orders", bytes(debt.leaf), field)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"wh": 150, "amount": 150, "owed": 150}, "wh"),
        ({"amount": 150, "owed": 150}, "amount"),
        ({"price": 999, "amount": 199, "owed": 199}, "request"),
    ],
    ids=["energy", "amount", "price"],
)
async def test_a_line_is_too_small_for_its_seller(
    town: Town, tmp_path: Path, fields: dict[str, int], field: str
) -> None:
    """The market itself had said that 200 Wh count."""
    lines = await truth(town, "ann")
    sale = changed(lines["tom owes ann"], **fields)
    twist = with_lines(sale, lines["ben owes ann"], beside=(lines["ann owes ben"],))
    client = await refuses(town, "ann", twist, tmp_path / "orders", bytes(sale.leaf), field)
    assert set(client.left) == {bytes(lines["ben owes ann"].leaf)}, "the others are none the worse for it"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"period": 1}, "request"),
        ({"request": b"\x09" * 32}, "request"),
        ({"seller": b"\x09" * 20}, "request"),
        ({"buyer": b"\x09" * 20}, "buyer"),
        ({"terms": b"\x09" * 32}, "terms"),
        ({"operator": b"\x09" * 20}, "operator"),
    ],
    ids=["day", "request", "seller", "buyer", "terms", "market"],
)
async def test_a_line_is_not_of_the_days_batch(town: Town, tmp_path: Path, fields: dict[str, Any], field: str) -> None:
    """Of another day, request, partner or market; or under terms with other penalties than were agreed."""
    debt = changed((await truth(town, "tom"))["tom owes ann"], **fields)
    await refuses(town, "tom", with_lines(debt), tmp_path / "orders", bytes(debt.leaf), field)


async def test_one_purchase_is_set_off_twice_under_two_leaves(town: Town, tmp_path: Path) -> None:
    lines = await truth(town, "ann")
    bought = lines["ann owes ben"]
    twice, sale = changed(bought, leaf=b"\x07" * 32), changed(lines["ben owes ann"], owed=100)
    twist = with_lines(sale, lines["tom owes ann"], beside=(bought, twice))
    client = await refuses(town, "ann", twist, tmp_path / "orders", b"\x07" * 32, "leaf")
    assert client.refused[bytes(sale.leaf)].startswith("owed: ")
    assert not client.left, "what Tom owes was signed for"


async def test_a_purchase_is_set_off_once_more_against_another_sale(town: Town, tmp_path: Path) -> None:
    """First it went off what Ben owes; later, after a restart, off what Tom owes, and Ben's line is not shown."""
    lines = await truth(town, "ann")
    sale, other, bought = lines["ben owes ann"], lines["tom owes ann"], lines["ann owes ben"]
    orders = tmp_path / "orders"
    await town.told("ann", with_lines(sale, beside=(bought,)), orders)
    lie = changed(other, owed=0)
    half = changed(bought, owed=200)
    await refuses(town, "ann", with_lines(lie, beside=(half,)), orders, bytes(lie.leaf), "owed")


async def test_what_was_set_off_is_asked_for_all_the_same(town: Town, tmp_path: Path) -> None:
    """Ann signed for 500 of Ben's 900 since she owes nothing any more; after a restart she is asked for the 400, beside
    a sale that was never set off."""
    lines, orders = await truth(town, "ann"), tmp_path / "orders"
    sale, bought = lines["ben owes ann"], lines["ann owes ben"]
    client, _ = await town.told("ann", with_lines(sale, beside=(bought,)), orders)
    await client.sign_left(bytes(sale.leaf))
    again, before = changed(bought, owed=400), changed(sale, owed=900)
    await refuses(town, "ann", with_lines(again, beside=(before,)), orders, bytes(again.leaf), "owed")


async def test_a_line_is_signed_for_once(town: Town, tmp_path: Path) -> None:
    """The market says that it never heard of the order, and would have another one, to be paid by both. As long as the
    first one may be matched it is the same; after that the program has to say so."""
    line, orders = (await truth(town, "tom"))["tom owes ann"], tmp_path / "orders"
    leaf = bytes(line.leaf)
    client, _ = await town.told("tom", honest, orders)
    first = await client.sign_left(leaf)
    client, link = await town.told("tom", honest, orders)
    assert isinstance(client._clock, ManualClock)
    client._clock.advance(DAY)
    assert await client.sign_left(leaf) == first
    await client.look()
    client._clock.advance(LASTS_S)
    with pytest.raises(PaymentRefused, match="may be a contract") as refused:
        await client.sign_left(leaf)
    assert refused.value.field == "leaf"
    assert len(link.sent) == 1
    assert await client.sign_left(leaf, again=True) != first


async def test_without_its_orders_an_asset_signs_for_nothing(town: Town, tmp_path: Path) -> None:
    """A program that lost what it ordered cannot tell a line from a forgery."""
    empty = tmp_path / "orders"
    empty.touch()
    lines = await truth(town, "ann")
    for line in (lines["ben owes ann"], lines["tom owes ann"]):
        await refuses(town, "ann", honest, empty, bytes(line.leaf), "request")
