"""What a sender survives: many at once, cancellations, price spikes, and whoever else has its key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from node.errors import ExitCode
from node.ledger.errors import (
    CallReverted,
    CancelRefused,
    FeesTooHigh,
    RpcError,
    SenderBusy,
)
from node.ledger.fees import FeePolicy
from node.ledger.finality import Finality
from node.ledger.transaction import Transaction, TxState
from node.runtime.devnet.anvil import AnvilOptions
from tests.support.sending import key, known, outcome, settle, state, world

pytestmark = pytest.mark.chain
GWEI = 10**9


# --- many at once ----------------------------------------------------------------------------------------------------


async def test_two_thousand_in_flight_take_every_nonce_once_and_few_requests(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        count = 2_000
        await asyncio.gather(*(sender.submit(key(str(n)), known(w, n)) for n in range(count)))
        before = w.proxy.requests
        await sender.step()
        assert sender.waiting == count
        blocks = 0
        while await w.nonce() < count:
            await w.chain.mine()
            await sender.step()
            blocks += 1
        await w.chain.mine()
        await sender.step()
        assert sender.open_count == 0
        assert await w.nonce() == count
        assert await w.words() == [b"%d" % n for n in range(count)]
        assert w.proxy.seen["eth_getTransactionReceipt"] == 0, "receipts come by block"
        assert w.proxy.seen["eth_getBlockReceipts"] <= blocks + 1
        assert w.proxy.requests - before < count / 10
        assert w.proxy.largest > 50


async def test_what_the_bound_of_a_pass_leaves_goes_with_the_next_one_which_comes_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender(poll=3_600.0) as sender:
        await asyncio.gather(*(sender.submit(key(str(n)), known(w, n)) for n in range(2_050)))
        await sender.step()
        assert len(sender.keeper.book.queued(100)) == 50
        running = asyncio.create_task(sender.run())
        async with asyncio.timeout(60):
            while sender.keeper.book.any_queued:  # noqa: ASYNC110  (it counts what others do)
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        assert sender.waiting == 2_050


async def test_what_comes_during_a_pass_goes_out_with_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:

        async def follow(changed: Sequence[Transaction]) -> None:
            if any(tx.key == key("a") and tx.state is TxState.SENT for tx in changed):
                await sender.submit(key("b"), w.call(b"b"))

        sender.listener = follow
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        assert await state(sender, "b") is TxState.SENT


async def test_an_endpoint_that_cannot_tell_receipts_yet_does_not_hold_up_what_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), known(w, 1))
        await sender.step()
        await w.chain.mine()
        w.proxy.failing = ("eth_getTransactionReceipt", "error")
        await sender.submit(key("b"), known(w, 2))
        with pytest.raises(RpcError):
            await sender.step()
        assert [await state(sender, name) for name in ("a", "b")] == [TxState.SENT, TxState.SENT]
        w.proxy.failing = None
        await settle(w, sender)
        assert await w.words() == [b"1", b"2"]


async def test_a_nonce_told_ahead_of_its_block_is_no_reason_to_ask_for_receipts_one_by_one(tmp_path: Path) -> None:
    """Some nodes count what the block that they are making holds already."""
    async with world(tmp_path) as w, w.sender() as sender:
        await asyncio.gather(*(sender.submit(key(str(n)), known(w, n)) for n in range(20)))
        await sender.step()
        w.proxy.rewrite = lambda method, params, answer: (
            answer | {"result": hex(20)} if method == "eth_getTransactionCount" else answer
        )
        await sender.step()
        assert await state(sender, "0") is TxState.SENT
        w.proxy.rewrite = None
        await w.chain.mine()
        await sender.step()
        assert {await state(sender, str(n)) for n in range(20)} == {TxState.MINED}
        assert w.proxy.seen["eth_getTransactionReceipt"] == 0


@pytest.mark.parametrize("batches", [0, 7])
async def test_endpoints_that_take_small_batches_or_none_are_served(tmp_path: Path, batches: int) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        w.proxy.batches = batches
        for number in range(30):
            await sender.submit(key(str(number)), w.call(b"%d" % number))
        await settle(w, sender, 2)
        assert sorted(await w.words()) == sorted(b"%d" % n for n in range(30))
        assert sender.open_count == 0


async def test_endpoints_without_receipts_by_block_are_served(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        unknown = {"jsonrpc": "2.0", "error": {"code": -32601, "message": "method not found"}}
        w.proxy.rewrite = lambda method, params, answer: unknown if method == "eth_getBlockReceipts" else answer
        await sender.step()
        for number in range(40):
            await sender.submit(key(str(number)), known(w, number))
        await settle(w, sender, 2)
        assert sender.open_count == 0
        assert w.proxy.seen["eth_getTransactionReceipt"] >= 40


async def test_a_full_pool_is_given_time(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        full = {"jsonrpc": "2.0", "error": {"code": -32000, "message": "txpool is full"}}
        taken = 0

        def pool(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
            nonlocal taken
            if method != "eth_sendRawTransaction":
                return answer
            taken += 1
            return answer if taken <= 5 else full

        w.proxy.rewrite = pool
        for number in range(12):
            await sender.submit(key(str(number)), w.call(b"%d" % number))
        await sender.step()
        w.proxy.rewrite = None
        await settle(w, sender)
        assert await w.words() == [b"%d" % n for n in range(12)]
        assert await w.nonce() == 12


# --- cancelling ------------------------------------------------------------------------------------------------------


async def test_what_waits_is_cancelled_at_once_and_may_come_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        assert (await sender.cancel(key("a"))).state is TxState.REFUSED
        await settle(w, sender, 1)
        assert await w.words() == []
        await sender.submit(key("a"), w.call(b"a"), again=True)
        await settle(w, sender, 2)
        assert await w.words() == [b"a"]


async def test_what_is_out_is_cancelled_by_a_transfer_to_itself_with_its_nonce(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        for name in ("a", "b"):
            await sender.submit(key(name), w.call(name.encode()))
        await sender.step()
        cancelled = await sender.cancel(key("a"))
        first, second = cancelled.attempts
        assert second.cancels
        assert second.max_fee >= first.max_fee * 113 // 100
        assert (await sender.cancel(key("a"))).attempts == cancelled.attempts, "cancelling twice is cancelling once"
        await w.chain.mine()
        await sender.step()
        with pytest.raises(CallReverted, match="cancelled"):
            await outcome(sender, "a")
        await w.chain.mine()
        await sender.step()
        assert await state(sender, "a") is TxState.REFUSED
        assert await w.words() == [b"b"]
        assert await w.nonce() == 2, "no gap"
        await sender.submit(key("a"), w.call(b"a"), again=True)
        await settle(w, sender, 2)
        assert await w.words() == [b"b", b"a"]


async def test_a_cancellation_that_comes_too_late_leaves_the_call_done(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        await w.chain.mine()
        await sender.cancel(key("a"))
        await settle(w, sender, 2)
        found = await sender.find(key("a"))
        assert found is not None
        assert found.succeeded
        assert await w.words() == [b"a"]
        for name in ("a", "never"):
            with pytest.raises(CancelRefused) as refused:
                await sender.cancel(key(name))
            assert refused.value.exit_code is ExitCode.BUSY


# --- fees ------------------------------------------------------------------------------------------------------------


async def test_a_price_spike_above_the_cap_waits_says_so_and_goes_on(tmp_path: Path) -> None:
    """Also for what is out already: its replacement would cost more than the cap allows."""
    async with world(tmp_path) as w, w.sender(fees=FeePolicy(max_fee_cap=100 * GWEI)) as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        await w.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(300 * GWEI))
        await w.chain.mine()
        await sender.submit(key("b"), w.call(b"b"))
        for _ in range(3):
            w.clock.advance(w.options.bump_after)
            with pytest.raises(FeesTooHigh, match="cap is 100000000000"):
                await sender.step()
        assert isinstance(sender.fault, FeesTooHigh)
        found = await sender.find(key("a"))
        assert found is not None
        assert all(attempt.max_fee <= 100 * GWEI for attempt in found.attempts)
        await w.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        await w.chain.mine()
        await settle(w, sender)  # a pass that meets an obstacle raises it
        assert sorted(await w.words()) == [b"a", b"b"]


async def test_all_that_a_spike_made_too_cheap_is_replaced_in_one_pass(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        for number in range(20):
            await sender.submit(key(str(number)), w.call(b"%d" % number))
        await sender.step()
        await w.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
        await w.chain.mine()
        w.clock.advance(w.options.bump_after)
        await sender.step()
        await w.chain.mine()
        await w.chain.mine()
        await sender.step()
        assert await w.words() == [b"%d" % number for number in range(20)]
        assert await w.nonce() == 20


# --- others with our key ---------------------------------------------------------------------------------------------


async def test_a_replacement_from_outside_is_seen_and_the_work_is_done_under_a_new_nonce(tmp_path: Path) -> None:
    """Somebody with the key outbids ours in the pool."""
    async with world(tmp_path) as w, w.sender() as sender:
        for name in ("a", "b"):
            await sender.submit(key(name), w.call(name.encode()))
        await sender.step()
        theirs = await w.chain.signers[0].sign_transaction(
            {
                "type": 2,
                "chainId": w.chain.chain_id,
                "nonce": 0,
                "to": "0x" + "00" * 19 + "01",
                "gas": 50_000,
                "maxFeePerGas": 400 * GWEI,
                "maxPriorityFeePerGas": 40 * GWEI,
            }
        )
        await w.chain.rpc.send_raw(theirs)
        await w.chain.mine()
        await sender.step()
        assert await state(sender, "a") is TxState.SENT, "not before the other one is final"
        await settle(w, sender, 4)
        assert sorted(await w.words()) == [b"a", b"b"]
        assert await w.nonce() == 3


async def test_a_gap_that_a_vanished_stranger_leaves_is_closed(tmp_path: Path) -> None:
    """Their transaction took nonce 0, ours 1 followed, and a reorganisation removed both."""
    async with world(tmp_path) as w:
        await w.chain.mine(5)
        await w.chain.send(b"\x01" * 20, b"", account=0)
        await w.chain.mine()
        async with w.sender() as sender:
            await sender.submit(key("a"), w.call(b"a"))
            await sender.step()
            await w.chain.mine()
            await sender.step()
            await w.chain.reorg(2)
            assert await w.nonce() == 0
            await settle(w, sender, 5)
            assert await w.words() == [b"a"]
            assert await w.nonce() == 2


async def test_two_processes_on_one_key_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender():
        with pytest.raises(SenderBusy):
            await w.sender().__aenter__()


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-86_400 * 400, 86_400 * 400])
async def test_a_clock_that_steps_neither_bumps_nor_blocks(tmp_path: Path, step: int) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        w.clock.set(w.clock.now() + step)
        await sender.step()
        found = await sender.find(key("a"))
        assert found is not None
        assert len(found.attempts) == 1, "no time has passed"
        await sender.submit(key("b"), w.call(b"b"))
        await sender.step()
        await w.chain.ask("anvil_dropAllTransactions")
        w.clock.advance(w.options.rebroadcast_after)
        await settle(w, sender, 2)
        assert await w.words() == [b"a", b"b"]


async def test_a_finality_by_tag_holds_back_what_is_not_final(tmp_path: Path) -> None:
    options = AnvilOptions(block_time=0, slots_in_an_epoch=2)
    async with world(tmp_path, options) as w, w.sender(finality=Finality(None)) as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        await w.chain.mine()
        await sender.step()
        assert await state(sender, "a") is TxState.MINED
        await w.chain.mine(8)
        await sender.step()
        assert await state(sender, "a") is TxState.FINAL
