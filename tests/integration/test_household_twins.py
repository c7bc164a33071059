"""The household of an asset has the audit copy of every contract: the twin, entry by entry, with a look of its own at
database and chain (M-28, M-42, M-81, M-82, M-87: the fourth copy)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from node.app.facade.twins import TwinPart
from node.projection.twin import Twin
from node.wire.twins import TwinEntrySent
from tests.support.marketface import encrypted, face
from tests.support.tradeworld import Node, World, trading

pytestmark = pytest.mark.chain


async def held(node: Node, contract: bytes) -> Twin:
    return await node.core.storage.views.one(Twin, contract)


async def all_told(world: World, owner: Node, contract: bytes, entries: int) -> None:
    async def so() -> bool:
        twin = await held(owner, contract)
        return len(twin.entries) == entries == twin.anchored

    await world.until(f"the household has {entries} entries and their proofs", so)


async def test_m28_m87_the_owner_is_told_of_every_event_and_checks_it_alone(tmp_path: Path) -> None:
    """Everything that market and partners wrote reaches the seller's household, which writes nothing itself; the
    buyer's has none of it. One look compares its database, all three logs and the chain, field by field."""
    async with trading(tmp_path, terms={"anchor_every_s": 1}) as world:
        owner, other = await world.open("seller's owner"), await world.open("buyer's owner")
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract(wh=1_000, price=200)
        await world.deliver(contract, out=700)
        await world.reach(contract, "confirmed")
        await all_told(world, owner, contract, 18)
        found = await TwinPart(owner.core, owner.twins).twin(contract)
        assert found.agrees, found
        assert {entry.party for entry in found.entries} == {"market", "seller", "buyer"}
        assert all(entry.anchored and entry.on_chain for entry in found.entries)
        assert {line.field: line.values["database"] for line in found.fields}["delivered_wh"] == 700
        assert (await held(owner, contract)).peers == (), "nobody waits for a household's word"
        # The two households hold the same entries under keys of their own.
        await all_told(world, other, contract, 18)
        mine, theirs = await held(owner, contract), await held(other, contract)
        assert set(mine.entries) == set(theirs.entries)
        assert mine.sealed_key != theirs.sealed_key


async def test_m28_only_the_own_gateway_tells_a_household_of_a_contract(tmp_path: Path) -> None:
    """At `/user/notify_event`: a stranger opens no twin, what nobody signed is no entry, an order does not belong
    there, and the same entry again is fine."""
    async with trading(tmp_path) as world:
        owner = await world.open("seller's owner")
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract(wh=1_000, price=200)

        async def told() -> bool:
            return len((await held(owner, contract)).entries) == 3

        await world.until("the household knows of the contract", told)
        seller, stranger = world.nodes["seller"], world.nodes["buyer"]
        before = await held(owner, contract)
        entry = TwinEntrySent(trade=contract, entry=before.entries[0]).to_json()
        forged = json.loads(json.dumps(entry))
        forged["entry"] = forged["entry"][:-4] + ("0000" if forged["entry"][-4:] != "0000" else "1111")
        body = {
            "trade": "0x" + contract.hex(), "operator": "0x" + world.operator.hex(), "holders": [],
            "parties": ["0x" + party.hex() for party in before.parties],
            "sealed_key": base64.b64encode(before.sealed_key).decode(),
        }  # fmt: skip
        path = "/user/notify_event"
        async with face(owner) as api:
            assert (await api.sealed(path, stranger.core.signer, "twin.open", body))[0] == 403
            assert (await api.sealed(path, stranger.core.signer, "twin.entry", forged))[0] == 403
            assert (await api.sealed(path, seller.core.signer, "market.order", {"typed": {}}))[0] == 422
            again = await encrypted(seller, owner, seller.core.signer, "twin.entry", entry)
            assert (await api.post(path, again))[0] == 200
        assert await held(owner, contract) == before
