"""How an asset comes to a market and leaves it: by its own signature, for good (M-1, M-11, A-21)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.app.core import peer_of
from node.runtime.errors import PermanentFailure
from node.wire.assets import AssetConfig, AssetRegistered, registration_statement
from tests.support.marketface import CONFIG, an_order, face, set_up
from tests.support.tradeworld import HOUR, Node, trading

pytestmark = pytest.mark.chain


async def test_m1_m11_the_owner_sets_the_asset_up_and_it_registers(tmp_path: Path) -> None:
    """M-66, A-5, A-21: signed and sealed; the answer has the asset's key; nobody else may.

    M-63: the asset's keys are its own: the settings have no place for one, and none of its secrets leaves it.
    """
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        status, answer = await set_up(world, "seller")
        seller = world.nodes["seller"]
        assert (status, answer["success"]) == (200, True)
        assert not {"seed", "wallet", "private_key", "key"} & set(AssetConfig.model_fields)
        assert base64.b64decode(answer["publicKey"]) == seller.core.keys.sealing.public_bytes
        assert world.market.market is not None
        account = seller.asset.account(world.operator).address
        known = await world.market.market.notices.registered(account)
        assert known is not None
        assert (known.status, known.revocation) == ("running", seller.core.keys.identity.wallet().address)
        async with face(seller) as api:
            stranger = world.nodes["buyer"].core.signer
            body = {"market": world.market.url, **CONFIG}
            status, answer = await api.sealed("/asset/init", stranger, "asset.init", body)
            assert (status, answer["success"]) == (403, False)


async def test_a_retired_asset_orders_nothing_any_more(tmp_path: Path) -> None:
    """A-30: it is over for good; its market refuses it, and so does it itself."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller")
        assert (await set_up(world, "seller", status="retired"))[0] == 200
        status, answer = await set_up(world, "seller", status="running")
        assert (status, answer["success"]) == (409, False)
        async with face(world.market) as api:
            sender = world.nodes["seller"].core.signer
            status, answer = await api.sealed("/market/offer", sender, "market.order", await an_order(world, "seller"))
            assert (status, answer["error"]) == (403, "This asset is retired.")


async def test_m11_an_account_is_registered_and_retired_by_its_own_signature_alone(tmp_path: Path) -> None:
    """A stranger names an account before its asset does, or after; signs with its own key; replays what was signed for
    another market, long ago, or before the last change. The account trades on through all of it."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        signer, thief = seller.asset.account(world.operator), buyer.asset.account(world.operator)
        await seller.asset.join(world.market.url)
        peer = peer_of((await seller.asset.markets())[world.operator].card)
        now, domain = world.clock.now(), m.parcel_domain(world.devnet.chain_id)

        async def registration(by: LocalSigner | None, card: Node, operator: bytes, **changes: Any) -> dict[str, Any]:
            body = AssetRegistered.model_validate(
                {
                    "account": signer.address, "card": card.core.card, "revocation": b"\x01" * 20, "role": "producer",
                    "carrier": "thermal", "area": "", "status": "retired", "signed_at": now,
                }
                | changes
            )  # fmt: skip
            if by is None:
                return body.to_json()
            signature = await by.sign_message(registration_statement(body, operator), domain)
            return body.model_copy(update={"signature": signature}).to_json()

        honest = await registration(signer, buyer, world.operator)
        attacks = {
            "unsigned": await registration(None, buyer, world.operator),
            "signed by another key": await registration(thief, buyer, world.operator),
            "for another market": await registration(signer, buyer, b"\x09" * 20),
            "changed afterwards": honest | {"revocation": "0x" + "02" * 20},
            "long ago": await registration(signer, buyer, world.operator, signed_at=now - 2 * HOUR),
            "of tomorrow": await registration(signer, buyer, world.operator, signed_at=now + 24 * HOUR),
        }
        for name, body in attacks.items():
            with pytest.raises(PermanentFailure, match=r"signed by the account|not of now"):
                await buyer.post.send(peer, "market.register", body)
            assert await world.market.market.notices.registered(signer.address) is None, name  # type: ignore[union-attr]
        old = await registration(signer, seller, world.operator, status="paused", signed_at=now - 1)
        await set_up(world, "seller")
        for body in (*attacks.values(), honest):
            with pytest.raises(PermanentFailure, match="another node"):
                await buyer.post.send(peer, "market.register", body)
        with pytest.raises(PermanentFailure, match="registered anew"):
            await seller.post.send(peer, "market.register", old)
        async with face(world.market) as api:
            order = await an_order(world, "seller")
            assert (await api.sealed("/market/offer", seller.core.signer, "market.order", order))[0] == 200


async def test_a21_the_revocation_key_ends_an_asset_and_changes_nothing_else(tmp_path: Path) -> None:
    """The asset's node is lost: the key that it named may still retire it, for good; no other key may."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller")
        seller, market = world.nodes["seller"], world.market.market
        assert market is not None
        account = seller.asset.account(world.operator).address
        before = await market.notices.registered(account)
        assert before is not None
        body = before.model_copy(update={"status": "retired", "signature": None, "area": "elsewhere"}).to_json()
        async with face(world.market) as api:
            thief = world.nodes["buyer"].core.keys.identity.wallet()
            assert (await api.sealed("/market/register", thief, "market.register", body))[0] == 403
            wallet = seller.core.keys.identity.wallet()
            running = body | {"status": "running"}
            assert (await api.sealed("/market/register", wallet, "market.register", running))[0] == 403
            assert (await api.sealed("/market/register", wallet, "market.register", body))[0] == 200
        assert await market.notices.registered(account) == before.model_copy(update={"status": "retired"})
        status, answer = await set_up(world, "seller")
        assert (status, answer["success"]) != (200, True)


async def test_a21_a30_what_a_retired_asset_left_open_is_matched_with_nobody(tmp_path: Path) -> None:
    """Its node is lost and takes nothing back: the market leaves its offers out of the book by itself, from the word of
    the revocation key on, also after it was off and on again."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller")
        await world.give("buyer", 1_000_000)
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        await world.order("seller", "offer", 500, 100, start)
        await world.rounds(2)
        assert world.market.market is not None
        assert len(world.market.market.matching.slots()) == 1
        account = seller.asset.account(world.operator).address
        known = await world.market.market.notices.registered(account)
        assert known is not None
        body = known.model_copy(update={"status": "retired", "signature": None}).to_json()
        world.off.add("seller")
        async with face(world.market) as api:
            wallet = seller.core.keys.identity.wallet()
            assert (await api.sealed("/market/register", wallet, "market.register", body))[0] == 200
        await world.rounds(1)
        assert world.market.market.matching.slots() == ()
        await world.order("buyer", "request", 500, 300, start)
        await world.rounds(4)
        assert await world.market.trades() == []
        await world.restart("market")
        await world.rounds(4)
        assert await world.market.trades() == []
