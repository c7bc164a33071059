"""New blocks by WebSocket with polling beside it, and the balance that is watched, on a real chain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from node.clock import SystemClock
from node.ledger.balance import Balance, BalanceLimits, BalanceWatch
from node.ledger.fees import FeePolicy
from node.ledger.heads import HeadSubscription, http_urls, socket_urls
from node.ledger.rpc import Rpc
from node.ledger.transaction import TxState
from node.runtime.devnet.anvil import AnvilOptions
from tests.support.anvil import anvil
from tests.support.processes import PATIENCE, free_port
from tests.support.rpc_proxy import rpc_proxy
from tests.support.sending import key, world

pytestmark = pytest.mark.chain


async def standing(heads: HeadSubscription) -> None:
    while not heads.live:  # noqa: ASYNC110  (whoever subscribes knows nothing of tests)
        await asyncio.sleep(0.01)


def test_addresses_are_what_is_configured_or_derived() -> None:
    mixed = ["https://a/k", "ws://b", "wss://c/k"]
    assert socket_urls(mixed) == ["ws://b", "wss://c/k"]
    assert http_urls(mixed) == ["https://a/k"]
    assert socket_urls(["https://a/k", "http://b"]) == ["wss://a/k"]
    assert http_urls(["ws://b", "wss://c/k"]) == ["http://b", "https://c/k"]


async def test_a_new_block_is_told_at_once_and_a_lost_connection_comes_back() -> None:
    """The node ends without a word, and another one comes behind the same address."""
    heard = asyncio.Event()
    options = AnvilOptions(port=free_port(), block_time=0)
    async with anvil(options=options) as first:
        heads = HeadSubscription(socket_urls([first.url]), heard.set, pause=0.05, longest_pause=0.1)
        task = asyncio.create_task(heads.run())
        async with asyncio.timeout(PATIENCE):
            await standing(heads)
            await first.mine()
            await heard.wait()
    async with asyncio.timeout(PATIENCE):
        while heads.live:  # noqa: ASYNC110  (whoever subscribes knows nothing of tests)
            await asyncio.sleep(0.01)
        heard.clear()
        async with anvil(options=options) as second:
            await standing(heads)
            await second.mine()
            await heard.wait()
    task.cancel()
    await asyncio.wait([task])
    assert not heads.live


async def test_an_endpoint_without_subscriptions_leaves_polling_to_do_it() -> None:
    """The proxy speaks HTTP only."""
    async with anvil() as chain, rpc_proxy(chain.url) as proxy:
        heads = HeadSubscription(socket_urls([proxy.url]), lambda: None, pause=0.01, longest_pause=0.02)
        task = asyncio.create_task(heads.run())
        await asyncio.sleep(0.2)
        assert not heads.live
        assert not task.done()
        task.cancel()


async def test_a_low_balance_is_told_once_before_it_is_gone_and_again_when_it_is_restored() -> None:
    async with anvil() as chain, Rpc([chain.url], chain.chain_id, SystemClock()) as rpc:
        address = chain.signers[0].address
        heard: list[Balance] = []
        watch = BalanceWatch(rpc, address, FeePolicy(), BalanceLimits(wei=5_000, transactions=10, gas=100_000))
        watch.listener = heard.append
        with structlog.testing.capture_logs() as logs:
            assert not (await watch.look()).low
            await chain.set_balance(address, 4_000)
            for _ in range(3):
                assert (await watch.look()).low
            await chain.set_balance(address, 10**18)
            assert not (await watch.look()).low
        assert [entry["event"] for entry in logs] == ["sender_balance_low", "sender_balance_restored"]
        assert [found.low for found in heard] == [False, True, True, True, False]


async def test_the_number_of_transactions_left_follows_the_price_of_gas() -> None:
    async with anvil() as chain, Rpc([chain.url], chain.chain_id, SystemClock()) as rpc:
        address = chain.signers[0].address
        await chain.set_balance(address, 10**17)
        watch = BalanceWatch(rpc, address, FeePolicy(), BalanceLimits(transactions=50, gas=100_000))
        cheap = await watch.look()
        await chain.ask("anvil_setNextBlockBaseFeePerGas", hex(100 * 10**9))
        await chain.mine()
        dear = await watch.look()
        assert cheap.transactions_left is not None
        assert dear.transactions_left is not None
        assert cheap.transactions_left > 50 > dear.transactions_left
        assert (cheap.low, dear.low) == (False, True)


async def test_a_told_head_makes_the_sender_look_before_its_poll(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender(poll=3_600.0) as sender:
        heads = HeadSubscription(socket_urls([w.chain.url]), sender.wake, pause=0.05)
        tasks = [asyncio.create_task(sender.run()), asyncio.create_task(heads.run())]
        async with asyncio.timeout(PATIENCE):
            await standing(heads)
            await sender.submit(key("a"), w.call(b"a"))
            await sender.wait(key("a"), TxState.SENT)
            done = asyncio.create_task(sender.wait(key("a"), TxState.MINED))
            while not done.done():  # saved as sent comes before broadcast
                await w.chain.mine()
                await asyncio.wait([done], timeout=0.1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
