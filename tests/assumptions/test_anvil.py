"""What anvil really does, where the ledger and its tests rely on it (design toolchain.md, "forcing reorgs")."""

from __future__ import annotations

import asyncio

import pytest
from web3 import AsyncWeb3, WebSocketProvider

from node.ledger.errors import RpcRefused
from node.ledger.pool import PoolAnswer, pool_answer
from node.types import address_to_text
from tests.support.anvil import Anvil, anvil
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.chain


async def _raw(chain: Anvil, nonce: int, *, account: int = 0, tip: int = 10**9, value: int = 1) -> bytes:
    return await chain.signers[account].sign_transaction(
        {
            "type": 2,
            "chainId": chain.chain_id,
            "nonce": nonce,
            "to": address_to_text(chain.signers[1].address),
            "value": value,
            "gas": 21_000,
            "maxFeePerGas": 10**10 + tip,
            "maxPriorityFeePerGas": tip,
        }
    )


@pytest.mark.parametrize("depth", [1, 12, 64])
async def test_reorg_keeps_the_height_and_replaces_exactly_that_many_blocks(depth: int) -> None:
    async with anvil() as chain:
        await chain.mine(70)
        before = {n: (await chain.rpc.block(n)) for n in (70 - depth, 71 - depth, 70)}
        await chain.reorg(depth)
        after = {n: (await chain.rpc.block(n)) for n in before}
        assert (await chain.head()).number == 70
        assert before[70 - depth] == after[70 - depth]
        assert before[71 - depth] != after[71 - depth]
        assert before[70] != after[70]


async def test_reorg_forgets_receipts_and_does_not_put_transactions_back_into_the_pool() -> None:
    async with anvil() as chain:
        sent = await chain.rpc.send_raw(await _raw(chain, 0))
        await chain.mine()
        assert await chain.rpc.receipt(sent) is not None
        await chain.reorg(1)
        assert await chain.rpc.receipt(sent) is None
        assert await chain.rpc.nonce(chain.signers[0].address) == 0
        await chain.mine(3)
        assert await chain.rpc.receipt(sent) is None
        assert await chain.rpc.send_raw(await _raw(chain, 0)) == sent
        await chain.mine()
        assert await chain.rpc.receipt(sent) is not None


async def test_rollback_lowers_the_head() -> None:
    async with anvil() as chain:
        await chain.mine(20)
        await chain.rollback(12)
        assert (await chain.head()).number == 8


async def test_finalized_is_the_first_block_on_a_short_chain_and_lags_two_epochs_later() -> None:
    async with anvil() as chain:
        await chain.mine(10)
        short = await chain.rpc.block("finalized")
        assert short is not None
        assert short.header.number == 0
        await chain.mine(90)
        later = await chain.rpc.block("finalized")
        assert later is not None
        assert later.header.number == 36


async def test_a_nonce_gap_waits_and_is_mined_when_it_is_filled() -> None:
    async with anvil() as chain:
        ahead = await chain.rpc.send_raw(await _raw(chain, 1))
        await chain.mine(2)
        assert await chain.rpc.receipt(ahead) is None
        first = await chain.rpc.send_raw(await _raw(chain, 0))
        await chain.mine()
        assert await chain.rpc.receipt(first) is not None
        assert await chain.rpc.receipt(ahead) is not None


async def test_what_the_pool_says() -> None:
    async with anvil() as chain:
        raw = await _raw(chain, 0)
        await chain.rpc.send_raw(raw)
        with pytest.raises(RpcRefused) as known:
            await chain.rpc.send_raw(raw)
        assert pool_answer(known.value.reason) is PoolAnswer.KNOWN
        with pytest.raises(RpcRefused) as cheap:
            await chain.rpc.send_raw(await _raw(chain, 0, value=2))
        assert pool_answer(cheap.value.reason) is PoolAnswer.CHEAP
        await chain.rpc.send_raw(await _raw(chain, 0, value=3, tip=2 * 10**9))
        await chain.mine()
        with pytest.raises(RpcRefused) as stale:
            await chain.rpc.send_raw(raw)
        assert pool_answer(stale.value.reason) is PoolAnswer.STALE
        with pytest.raises(RpcRefused) as poor:
            await chain.rpc.send_raw(await _raw(chain, 1, value=10**24))
        assert pool_answer(poor.value.reason) is PoolAnswer.POOR


async def test_logs_above_the_head_are_an_empty_answer_and_an_unknown_block_hash_is_an_error() -> None:
    async with anvil() as chain:
        emitter = await chain.deploy()
        assert await chain.rpc.logs([emitter], 1, 10_000) == ()
        with pytest.raises(RpcRefused):
            await chain.rpc.logs_of_block([emitter], b"\x11" * 32)


async def test_the_deterministic_deployment_proxy_is_there() -> None:
    async with anvil() as chain:
        assert len(await chain.rpc.code(bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c"))) > 0


async def test_new_heads_arrive_over_websocket() -> None:
    async with anvil() as chain, AsyncWeb3(WebSocketProvider(chain.url.replace("http", "ws"))) as web3:
        await web3.eth.subscribe("newHeads")
        await chain.mine()
        async with asyncio.timeout(PATIENCE):
            async for message in web3.socket.process_subscriptions():
                assert message["result"]["number"] == 1
                break


async def test_a_reorg_announces_every_replaced_head_again() -> None:
    async with anvil() as chain, AsyncWeb3(WebSocketProvider(chain.url.replace("http", "ws"))) as web3:
        await chain.mine(5)
        await web3.eth.subscribe("newHeads")
        await chain.reorg(2)
        seen = []
        async with asyncio.timeout(PATIENCE):
            async for message in web3.socket.process_subscriptions():
                seen.append(message["result"]["number"])
                if len(seen) == 2:
                    break
        assert seen == [4, 5]
