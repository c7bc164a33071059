"""The digital twin of a contract at the market and both partners, on a real chain; what becomes of lies and of damage
(M-42, M-67, M-82, M-87)."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from channels.twin import Twin as Logs
from channels.twin import TwinEntry
from contracts.nettings import leaf_of
from keys.messages import market_domain
from keys.parcel import pack
from node.app.facade.twins import TwinPart
from node.errors import Busy, NodeError, NotFound, Refused
from node.projection.twin import Twin, TwinStatus
from node.services.twin.records import decode_record, encode_record
from node.storage.schema import states
from node.wire.twins import TwinAnchored, TwinEntrySent
from tests.support.tradeworld import DAY, Node, World, trading

pytestmark = pytest.mark.chain

NAMES = ("market", "seller", "buyer")


async def told(node: Node, contract: bytes) -> list[tuple[str, str, str]]:
    """What a node's twin says, entry by entry: who wrote it, what happened, and the status after it."""
    _, logs = await node.twins.logs(contract)
    assert logs is not None
    found = []
    for each in logs.timeline():
        record = decode_record(each.content)
        assert record is not None
        found.append((each.entry.author.hex()[:6], record["event"], record.get("status", "")))
    return found


async def grown(world: World, contract: bytes, entries: int) -> None:
    async def so() -> bool:
        counts = [len((await world.nodes[name].core.storage.views.one(Twin, contract)).entries) for name in NAMES]
        return counts == [entries] * 3

    await world.until(f"every twin has {entries} entries", so)


async def a_contract(world: World) -> bytes:
    await world.give("buyer", 1_000_000)
    (contract,) = await world.contract(wh=1_000, price=200)
    await grown(world, contract, 3)
    return contract


def logs_of(twin: Twin, key: bytes, world: World) -> Logs:
    market = world.market.core.chain.market
    assert market is not None
    return Logs(twin.contract_id, key, twin.parties, market_domain(world.devnet.chain_id, market.address))


async def bring(world: World, kind: str, body: dict[str, Any], sender: str = "market", to: str = "seller") -> None:
    """A parcel to a node, as any other node may send it."""
    node, core = world.nodes[to], world.nodes[sender].core
    sealing = node.core.keys.sealing.public_bytes
    parcel = await pack(
        core.signer, sealing, kind, body, chain_id=world.devnet.chain_id, now=world.clock.now(), lifetime=600
    )
    await node.inbox.take(parcel, "")


async def send(world: World, sender: str, to: str, contract: bytes, entry: bytes) -> None:
    await bring(world, "twin.entry", TwinEntrySent(trade=contract, entry=entry).to_json(), sender, to)


async def test_m42_every_status_change_stands_in_every_partys_log_and_everybody_has_all_logs(tmp_path: Path) -> None:
    """A-20: entries are sealed by the twin's own key, which market and both partners share, and nobody else reads."""
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        await world.deliver(contract, out=700)
        await world.reach(contract, "confirmed")
        # Both reports, the delivery, the payment, the confirmation: six facts with the contract, in three logs.
        await grown(world, contract, 18)
        views = [await told(world.nodes[name], contract) for name in NAMES]
        assert views[0] == views[1] == views[2]
        for author in {who for who, _, _ in views[0]}:
            log = [(event, status) for who, event, status in views[0] if who == author]
            assert log == [
                ("contract", ""),
                ("step", "reported"),
                ("step", "reported"),
                ("step", "delivered"),
                ("step", "paid"),
                ("step", "confirmed"),
            ]
        stored = b"".join((await world.market.core.storage.views.one(Twin, contract)).entries)
        assert b"delivered" not in stored
        assert contract in stored, "an entry shows which contract, its author and its place; no more"


async def test_m43_what_the_meters_count_during_the_delivery_stands_in_the_twin(tmp_path: Path) -> None:
    """Each partner tells at its times what its own meter counted so far, of this contract alone, and nothing
    twice. What was told decides nothing: the copies agree on the facts of the chain."""
    async with trading(tmp_path, settlement={"progress_every_s": 300}) as world:
        contract = await a_contract(world)
        made = await world.market.trade(contract)
        assert made.watch is not None
        start = made.watch.waits.start
        for after, sent, taken in ((0, 0, 0), (120, 90, 80), (310, 250, 240), (320, 260, 250), (650, 1_400, 600)):
            await world.pass_time(start + after - world.clock.now())
            world.nodes["seller"].meter(start + after, out=sent)
            world.nodes["buyer"].meter(start + after, into=taken)
            await world.rounds(2)
        # The seller made more than it sold: a contract never counts more than it is for.
        await grown(world, contract, 7)
        for name in NAMES:
            _, logs = await world.nodes[name].twins.logs(contract)
            assert logs is not None
            records = [decode_record(each.content) or {} for each in logs.timeline()]
            found = {
                side: [(r["meter_time"] - start, r["wh"]) for r in records if r.get("account") == account]
                for side, account in (("seller", account_of(world, "seller")), ("buyer", account_of(world, "buyer")))
            }
            assert found == {"seller": [(310, 250), (650, 1_000)], "buyer": [(310, 240), (650, 600)]}, name
        seen = await part(world, "market").twin(contract)
        assert seen.agrees
        trade = await world.nodes["buyer"].trade(contract)
        assert [each.wh for each in trade.progress] == [240, 600]


def account_of(world: World, name: str) -> str:
    return "0x" + world.nodes[name].asset.account(world.operator).address.hex()


@pytest.mark.long
async def test_m67_the_key_is_drawn_for_each_contract_and_opens_nowhere_else(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        one, other = await world.contract(count=2)
        await grown(world, one, 3)
        await grown(world, other, 3)
        _, first = await world.nodes["seller"].twins.logs(one)
        _, second = await world.nodes["seller"].twins.logs(other)
        assert first is not None
        assert second is not None
        assert first._key != second._key
        states = [await world.nodes[name].core.storage.views.one(Twin, one) for name in NAMES]
        assert len({state.sealed_key for state in states}) == 3, "sealed to each holder on its own"


@pytest.mark.long
async def test_a_node_that_was_off_gets_everything_and_writes_what_it_sees_then(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        await world.deliver(contract, out=700)
        await world.reach(contract, "delivered")
        world.off.add("seller")
        await world.reach(contract, "paid")
        await world.rounds(3)
        world.off.discard("seller")
        await world.reach(contract, "confirmed")
        await grown(world, contract, 18)
        assert await told(world.nodes["seller"], contract) == await told(world.market, contract)


async def test_a_restart_writes_nothing_twice(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        for name in NAMES:
            await world.restart(name)
        await world.rounds(4)
        await grown(world, contract, 3)


async def test_a_market_that_shows_two_histories_is_found_out_with_evidence(tmp_path: Path) -> None:
    """It tells the seller something else under a number that it used before: both entries are its own signatures."""
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        market, seller = world.market, world.nodes["seller"]
        twin, logs = await market.twins.logs(contract)
        assert logs is not None
        fresh = logs_of(twin, logs._key, world)
        wallet = market.core.keys.identity.wallet()
        draft = fresh.draft(wallet.address, b"\x07" * 16, encode_record({"event": "contract", "wh": 1}), 100)
        lie = replace(draft, signature=await wallet.sign_message(draft.statement(), fresh._domain)).encode()
        await send(world, "market", "seller", contract, lie)
        state = await seller.core.storage.views.one(Twin, contract)
        assert state.status is TwinStatus.FORKED
        assert lie in state.fork
        assert lie not in state.entries
        assert state.fork[0] in state.entries, "what it had said before"
        await world.deliver(contract, out=700)
        await world.reach(contract, "confirmed")
        await grown(world, contract, 18)


async def test_what_no_party_wrote_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        market, seller, buyer = (world.nodes[name] for name in NAMES)
        twin, logs = await market.twins.logs(contract)
        assert logs is not None
        account = buyer.asset.account(world.operator)
        draft = logs.draft(account.address, b"\x07" * 16, encode_record({"event": "step"}), 100)
        thief = seller.asset.account(world.operator)
        forged = replace(draft, signature=await thief.sign_message(draft.statement(), logs._domain)).encode()
        with pytest.raises(Refused):
            await send(world, "seller", "market", contract, forged)
        with pytest.raises(Busy):
            await send(world, "seller", "market", b"\x09" * 32, forged)
        late = replace(draft, seq=draft.seq + 1, previous=b"\x01" * 32)
        early = replace(late, signature=await account.sign_message(late.statement(), logs._domain)).encode()
        with pytest.raises(Busy):
            await send(world, "buyer", "market", contract, early)
        assert await market.core.storage.views.one(Twin, contract) == twin


async def test_only_the_contracts_own_market_opens_its_twin(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        seller = world.nodes["seller"]
        twin = await seller.core.storage.views.one(Twin, contract)
        body = {
            "trade": "0x" + contract.hex(),
            "operator": "0x" + twin.operator.hex(),
            "parties": ["0x" + party.hex() for party in twin.parties],
            "holders": [],
            "sealed_key": base64.b64encode(twin.sealed_key).decode(),
        }
        for changed in ({}, {"parties": body["parties"][:2]}):
            with pytest.raises(NodeError, match="opened by the market"):
                await bring(world, "twin.open", {**body, **changed}, sender="buyer")
        assert await seller.core.storage.views.one(Twin, contract) == twin


def part(world: World, name: str) -> TwinPart:
    node = world.nodes[name]
    return TwinPart(node.core, node.twins)


async def change(node: Node, old: str, new: str) -> None:
    """Somebody changes the database of a node behind its back."""
    async with node.core.storage.database.write() as connection:
        rows = (await connection.execute(select(states.c.key, states.c.document).where(states.c.kind != "order"))).all()
        for key, document in rows:
            if old in document:
                changed = update(states).where(states.c.key == key, states.c.document == document)
                await connection.execute(changed.values(document=document.replace(old, new)))


async def test_m82_m87_four_copies_agree_and_each_shows_a_change_of_another(tmp_path: Path) -> None:
    """Database, three logs, and the chain; then the database of one node is changed by hand."""
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        await world.deliver(contract, out=700)
        await world.reach(contract, "confirmed")
        await grown(world, contract, 18)
        for name in NAMES:
            found = await part(world, name).twin(contract)
            assert found.agrees, found
            by_field = {line.field: line.values for line in found.fields}
            copies = ["database", "market's log", "seller's log", "buyer's log", "chain"]
            assert list(by_field["status"]) == copies
            assert set(by_field["status"].values()) == {"confirmed"}
            assert by_field["delivered_wh"] == dict.fromkeys(copies[:-1], 700)
            assert by_field["seller"]["chain"] == by_field["seller"]["database"]
            assert all(entry.on_chain for entry in found.entries)
            assert len(found.entries) == 18
        await change(world.market, '"price":200', '"price":100')
        found = await part(world, "market").twin(contract)
        assert not found.agrees
        assert [line.field for line in found.fields if not line.agrees] == ["price"]
        differing = {line.field: line.values for line in found.fields}["price"]
        assert (differing["database"], differing["chain"], differing["seller's log"]) == (100, 200, 200)
        with pytest.raises(NotFound):
            await part(world, "market").twin(b"\x01" * 32)


@pytest.mark.long
async def test_a_changed_log_is_damage_and_holds_up_nothing(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        twin, _ = await world.nodes["buyer"].twins.logs(contract)
        entry = twin.entries[0].hex()
        await change(world.nodes["buyer"], entry, entry[:-200] + ("0" if entry[-200] != "0" else "1") + entry[-199:])
        found = await part(world, "buyer").twin(contract)
        assert not found.agrees
        assert found.damage is not None
        assert (found.entries, found.missing) == ((), ())
        await world.deliver(contract, out=700)
        await world.reach(contract, "delivered")
        await world.pass_time(DAY + 60)  # the buyer pays when it is reminded: what it compares with is damaged
        await world.reach(contract, "confirmed", 60)
        assert (await part(world, "seller").twin(contract)).damage is None


async def test_a_fork_and_a_block_that_never_was_are_shown(tmp_path: Path) -> None:
    """A partner writes down a block hash that the chain does not have: every holder sees it."""
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        seller = world.nodes["seller"]
        _, logs = await seller.twins.logs(contract)
        assert logs is not None
        lie = {"event": "step", "status": "paid", "amount": 999, "block": 1, "block_hash": "0x" + "66" * 32}
        told = await seller.twins._entry(logs, seller.asset.account(world.operator), encode_record(lie))
        await seller.core.storage.memory.keep([told])

        async def there() -> bool:
            return len((await world.market.core.storage.views.one(Twin, contract)).entries) == 4

        await world.until("the market has the lie", there)
        found = await part(world, "market").twin(contract)
        assert not found.agrees
        assert [entry.on_chain for entry in found.entries if entry.message.get("status") == "paid"] == [False]
        paid = {line.field: line.values for line in found.fields}["paid"]
        assert paid == {"database": 0, "market's log": 0, "seller's log": 999, "buyer's log": 0}


async def anchored(world: World, contract: bytes, entries: int) -> None:
    async def so() -> bool:
        states = [await world.nodes[name].core.storage.views.one(Twin, contract) for name in NAMES]
        return [state.anchored for state in states] == [entries] * 3

    await world.until(f"{entries} entries are anchored and everybody has the proof", so)


async def test_m87_entries_of_many_twins_are_proven_by_one_root_on_the_chain(tmp_path: Path) -> None:
    """No transaction per twin: contracts in whatever order, one root; each holder checks its own entries against the
    chain."""
    async with trading(tmp_path, terms={"anchor_every_s": 600}) as world:
        await world.give("buyer", 1_000_000)
        contracts = await world.contract(count=5)
        for each in contracts:
            await grown(world, each, 3)
        await world.pass_time(600)
        for each in contracts:
            await anchored(world, each, 3)
        found = [await world.market.core.storage.views.one(Twin, each) for each in contracts]
        assert len({anchor.root for twin in found for anchor in twin.anchors}) == 1
        one = contracts[0]
        await world.deliver(one, out=5_000)
        await world.reach(one, "confirmed")
        await grown(world, one, 18)
        await world.pass_time(600)
        await anchored(world, one, 18)
        for name in NAMES:
            view = await part(world, name).twin(one)
            assert view.agrees, view
            assert all(entry.anchored for entry in view.entries)
            assert len({entry.anchored for entry in view.entries}) >= 2


async def test_a_root_that_is_not_on_the_chain_proves_nothing(tmp_path: Path) -> None:
    """A market that names a root it never anchored, or paths that lead elsewhere."""
    async with trading(tmp_path) as world:
        contract = await a_contract(world)
        seller = world.nodes["seller"]
        twin = await seller.core.storage.views.one(Twin, contract)
        entry = TwinEntry.decode(twin.entries[0]).hash
        root = leaf_of(entry)
        made_up: dict[str, Any] = {"trade": contract, "root": root, "height": 5, "hashes": (entry,), "paths": (b"",)}
        for wrong in ({"root": b"\x01" * 32}, {"paths": (b"\x02" * 32,)}, {"paths": (b"", b"")}, {"paths": (b"\x02",)}):
            with pytest.raises(Refused, match="do not lead to the root"):
                await bring(world, "twin.anchor", TwinAnchored(**{**made_up, **wrong}).to_json())
        forged = TwinAnchored(**made_up).to_json()
        for sender, to in (("buyer", "seller"), ("buyer", "market"), ("market", "market")):
            with pytest.raises(Refused, match="Only the market"):
                await bring(world, "twin.anchor", forged, sender, to)
        twice = TwinAnchored(**{**made_up, "hashes": (entry, entry), "paths": (b"", b"")}).to_json()
        with pytest.raises(Refused, match="root already"):
            await bring(world, "twin.anchor", twice)
        await bring(world, "twin.anchor", forged)
        with pytest.raises(Refused, match="root already"):
            await bring(world, "twin.anchor", TwinAnchored(**{**made_up, "height": 6}).to_json())
        found = await part(world, "seller").twin(contract)
        assert not found.agrees
        assert found.unproven == (root,)
        assert [each.anchored for each in found.entries] == [None] * 3
        stranger = {**made_up, "root": leaf_of(b"\x03" * 32), "hashes": (b"\x03" * 32,)}
        with pytest.raises(Busy):
            await bring(world, "twin.anchor", TwinAnchored(**stranger).to_json())


@pytest.mark.long
async def test_a_batch_that_was_on_its_way_goes_on_after_a_crash(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"anchor_every_s": 1}) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract(wh=1_000, price=200)
        pending: list[object] = []

        async def sent() -> bool:
            pending[:] = [await world.market.core.storage.memory.facts.get("twin_anchor", "pending")]
            return pending[0] is not None

        await world.until("a batch is on its way", sent)
        await world.restart("market")
        assert await world.market.core.storage.memory.facts.get("twin_anchor", "pending") == pending[0]

        async def there() -> bool:
            state = await world.market.core.storage.views.one(Twin, contract)
            return 0 < state.anchored == len(state.entries)

        await world.until("everything is anchored", there, 60)
