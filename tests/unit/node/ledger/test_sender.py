"""The sender on a real chain: one nonce owner, stuck, dropped, reorganised, unfunded, reverted, restarted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.errors import ExitCode
from node.ledger.errors import CallReverted, FeesTooHigh, RpcUnreachable, SenderBusy, SenderUnfunded
from node.ledger.fees import FeePolicy, Fees
from node.ledger.nonce_lock import NonceLock
from node.ledger.transaction import Call, Transaction, TxState
from tests.support.processes import PATIENCE, until
from tests.support.sending import TOPIC, key, outcome, settle, state, world

pytestmark = pytest.mark.chain


async def test_from_queued_to_final(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        seen: list[TxState] = []

        async def listen(changed: Sequence[Transaction]) -> None:
            seen.extend(tx.state for tx in changed)

        sender.listener = listen
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        assert await state(sender, "a") is TxState.SENT
        await w.chain.mine()
        await sender.step()
        assert await state(sender, "a") is TxState.MINED
        await w.chain.mine()
        await sender.step()
        assert seen == [TxState.QUEUED, TxState.SENT, TxState.MINED, TxState.FINAL]
        found = await sender.find(key("a"))
        assert found is not None
        assert found.succeeded
        assert found.inclusion is not None
        assert found.inclusion.gas_used > 21_000
        assert await w.words() == [b"a"]


async def test_the_same_digest_is_sent_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        for _ in range(3):
            await sender.submit(key("a"), w.call(b"a"))
            await sender.step()
            await w.chain.mine(2)
            await sender.step()
        assert await w.words() == [b"a"]
        assert await w.nonce() == 1


async def test_many_at_once_take_consecutive_nonces_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        for number in range(10):
            await sender.submit(key(str(number)), w.call(b"%d" % number))
        await sender.step()
        await w.chain.mine()
        assert await w.words() == [b"%d" % number for number in range(10)]
        assert await w.nonce() == 10


async def test_a_second_owner_of_the_nonces_is_refused_with_exit_code_7(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender():
        with pytest.raises(SenderBusy, match="already sends from 0x") as busy:
            async with w.sender():
                pass
        assert busy.value.exit_code is ExitCode.BUSY
        async with w.sender(account=1):
            pass
    async with world(tmp_path) as w, w.sender():
        pass


def test_the_lock_holds_against_another_process_and_dies_with_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\nfrom node.ledger.nonce_lock import NonceLock\n"
        "NonceLock(pathlib.Path(sys.argv[1]), 1, b'a' * 20).acquire()\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SenderBusy, match=f"process {other.pid}"):
            NonceLock(tmp_path, 1, b"a" * 20).acquire()
        other.kill()
        other.wait()
        with NonceLock(tmp_path, 1, b"a" * 20):
            pass


async def test_after_a_reorganisation_the_transaction_goes_out_again_with_its_nonce(tmp_path: Path) -> None:
    """contracts.md: re-sent until final. anvil forgets the transactions of replaced blocks altogether."""
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.submit(key("b"), w.call(b"b"))
        await sender.step()
        await w.chain.mine()
        await sender.step()
        await w.chain.reorg(1)
        assert await w.words() == []
        await sender.step()
        assert await state(sender, "a") is TxState.SENT
        await w.chain.mine()
        await sender.step()
        assert await w.words() == [b"a", b"b"]
        await w.chain.mine()
        await sender.step()
        assert await state(sender, "b") is TxState.FINAL
        assert await w.nonce() == 2


async def test_a_reorganisation_below_finality_reopens_what_was_final(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        await w.chain.mine(12)
        await sender.step()
        assert await state(sender, "a") is TxState.FINAL
        await w.chain.reorg(12)
        await sender.step()
        await w.chain.mine(2)
        await sender.step()
        assert await state(sender, "a") is TxState.FINAL
        assert await w.words() == [b"a"]


async def test_a_restart_in_the_middle_sends_what_was_saved_and_nothing_twice(tmp_path: Path) -> None:
    """kill -9 after saving and before the pool has it: the saved bytes go out, with the same hash."""
    async with world(tmp_path) as w:
        async with w.sender() as sender:
            w.proxy.swallow = {"eth_sendRawTransaction": "0x" + "00" * 32}
            await sender.submit(key("a"), w.call(b"a"))
            await sender.submit(key("b"), w.call(b"b"))
            await sender.step()
            before = await sender.find(key("a"))
        w.proxy.swallow = {}
        async with w.sender() as sender:
            await sender.step()
            await w.chain.mine()
            await sender.step()
            after = await sender.find(key("a"))
            assert before is not None
            assert after is not None
            assert after.inclusion is not None
            assert before.latest is not None
            assert after.inclusion.transaction_hash == before.latest.hash
            assert await w.words() == [b"a", b"b"]


async def test_a_transaction_that_the_pool_dropped_goes_out_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        await w.chain.ask("anvil_dropAllTransactions")
        await w.chain.mine()
        assert await w.words() == []
        w.clock.advance(w.options.rebroadcast_after)
        await sender.step()
        await w.chain.mine()
        assert await w.words() == [b"a"]


async def test_a_stuck_transaction_is_replaced_with_higher_fees_and_the_same_nonce(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        await w.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
        await w.chain.mine()
        assert await w.words() == [], "the base fee rose above what was offered"
        w.clock.advance(w.options.bump_after)
        await sender.step()
        found = await sender.find(key("a"))
        assert found is not None
        first, second = found.attempts
        assert second.max_fee >= first.max_fee * 113 // 100
        assert second.priority_fee >= first.priority_fee * 113 // 100
        await w.chain.mine()
        await sender.step()
        found = await sender.find(key("a"))
        assert found is not None
        assert found.inclusion is not None
        assert found.inclusion.transaction_hash == second.hash
        assert await w.words() == [b"a"]
        assert await w.nonce() == 1


async def test_fees_above_the_cap_wait(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(300 * 10**9))
        await w.chain.mine()
        async with w.sender(fees=FeePolicy(max_fee_cap=100 * 10**9)) as sender:
            await sender.submit(key("a"), w.call(b"a"))
            with pytest.raises(FeesTooHigh, match="cap is 100000000000"):
                await sender.step()
            assert await state(sender, "a") is TxState.QUEUED
            await w.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(10**9))
            await w.chain.mine()
            await sender.step()
            await w.chain.mine()
            assert await w.words() == [b"a"]


def test_replacements_stay_below_the_caps() -> None:
    policy = FeePolicy(max_fee_cap=1_000, priority_fee_cap=100)
    assert policy.bumped(Fees(900, 10), Fees(1, 1)) is None
    assert policy.bumped(Fees(500, 99), Fees(1, 1)) is None
    assert policy.bumped(Fees(500, 0), Fees(1, 0)) == Fees(565, 1)
    assert policy.bumped(Fees(500, 10), Fees(900, 50)) == Fees(900, 50)


async def test_an_unfunded_sender_names_address_and_amount_and_keeps_the_work(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        address = w.chain.signers[0].address
        await w.chain.set_balance(address, 1_000)
        await sender.submit(key("a"), w.call(b"a"))
        with pytest.raises(SenderUnfunded) as poor:
            await sender.step()
        assert poor.value.address == address
        assert poor.value.missing == poor.value.needed - 1_000 > 0
        assert str(poor.value.missing) in str(poor.value)
        assert str(poor.value.missing) in poor.value.remedy
        assert poor.value.exit_code is ExitCode.NEEDS_PERSON
        assert isinstance(sender.fault, SenderUnfunded)
        assert await state(sender, "a") is TxState.QUEUED
        await w.chain.set_balance(address, 1_000 + poor.value.missing)
        await sender.step()
        await w.chain.mine()
        assert await w.words() == [b"a"], "the amount named is enough"


async def test_money_promised_to_what_is_out_is_not_spent_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        first = await sender.find(key("a"))
        assert first is not None
        assert first.latest is not None
        await w.chain.set_balance(sender.address, first.gas * first.latest.max_fee)
        await sender.submit(key("b"), w.call(b"b"))
        with pytest.raises(SenderUnfunded):
            await sender.step()
        assert await state(sender, "b") is TxState.QUEUED


async def test_a_refusal_is_decoded_and_costs_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.refusal())
        await sender.step()
        with pytest.raises(CallReverted, match=r"There is no such thing\. NoSuchThing\(id=7\)") as refused:
            await outcome(sender, "a")
        assert "0xaabb" not in str(refused.value)
        assert refused.value.exit_code is ExitCode.REFUSED
        assert await w.nonce() == 0
        assert (await sender.submit(key("a"), w.call(b"a"))).state is TxState.REFUSED
        await sender.submit(key("a"), w.call(b"a"), again=True)
        await sender.step()
        await w.chain.mine()
        assert await w.words() == [b"a"]


async def test_a_refused_call_that_two_queue_again_at_once_goes_out_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.refusal())
        await sender.step()
        both = [sender.submit(key("a"), w.call(b"a"), again=True) for _ in range(2)]
        assert [tx.state for tx in await asyncio.gather(*both)] == [TxState.QUEUED, TxState.QUEUED]
        await sender.step()
        await w.chain.mine()
        assert await w.words() == [b"a"]
        assert await w.nonce() == 1


async def test_a_transaction_that_reverts_in_its_block_tells_the_decoded_reason(tmp_path: Path) -> None:
    """The estimate is missing, so the static gas of the call is used and the revert happens on chain."""
    async with world(tmp_path) as w, w.sender() as sender:
        no_estimate = {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "method not found"}}
        w.proxy.rewrite = lambda method, params, answer: no_estimate if method == "eth_estimateGas" else answer
        await sender.submit(key("a"), w.refusal())
        await sender.step()
        await w.chain.mine()
        await sender.step()
        with pytest.raises(CallReverted, match="NoSuchThing"):
            await outcome(sender, "a")
        found = await sender.find(key("a"))
        assert found is not None
        assert not found.succeeded
        assert found.gas == w.refusal().gas


async def test_gas_that_runs_out_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        no_estimate = {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "method not found"}}
        w.proxy.rewrite = lambda method, params, answer: no_estimate if method == "eth_estimateGas" else answer
        await sender.submit(key("a"), Call(w.emitter, TOPIC + bytes(500), gas=27_500))
        await sender.step()
        await w.chain.mine()
        await sender.step()
        with pytest.raises(CallReverted, match="OutOfGas"):
            await outcome(sender, "a")


async def test_another_holder_of_the_key_is_noticed_and_the_work_is_done_under_a_new_nonce(tmp_path: Path) -> None:
    """A restored backup elsewhere sends from the same key: its transaction takes our nonce."""
    async with world(tmp_path) as w, w.sender() as sender:
        w.proxy.swallow = {"eth_sendRawTransaction": "0x" + "00" * 32}
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        w.proxy.swallow = {}
        await w.chain.send(w.emitter, TOPIC + b"theirs", account=0)
        await w.chain.mine()
        await sender.step()
        assert await state(sender, "a") is TxState.SENT, "not before the other one is final"
        await w.chain.mine(2)
        await sender.step()
        assert await state(sender, "a") is TxState.QUEUED
        await settle(w, sender, 1)
        assert await w.words() == [b"theirs", b"a"]
        assert await w.nonce() == 2


async def test_an_outage_loses_nothing_and_the_loop_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender(poll=0.01, longest_pause=0.05) as sender:
        loop = asyncio.create_task(sender.run())
        w.proxy.status = 503
        await sender.submit(key("a"), w.call(b"a"))

        async def told() -> bool:
            return isinstance(sender.fault, RpcUnreachable)

        await until("the fault is told", told, every=0.01)
        w.proxy.status = 0
        async with asyncio.timeout(PATIENCE):
            waiting = asyncio.create_task(sender.wait(key("a"), TxState.FINAL))
            while not waiting.done():
                await w.chain.mine()
                await asyncio.wait([waiting], timeout=0.05)
        loop.cancel()
        assert await w.words() == [b"a"]


@pytest.mark.parametrize("depth", [1, 3])
async def test_reorganisations_restarts_and_drops_in_any_order_end_with_each_call_done_once(
    tmp_path: Path, depth: int
) -> None:
    async with world(tmp_path) as w:
        await w.chain.mine(20)  # the contract itself stays
        for turn in range(6):
            async with w.sender() as sender:
                await sender.submit(key(str(turn)), w.call(b"%d" % turn))
                await sender.step()
                if turn % 3 == 1:
                    await w.chain.ask("anvil_dropAllTransactions")
                await w.chain.mine()
                if turn % 2:
                    await sender.step()
                    await w.chain.reorg(depth)
        async with w.sender() as sender:
            for _ in range(8):
                w.clock.advance(w.options.rebroadcast_after)
                await sender.step()
                await w.chain.mine()
            await sender.step()
            assert sorted(await w.words()) == [b"%d" % turn for turn in range(6)]
            assert await w.nonce() == 6
            assert sender.waiting == 0


def test_a_move_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not go from queued to final"):
        Transaction(key("a"), 5, b"s" * 20, Call(b"t" * 20, b""), 0).to(TxState.FINAL)
