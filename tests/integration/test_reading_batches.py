"""Readings of many meters share a transaction on a real token; a refused one sinks nobody and is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from keys.messages import Reading, RegisterSource, energy_domain
from keys.signers import LocalSigner
from node.api.settlementviews import ShareForm
from node.app.core import Core
from node.app.facade.settlement import EnergyPart
from node.clock import SystemClock
from node.errors import Conflict
from node.ledger.batches import Batches, BatchFace, BatchOptions
from node.ledger.energy import EnergyViews, energy_batch, energy_face, energy_lane, energy_rejections
from node.ledger.faces import Faces
from node.ledger.relay import Relay
from node.ledger.reverts import Reason
from node.ledger.transaction import Transaction, TxState
from node.ledger.wire import RawLog
from node.runtime.devnet.deploy import deploy_energy_token
from tests.integration.test_batches import batches_of
from tests.support.registryworld import World, world

pytestmark = pytest.mark.chain


@dataclass
class Community:
    """A token with sources beside the registry, one sender for both."""

    world: World
    relay: Relay
    batches: Batches
    energy: EnergyViews
    devices: list[LocalSigner]
    since: int

    async def tell(self, source: int, index: int, wh: int, *, by: int | None = None) -> bytes:
        """A reading of a source, signed by its device or by another source's."""
        domain = energy_domain(self.world.domain.chain_id, self.energy.address)
        reading = Reading(source, index, wh, self.since + 60 + index)
        signature = await self.devices[source if by is None else by].sign_message(reading, domain)
        return (await self.relay.share(reading, [signature], (), domain)).digest

    async def settle(self, rounds: int = 3) -> None:
        for _ in range(rounds):
            await self.batches.step()
            await self.world.settle()
            await self.batches.settle()

    async def found(self, digest: bytes) -> Transaction:
        tx = await self.world.sender.find(digest)
        assert tx is not None
        return tx


@asynccontextmanager
async def community(tmp_path: Path, sources: int) -> AsyncIterator[Community]:
    async with world(tmp_path) as w:
        rpc, registrar = w.devnet.rpc, LocalSigner.generate()
        token = (await deploy_energy_token(rpc, registrar.address, payer=await w.devnet.payer())).address
        face = energy_face(w.domain.chain_id, token)
        relay = Relay(rpc, w.sender, w.views, faces=Faces([face]))
        batching = BatchFace(
            lambda calls: energy_batch(token, calls), energy_rejections, face.reason, token, energy_lane
        )
        batches = Batches(rpc, w.sender, batching, SystemClock(), BatchOptions())
        devices = [LocalSigner.generate() for _ in range(sources)]
        for number, device in enumerate(devices):
            message = RegisterSource(number, w.owner.address, device.address, 0, 100_000, 0, number + 1, w.deadline)
            signatures = [await each.sign_message(message, face.domain) for each in (w.owner, device, registrar)]
            await relay.relay(message, signatures, (), face.domain)
        await w.settle()
        since = (await rpc.head()).timestamp
        await rpc.request("evm_increaseTime", [3_600])
        await w.devnet.mine()
        yield Community(w, relay, batches, EnergyViews(rpc, token), devices, since)


async def _nobody(*_: object, **__: object) -> list[bytes]:
    raise AssertionError("asked in vain")


async def test_many_readings_mint_in_one_transaction_and_end_final(tmp_path: Path) -> None:
    async with community(tmp_path, 20) as c:
        digests = [await c.tell(source, 1, 500) for source in range(20)]
        await c.settle()
        ends = [await c.found(digest) for digest in digests]
        assert {tx.state for tx in ends} == {TxState.FINAL}
        assert all(tx.succeeded for tx in ends)
        assert len({tx.carrier for tx in ends}) == 1
        assert await c.energy.supply() == 20 * 500 * 1_000


async def test_a_reading_of_a_wrong_device_is_refused_and_sinks_nobody(tmp_path: Path) -> None:
    async with community(tmp_path, 3) as c:
        good = [await c.tell(0, 1, 500), await c.tell(2, 1, 700)]
        bad = await c.tell(1, 1, 600, by=0)
        await c.settle(6)
        assert [(await c.found(digest)).state for digest in good] == [TxState.FINAL] * 2
        refused = await c.found(bad)
        assert refused.state is TxState.REFUSED
        assert refused.reason is not None
        assert await c.energy.supply() == 1_200 * 1_000


async def test_a_reading_that_the_token_rejects_within_the_batch_is_told_with_its_reason(tmp_path: Path) -> None:
    """Each is right by itself; together the second one says less than the first has counted."""
    async with community(tmp_path, 2) as c:
        c.batches._face = replace(c.batches._face, lane=lambda _: None)  # else the second waits for the first
        first, back, other = await c.tell(0, 1, 500), await c.tell(0, 2, 400), await c.tell(1, 1, 100)
        await c.settle()
        assert [(await c.found(digest)).state for digest in (first, other)] == [TxState.FINAL] * 2
        rejected = await c.found(back)
        assert rejected.state is TxState.REFUSED
        assert rejected.carrier == (await c.found(first)).carrier
        assert rejected.reason is not None
        assert rejected.reason.name
        assert await c.energy.supply() == 600 * 1_000


async def test_readings_of_one_source_mint_one_after_the_other_in_blocks_of_their_own(tmp_path: Path) -> None:
    """Two in one block would be energy made in no time: the contract refuses the second, which would be lost."""
    async with community(tmp_path, 2) as c:
        digests = [await c.tell(0, 1, 500), await c.tell(0, 2, 501), await c.tell(1, 1, 100), await c.tell(0, 3, 502)]
        await c.batches.step()
        assert [(await c.found(digest)).state for digest in digests] == [
            TxState.CARRIED,
            TxState.GATHERED,
            TxState.CARRIED,
            TxState.GATHERED,
        ]
        again = Batches(c.world.devnet.rpc, c.world.sender, c.batches._face, SystemClock())
        await again.step()  # what is on the way is known to whoever comes after a restart
        assert (await c.found(digests[1])).state is TxState.GATHERED
        for _ in range(8):
            await c.settle(1)
            await c.world.devnet.rpc.request("evm_increaseTime", [1])
        ends = [await c.found(digest) for digest in digests]
        assert all(tx.state is TxState.FINAL and tx.succeeded for tx in ends)
        heights = [tx.inclusion.block_number for tx in (ends[0], ends[1], ends[3]) if tx.inclusion is not None]
        assert heights == sorted(set(heights))
        assert await c.energy.supply() == 602 * 1_000


async def test_the_next_reading_of_a_source_waits_for_a_block_after_the_one_that_has_the_one_before(
    tmp_path: Path,
) -> None:
    """On the state of that block nothing could have been made since: asking would be in vain, and count as a try."""
    async with community(tmp_path, 1) as c:
        first, second = await c.tell(0, 1, 500), await c.tell(0, 2, 501)
        await c.settle(1)
        assert (await c.found(first)).state is TxState.MINED
        c.batches._rpc.call_many = _nobody  # type: ignore[method-assign, assignment]
        await c.batches.step()
        assert (await c.found(second)).state is TxState.GATHERED
        del c.batches._rpc.call_many
        await c.world.devnet.rpc.request("evm_increaseTime", [1])
        await c.world.devnet.mine()
        await c.batches.step()
        assert (await c.found(second)).state is TxState.QUEUED
        await c.world.devnet.rpc.request("evm_increaseTime", [1])
        await c.settle()
        assert (await c.found(second)).succeeded


async def test_what_became_of_several_batches_is_saved_and_told_at_once(tmp_path: Path) -> None:
    async with community(tmp_path, 6) as c:
        c.batches = Batches(c.world.devnet.rpc, c.world.sender, c.batches._face, SystemClock(), BatchOptions(size=2))
        digests = [await c.tell(source, 1, 500) for source in range(6)]
        await c.batches.step()
        await c.world.settle()
        told: list[list[Transaction]] = []

        async def listen(changed: Sequence[Transaction]) -> None:
            told.append(list(changed))

        c.world.sender.listener = listen
        await c.batches.settle()
        assert len({(await c.found(digest)).carrier for digest in digests}) == 3
        assert [sorted(tx.key for tx in group) for group in told] == [sorted(digests)]


async def test_a_batch_that_moves_while_its_outcome_is_told_is_told_again(tmp_path: Path) -> None:
    async with community(tmp_path, 2) as c:
        digests = [await c.tell(source, 1, 500) for source in range(2)]
        await c.batches.step()
        await c.world.settle()
        carrier = await c.found((await c.found(digests[0])).carrier or b"")
        rejections = c.batches._face.rejections

        def meanwhile(logs: Sequence[RawLog]) -> Mapping[bytes, Reason]:
            c.batches._changed([carrier])
            return rejections(logs)

        c.batches._face = replace(c.batches._face, rejections=meanwhile)
        await c.batches.settle()
        assert c.batches._moved == {carrier.key: carrier}


async def test_two_contracts_share_a_sender_and_no_transaction(tmp_path: Path) -> None:
    async with community(tmp_path, 4) as c:
        w = c.world
        registry = batches_of(w)
        registry._face = replace(registry._face, contract=w.views.address)
        streams = []
        for number in range(3):
            stream = w.stream(str(number))
            streams.append((await w.relay.accept(stream, await w.sign(stream, w.owner, w.writer))).digest)
        readings = [await c.tell(source, 1, 500) for source in range(4)]
        for _ in range(3):
            await registry.step()
            await c.settle(1)
            await registry.settle()
        told = [await c.found(digest) for digest in (*streams, *readings)]
        assert all(tx.state is TxState.FINAL and tx.succeeded for tx in told)
        carriers = [tx.carrier for tx in told]
        assert len(set(carriers[:3])) == len(set(carriers[3:])) == 1
        assert carriers[0] != carriers[-1]


async def test_no_more_shares_are_sent_than_the_household_has(tmp_path: Path) -> None:
    """The chain would refuse them later, when whoever sent them was told already that they are on their way."""
    async with community(tmp_path, 2) as c:
        wallet = SimpleNamespace(wallet=lambda: c.world.owner)
        core = SimpleNamespace(
            keys=SimpleNamespace(identity=wallet), chain=SimpleNamespace(energy=c.energy), clock=SystemClock()
        )
        part = EnergyPart(cast("Core", core), None, None, None)
        for source in (1, 7):  # of a source that is there, and of none
            with pytest.raises(Conflict, match="has 0 shares"):
                await part.send_shares(ShareForm(source=source, receiver=b"\x0e" * 20, shares=1))
