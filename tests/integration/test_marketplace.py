"""The marketplace's addresses over real HTTP, with the node's own roles behind them (M-1 to M-28, M-85, A-5, A-26)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from keys.parcel import Parcel
from keys.signers import LocalSigner
from node.api.marketplace import MARKETPLACE_OPERATIONS
from node.app.facade.marketplace import ADDRESSES
from node.app.facade.settlement import MarketPart
from node.app.trading.assetpool import NOTICE_KINDS, NOTICES
from node.projection.submission import Submission
from tests.support.marketface import an_order, encrypted, face, orders
from tests.support.tradeworld import trading

pytestmark = pytest.mark.chain


def a_word(kind: str) -> Parcel:
    """A parcel with a signed message of this type; only the type is looked at."""
    return Parcel(b"\x02" * 20, "market.word", {"typed": {"primaryType": kind}}, b"\x01" * 32, 0, 1)


def test_every_address_of_the_marketplace_is_there_and_takes_its_own() -> None:
    """M-1 to M-9, M-11 to M-20, M-23 to M-25, M-27, M-28 (the match comes from the bid manager inside the market).

    A-7: a reminder has an address of its own, on both sides; A-8: the buyer's report of a payment and the seller's
    confirmation of it are two messages with two names.
    """
    assert {operation.path for operation in MARKETPLACE_OPERATIONS} == set(ADDRESSES)
    assert len(ADDRESSES) == 24
    for place, word in (
        ("/market/payment_processing", "Payment"),
        ("/market/payment_confirmation", "Confirm"),
        ("/market/payment_reminder", "Remind"),
    ):
        taken = {each for each in ("Payment", "Confirm", "Remind") if ADDRESSES[place](a_word(each))}
        assert taken == {word}


async def test_m12_m13_an_order_at_its_address_and_at_no_other(tmp_path: Path) -> None:
    """M-12: an offer, M-13: a request; M-23, M-24: the same at the book's addresses. M-21 and M-22: what is kept of
    them has the fields of the life cycle: the party, the energy, the price, the time at which it came, and the status
    it begins in."""
    async with trading(tmp_path) as world, face(world.market) as api:
        sender = world.nodes["seller"].core.signer
        status, answer = await api.sealed("/market/request", sender, "market.order", await an_order(world, "seller"))
        assert (status, answer["success"]) == (422, False)
        assert "does not belong here" in answer["error"]
        assert await orders(world.market) == 0
        status, answer = await api.sealed("/market/offer", sender, "market.order", await an_order(world, "seller"))
        assert (status, answer) == (200, {"success": True})
        buys = await an_order(world, "buyer", sells=False)
        buyer = world.nodes["buyer"].core.signer
        assert (await api.sealed("/bids/request", buyer, "market.order", buys))[0] == 200
        assert await orders(world.market) == 2
        offers = MarketPart(world.market.core, None, world.market.market)
        newest = await offers.orders(None, 1)
        assert newest.next is not None
        older = await offers.orders(newest.next, 1)
        assert older.next is None
        shown = {view.side: view for view in (*newest.items, *older.items)}
        for side, name, seed in (("offer", "seller", "Initial offer"), ("request", "buyer", "Initial request")):
            view = shown[side]  # type: ignore[index]
            assert (view.seed_status, view.wh, view.filled_wh, view.price) == (seed, 500, 0, 100)
            assert view.account == world.nodes[name].asset.account(world.operator).address
            assert view.timestamp == world.clock.now()


def word(kind: type[m.Message], account: bytes, operator: bytes) -> m.Message:
    """A message about a contract that nobody knows; what it is worth is decided on the chain."""
    contract, until = b"\x05" * 32, 2**39
    values: dict[type[m.Message], tuple[Any, ...]] = {
        m.Provision: (contract, 10, until),
        m.Confirm: (contract, until),
        m.Remind: (contract, 1, until),
        m.IssueClaim: (contract, b"\x06" * 32, until),
        m.Cancel: (contract, until),
        m.Cure: (contract, until),
        m.Payment: ((contract,), 5, False, until),
    }
    make: Any = kind
    return make(account, operator, *values[kind])  # type: ignore[no-any-return]


async def test_m15_to_m19_a_partners_word_at_its_address_and_at_no_other(tmp_path: Path) -> None:
    """M-15: provision, M-16: payment processed (or a claim cured), M-17: confirmation, M-18: cancellation (M-25: at the
    book as well), M-19: claim, M-20: reminder. Another kind at an address, or another account's name under a signature,
    changes nothing."""
    places = {
        "/market/provision": (m.Provision,), "/market/payment_processing": (m.Payment, m.Cure),
        "/market/payment_confirmation": (m.Confirm,), "/market/payment_reminder": (m.Remind,),
        "/market/cancel": (m.Cancel,), "/bids/remove": (m.Cancel,), "/market/claim": (m.IssueClaim,),
    }  # fmt: skip
    kinds = {kind for kinds in places.values() for kind in kinds}
    async with trading(tmp_path) as world, face(world.market) as api:
        seller, stranger = world.nodes["seller"], world.nodes["buyer"].asset.account(world.operator)
        signer, domain = seller.asset.account(world.operator), seller.asset.voice.domain()

        async def body(kind: type[m.Message], by: LocalSigner) -> dict[str, Any]:
            message = word(kind, signer.address, world.operator)
            opening = {m.Provision: ("0x00",), m.Cancel: ("0x01",)}.get(kind, ())
            signature = "0x" + (await by.sign_message(message, domain)).hex()
            return {"typed": m.typed_data(message, domain), "signatures": [signature], "opening": list(opening)}

        async def taken() -> int:
            return len(await world.market.core.storage.views.page(Submission, limit=100))

        async def say(path: str, kind: type[m.Message], by: LocalSigner) -> int:
            return (await api.sealed(path, seller.core.signer, "market.word", await body(kind, by)))[0]

        for path, own in places.items():
            for kind in kinds:
                if kind not in own:
                    assert await say(path, kind, signer) == 422, (path, kind)
                else:
                    assert await say(path, kind, stranger) == 403, (path, kind)
        assert await taken() == 0
        for path, own in places.items():
            for kind in own:
                assert await say(path, kind, signer) == 200, (path, kind)
        assert await taken() == len(kinds)


async def test_m64_m65_wrong_key_wrong_signer_replay_and_rubbish(tmp_path: Path) -> None:
    """M-64: everything is signed; M-65: sealed to the recipient; A-6: hybrid, so a body has no bound of a key's size;
    A-18: checked first, and only then before the matching. Each is refused as the marketplace's clients know it, with a
    proper status, and nothing is kept."""
    async with trading(tmp_path) as world, face(world.market) as api:
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        good = await an_order(world, "seller")
        wrong_key = await encrypted(seller, buyer, seller.core.signer, "market.order", good)
        foreign = good | {"card": buyer.core.card.to_json()}
        unsigned = good | {"signature": "0x" + "11" * 64 + "1b"}
        wrong_signer = await encrypted(seller, world.market, seller.core.signer, "market.order", unsigned)
        other_card = await encrypted(seller, world.market, seller.core.signer, "market.order", foreign)
        for body, statuses in (
            (wrong_key, {403}),
            (wrong_signer, {403}),
            (other_card, {403}),
            ({"encrypted": "!!!!"}, {422}),
            ({"encrypted": base64.b64encode(b"nothing sealed").decode()}, {403}),
            ({"energy": 5}, {422}),
            ({}, {422}),
        ):
            status, answer = await api.post("/market/offer", body)
            assert status in statuses, answer
            assert answer["success"] is False
            assert answer["error"]
        assert await orders(world.market) == 0
        assert world.market.market is not None
        await world.rounds(1)
        assert world.market.market.matching.slots() == (), "none of it reached the book"
        assert len(json.dumps(good)) > 1_000, "far above what an asymmetric key could seal by itself"
        once = await encrypted(seller, world.market, seller.core.signer, "market.order", good)
        assert (await api.post("/market/offer", once))[0] == 200
        assert (await api.post("/market/offer", once))[0] == 200, "the same again is fine and changes nothing"
        assert await orders(world.market) == 1


async def test_senseless_orders_are_refused(tmp_path: Path) -> None:
    """Nothing, over before it begins, for another market, under other terms."""
    async with trading(tmp_path) as world, face(world.market) as api:
        sender = world.nodes["seller"].core.signer
        senseless: tuple[dict[str, Any], ...] = (
            {"wh": 0}, {"deadline": 1}, {"end": 5}, {"operator": b"\x07" * 20}, {"terms": b"\x07" * 32},
        )  # fmt: skip
        for changes in senseless:
            body = await an_order(world, "seller", **changes)
            status, answer = await api.sealed("/market/offer", sender, "market.order", body)
            assert status in (403, 422), changes
            assert answer["success"] is False
        assert await orders(world.market) == 0


async def test_negative_fractional_and_huge_values_are_no_message_at_all(tmp_path: Path) -> None:
    """A-2: energy is whole Wh, a price whole minor units per kWh."""
    async with trading(tmp_path) as world, face(world.market) as api:
        sender, good = world.nodes["seller"].core.signer, await an_order(world, "seller")
        for field, value in (("wh", "-1"), ("wh", "1.5"), ("wh", str(2**64)), ("price", "-1"), ("price", str(2**88))):
            bad = json.loads(json.dumps(good))
            bad["typed"]["message"][field] = value
            status, answer = await api.sealed("/market/offer", sender, "market.order", bad)
            assert (status, answer["success"]) == (422, False), (field, value)
        assert await orders(world.market) == 0


async def test_m2_to_m5_partners_are_told_and_strangers_tell_nothing(tmp_path: Path) -> None:
    """M-2: the contract to both; M-3: a payment is requested of the buyer, once the delivery is final (M-33); M-4: the
    seller is told that it was paid; M-5: the buyer that it was seen (M-14 to M-17). Each word is sealed and signed by
    the market, and kept for audit; the same from anybody else is refused at every address, M-6 and M-7 included.

    A-9: what is confirmed is the payment, with what was delivered and paid, and not the contract's terms again.
    """
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        await world.deliver(contract, out=1_000)
        assert not (await world.reach(contract, "delivered")).settled
        early = await world.nodes["buyer"].core.storage.memory.facts.all(NOTICES)
        assert {key.split("/")[1] for key in early} == {"asset.contract"}, "a reorganisation may take it back"
        await world.reach(contract, "confirmed")
        await world.rounds(4)
        told = {}
        for name in ("seller", "buyer"):
            found = await world.nodes[name].core.storage.memory.facts.all(NOTICES)
            told[name] = {key.split("/")[1] for key in found}
        assert told["seller"] == {"asset.contract", "asset.payment_sent"}
        assert told["buyer"] == {"asset.contract", "asset.payment", "asset.payment_confirmed"}
        found = await world.nodes["buyer"].core.storage.memory.facts.all(NOTICES)
        confirmed = found[f"{contract.hex()}/asset.payment_confirmed/0"]
        assert (confirmed["seed_status"], confirmed["wh"], confirmed["due"]) == ("Payment confirmed", 1_000, 200)
        requested = found[f"{contract.hex()}/asset.payment/0"]
        assert (requested["seed_status"], requested["due"]) == ("Payment requested", 200)
        body = {
            "contract": "0x" + contract.hex(), "status": "claimed", "seed_status": "Claim issued", "wh": 1, "price": 1,
            "due": 1, "reminders": 3, "at": 1,
        }  # fmt: skip
        async with face(world.nodes["buyer"]) as api:
            stranger = world.nodes["seller"].core.signer
            for kind in NOTICE_KINDS:
                path = "/" + kind.replace(".", "/")
                status, answer = await api.sealed(path, stranger, kind, body)
                assert (status, answer["success"]) == (403, False), path
        assert await world.nodes["buyer"].core.storage.memory.facts.all(NOTICES) == found
