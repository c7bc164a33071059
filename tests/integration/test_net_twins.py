"""The digital twin of a contract that is netted: all that happens to it, in every party's words (M-42, M-67, M-82)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.app.facade.twins import TwinPart
from node.services.market.netting import DAY
from node.services.twin.records import decode_record
from tests.integration.test_net_market import deliver, market, matched
from tests.integration.test_netting import becomes
from tests.support.tradeworld import HOUR, World

pytestmark = pytest.mark.chain

NAMES = ("market", "seller", "buyer")


async def told(world: World, name: str, contract: bytes) -> list[tuple[str, str, str]]:
    """Author, event and status of every entry that a node holds."""
    _, logs = await world.nodes[name].twins.logs(contract)
    view = await TwinPart(world.nodes[name].core, world.nodes[name].twins).twin(contract)
    assert logs is not None
    return sorted(
        (each.party, str(each.message["event"]), str(each.message.get("status", ""))) for each in view.entries
    )


async def complete(world: World, contract: bytes, count: int) -> None:
    async def so() -> bool:
        held = [(await world.nodes[name].twins.logs(contract))[1] for name in NAMES]
        return all(logs is not None and len(logs.timeline()) == count for logs in held)

    await world.until(f"every node holds {count} entries", so)


async def test_m42_m67_m82_a_netted_contract_has_its_twin_like_any_other(tmp_path: Path) -> None:
    """Contract, reports, what counts, and that its day paid it; the partners sign what counts as well. All copies
    agree, and a database in which somebody changed a figure does not. After a restart nothing is written twice."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 950, 1_000)
        await complete(world, made.contract_id, 10)
        await world.restart("market")
        for name in ("seller", "buyer"):
            await world.nodes[name].asset.join(world.market.url)
        await world.pass_time((made.day + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, made.day, "settled")
        await world.rounds(4)
        partner = [("contract", ""), ("report", ""), ("step", "delivered")]
        own = [("contract", ""), ("netted", ""), ("report", ""), ("report", ""), ("step", "delivered")]
        entries = await told(world, "market", made.contract_id)
        assert entries == sorted(
            [("market", *each) for each in own] + [(who, *each) for who in ("seller", "buyer") for each in partner]
        )
        part = TwinPart(world.market.core, world.market.twins)
        view = await part.twin(made.contract_id)
        assert view.agrees, view
        fields = {each.field: each.values for each in view.fields}
        assert set(fields["due"].values()) == {855}
        assert len(fields["delivered_wh"]) == 4, "the database, and three logs"
        paid = [each.message for each in view.entries if each.message["event"] == "netted"]
        assert [(each["period"], each["paid"]) for each in paid] == [(made.day, True)]
        for name in ("seller", "buyer"):
            assert (await TwinPart(world.nodes[name].core, world.nodes[name].twins).twin(made.contract_id)).agrees
        space, key = f"net_due_{made.day}", made.contract_id.hex()
        facts = world.market.core.storage.memory.facts
        await facts.set(space, key, {**await facts.get(space, key), "amount": 856})
        changed = await part.twin(made.contract_id)
        assert not changed.agrees
        assert [each.field for each in changed.fields if not each.agrees] == ["due"]


async def test_m43_what_the_meters_count_during_a_netted_delivery_stands_in_the_twin(tmp_path: Path) -> None:
    """As for a contract on the chain: each partner tells at its times what its own meter counted so far, and nothing
    twice."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        accounts = {side: made.seller if side == "seller" else made.buyer for side in ("seller", "buyer")}
        readings = ((0, 0, 0), (120, 90, 80), (310, 250, 240), (320, 260, 250), (650, 1_400, 600), (900, 1_400, 950))
        for after, sent, taken in readings:
            await world.pass_time(max(1, made.start + after - world.clock.now()))
            world.nodes["seller"].meter(made.start + after, out=sent)
            world.nodes["buyer"].meter(made.start + after, into=taken)
            await world.rounds(2)
        await complete(world, made.contract_id, 14)
        for name in NAMES:
            _, logs = await world.nodes[name].twins.logs(made.contract_id)
            assert logs is not None
            records = [decode_record(each.content) or {} for each in logs.timeline()]
            found = {
                side: [
                    (r["meter_time"] - made.start, r["wh"])
                    for r in records
                    if (r["event"], r.get("account")) == ("progress", "0x" + account.hex())
                ]
                for side, account in accounts.items()
            }
            assert found == {"seller": [(310, 250), (650, 1_000)], "buyer": [(310, 240), (650, 600)]}, name
        view = await TwinPart(world.market.core, world.market.twins).twin(made.contract_id)
        assert view.agrees, view


async def test_a_partner_signs_nothing_that_counts_beyond_its_own_report(tmp_path: Path) -> None:
    """Attack: the market writes more than the buyer used, or another sum; the twin shows who says what."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 950, 400)
        buyer = world.nodes["buyer"].asset.netted
        story = await buyer.story(made.contract_id)
        assert story is not None
        assert story.used == 400
        for lie in ((401, 360), (400, 361), (-1, 0)):
            assert not await buyer.agree(story, lie)
        await complete(world, made.contract_id, 10)
        assert (await world.nodes["seller"].asset.netted.story(made.contract_id)).due == (400, 360)  # type: ignore[union-attr]
