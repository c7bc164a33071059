"""Relayed messages share transactions on the real registry; one bad message never sinks the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.ledger.batches import Batches, BatchFace, BatchOptions
from node.ledger.errors import CallReverted, CancelRefused, MessageRefused, RpcUnreachable
from node.ledger.gas import REVOKE_GAS, known_gas
from node.ledger.registry import registry_batch, registry_reason, rejections
from node.ledger.transaction import Transaction, TxState
from tests.support.registryworld import World, world

pytestmark = pytest.mark.chain

_LIMIT = known_gas(m.RegisterStream(b"\x01" * 20, b"\x01" * 32, b"\x01" * 20, b"\x01" * 32, 1, 1, 1, 1))
"""Of gas, for one stream."""


@asynccontextmanager
async def batching(tmp_path: Path, **options: int) -> AsyncIterator[tuple[World, Batches]]:
    async with world(tmp_path) as w:
        yield w, batches_of(w, **options)


def batches_of(w: World, **options: int) -> Batches:
    address = w.views.address
    face = BatchFace(lambda calls: registry_batch(address, calls), rejections, registry_reason)
    return Batches(w.devnet.rpc, w.sender, face, SystemClock(), BatchOptions(**options))


async def accept(w: World, message: m.Message, *signers: LocalSigner, opening: tuple[bytes, ...] = ()) -> bytes:
    return (await w.relay.accept(message, await w.sign(message, *signers), opening)).digest


async def settle(w: World, batches: Batches, rounds: int = 3) -> None:
    for _ in range(rounds):
        await batches.step()
        await w.settle()
        await batches.settle()


async def found(w: World, digest: bytes) -> Transaction:
    tx = await w.sender.find(digest)
    assert tx is not None
    return tx


async def streams(w: World, count: int) -> tuple[bytes, ...]:
    return tuple([await accept(w, w.stream(str(number)), w.owner, w.writer) for number in range(count)])


async def test_messages_of_many_share_one_transaction_and_end_final(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        digests = await streams(w, 20)
        before = await w.devnet.rpc.nonce(w.sender.address)
        await settle(w, batches)
        assert await w.devnet.rpc.nonce(w.sender.address) == before + 1
        ends = [await found(w, digest) for digest in digests]
        assert {tx.state for tx in ends} == {TxState.FINAL}
        assert all(tx.succeeded for tx in ends)
        assert len({tx.carrier for tx in ends}) == 1
        assert len(await w.events()) == 20
        assert w.sender.open_count == 0


async def test_a_batch_is_no_longer_than_its_size(tmp_path: Path) -> None:
    async with batching(tmp_path, size=8) as (w, batches):
        await streams(w, 20)
        await settle(w, batches)
        assert await w.devnet.rpc.nonce(w.sender.address) == 3
        assert len(await w.events()) == 20


async def test_where_gas_bounds_a_batch_one_step_makes_all_of_them(tmp_path: Path) -> None:
    async with batching(tmp_path, gas=5 * _LIMIT) as (w, batches):
        digests = await streams(w, 12)
        await batches.step()
        carriers = [(await found(w, digest)).carrier for digest in digests]
        assert [carriers.count(each) for each in dict.fromkeys(carriers)] == [5, 5, 2]
        await settle(w, batches)
        assert {(await found(w, digest)).state for digest in digests} == {TxState.FINAL}


async def test_one_alone_goes_as_its_own_call(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        (digest,) = await streams(w, 1)
        await settle(w, batches)
        tx = await found(w, digest)
        assert tx.carrier is None
        assert tx.state is TxState.FINAL


async def test_a_message_that_the_contract_rejects_in_the_batch_sinks_nobody(tmp_path: Path) -> None:
    """It was good when it was simulated; its nonce was used in between, so the batch reports it by its digest."""
    async with batching(tmp_path) as (w, batches):
        stream = w.stream("s")
        await w.put(stream, w.owner, w.writer)
        first, second = w.grant(w.sid(stream)), w.grant(w.sid(stream))
        second = replace(second, nonce=first.nonce, text_hash=b"\x34" * 32)
        good = w.grant(w.sid(stream))
        digests = [await accept(w, message, w.owner) for message in (first, second, good)]
        await settle(w, batches)
        states = [await found(w, digest) for digest in digests]
        assert [tx.state for tx in states] == [TxState.FINAL, TxState.REFUSED, TxState.FINAL]
        assert states[1].reason is not None
        assert states[1].reason.name == "NonceUsed"
        with pytest.raises(CallReverted, match="NonceUsed"):
            await w.sender.wait(digests[1])
        assert await w.views.is_live(digests[2], w.sid(stream), w.now + 10)


async def test_what_the_contract_would_not_take_is_refused_without_gas(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        stream = w.stream()
        await w.put(stream, w.owner, w.writer)
        late = replace(w.grant(w.sid(stream)), deadline=w.now - 1)
        digests = [await accept(w, message, w.owner) for message in (late, w.grant(w.sid(stream)))]
        await settle(w, batches, 6)
        states = [await found(w, digest) for digest in digests]
        assert [tx.state for tx in states] == [TxState.REFUSED, TxState.FINAL]
        assert states[0].reason is not None
        assert states[0].reason.name == "DeadlinePassed"
        assert states[0].carrier is None


async def test_a_message_may_follow_what_it_depends_on_at_once(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        stream = w.stream()
        digests = [await accept(w, stream, w.owner, w.writer), await accept(w, w.grant(w.sid(stream)), w.owner)]
        await settle(w, batches, 5)
        assert [(await found(w, digest)).state for digest in digests] == [TxState.FINAL] * 2


async def test_a_forged_signature_is_refused_at_the_door(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, _):
        stream = w.stream()
        await w.put(stream, w.owner, w.writer)
        grant = w.grant(w.sid(stream))
        with pytest.raises(MessageRefused, match="WrongSigner"):
            await accept(w, grant, LocalSigner.generate())
        assert await w.sender.find(m.digest(grant, w.domain)) is None


async def test_accepting_twice_sends_once_also_at_the_same_time(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        stream = w.stream()
        signed = await w.sign(stream, w.owner, w.writer)
        await asyncio.gather(*(w.relay.accept(stream, signed) for _ in range(5)))
        await settle(w, batches)
        again = await w.relay.accept(stream, signed)
        assert again.transaction is not None
        assert again.transaction.state is TxState.FINAL
        assert len(await w.events()) == 1


async def test_a_batch_that_a_reorganisation_removed_carries_its_members_again(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        await w.devnet.mine(5)
        digests = await streams(w, 5)
        await batches.step()
        await w.settle()
        await batches.settle()
        assert {(await found(w, d)).state for d in digests} == {TxState.MINED}
        await w.devnet.reorg(1)
        await w.sender.step()
        await batches.settle()
        assert {(await found(w, d)).state for d in digests} == {TxState.CARRIED}
        await settle(w, batches, 4)
        assert {(await found(w, d)).state for d in digests} == {TxState.FINAL}
        assert len(await w.events()) == 5


async def test_a_batch_that_fails_as_a_whole_sets_its_members_free(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, _):
        address = w.views.address
        # Too little gas for the whole: the contract reverts rather than starve an item.
        starved = BatchFace(
            lambda calls: replace(registry_batch(address, calls), known_gas=230_000), rejections, registry_reason
        )
        batches = Batches(w.devnet.rpc, w.sender, starved, SystemClock())
        digests = await streams(w, 4)
        await settle(w, batches, 6)
        assert {(await found(w, d)).state for d in digests} == {TxState.FINAL}
        assert len(await w.events()) == 4


async def test_a_restart_in_the_middle_of_a_batch_tells_every_member(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        digests = await streams(w, 5)
        await batches.step()
        await w.sender.step()
        await w.devnet.mine(3)
        await w.sender.step()  # the batch is final, its members were not told: the process died here
        assert {(await found(w, d)).state for d in digests} == {TxState.CARRIED}
        fresh = batches_of(w)
        await fresh.settle()
        assert {(await found(w, d)).state for d in digests} == {TxState.FINAL}


async def test_what_is_gathered_can_be_cancelled_and_what_is_carried_cannot(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        first, *rest = await streams(w, 3)
        assert (await w.sender.cancel(first)).state is TxState.REFUSED
        await batches.step()
        with pytest.raises(CancelRefused, match="together with others"):
            await w.sender.cancel(rest[0])
        await settle(w, batches)
        assert len(await w.events()) == 2


async def test_limits_from_the_table_are_enough_for_every_kind(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, _):
        stream, other = w.stream("a"), w.stream("b")
        sid = w.sid(stream)
        await w.put(stream, w.owner, w.writer)
        await w.put(other, w.owner, w.writer)
        grant = w.grant(sid, w.sid(other))
        await w.put(grant, w.owner)
        grant_id = m.digest(grant, w.domain)
        unknown = m.Revoke(w.owner.address, b"\x77" * 32, sid)  # ahead of its grant: the dearest way
        key = m.RegisterKey(w.reader.address, grant_id, b"\x44" * 32, 1 << 40, w.deadline)
        await w.put(m.StreamCommit(sid, 1, b"\x55" * 32), w.writer)
        await w.put(key, w.reader, opening=(sid,))
        await w.put(unknown, w.owner)
        await w.put(m.Revoke(w.owner.address, grant_id, bytes(32)), w.owner)
        heir = LocalSigner.generate()
        moved = m.TransferStream(w.owner.address, heir.address, sid, 1 << 50, w.deadline)
        await w.put(moved, w.owner, heir)
        for message in (stream, grant, unknown, key, moved):
            tx = await found(w, m.digest(message, w.domain))
            assert tx.succeeded, type(message)
            assert tx.gas == known_gas(message) > 0
        assert known_gas(unknown) == REVOKE_GAS == 75_000


async def test_the_receipt_that_the_sender_has_read_is_told_once_and_only_of_the_block_that_it_names(
    tmp_path: Path,
) -> None:
    async with batching(tmp_path) as (w, batches):
        digests = await streams(w, 3)
        await batches.step()
        carrier = (await found(w, digests[0])).carrier
        assert carrier is not None
        sent = await found(w, carrier)
        assert w.sender.read_receipt(sent) is None
        await w.settle()
        mined = await found(w, carrier)
        assert mined.inclusion is not None
        elsewhere = replace(mined, inclusion=replace(mined.inclusion, block_hash=b"\x01" * 32))
        assert w.sender.read_receipt(elsewhere) is None
        assert w.sender.read_receipt(mined) is None, "asked for once, whatever was answered"
        await batches.settle()
        assert {(await found(w, digest)).state for digest in digests} == {TxState.MINED}


async def test_a_batch_is_told_of_without_another_question_to_the_chain(tmp_path: Path) -> None:
    async with batching(tmp_path) as (w, batches):
        digests = await streams(w, 3)
        await batches.step()
        await w.settle()
        await w.devnet.rpc.close()
        for endpoint in w.devnet.rpc.endpoints:
            endpoint.demote(RpcUnreachable("it is gone"))
        await batches.settle()
        assert {(await found(w, digest)).state for digest in digests} == {TxState.MINED}
