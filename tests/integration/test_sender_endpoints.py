"""What a sender survives of its endpoints: they fail, lie, lag, forget and change to a fork."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from node.ledger.endpoint import Pace
from node.ledger.errors import (
    RpcDisagrees,
    RpcGarbled,
    RpcLags,
    RpcRefused,
    RpcUnreachable,
)
from node.ledger.rpc import Rpc, RpcOptions
from node.ledger.sender import Sender
from node.ledger.transaction import TxState
from node.runtime.devnet.anvil import AnvilOptions
from tests.support.processes import until
from tests.support.rpc_proxy import RpcProxy, rpc_proxy
from tests.support.sending import World, key, known, settle, state, world

pytestmark = pytest.mark.chain


def hides(method: str) -> Any:
    """The endpoint says that there is nothing."""
    return lambda asked, params, answer: {"jsonrpc": "2.0", "result": None} if asked == method else answer


@pytest.mark.parametrize("fault", ["silent", "status", "garbage", "closed", "error"])
async def test_endpoints_that_fail_at_any_point_lose_nothing(tmp_path: Path, fault: str) -> None:
    async with world(tmp_path) as w:
        # Impatient only with silence; there a step that a busy machine was too slow for is done again, as by the loop.
        pace = Pace(timeout=1.0 if fault == "silent" else 60.0, pause=0.0, longest_pause=0.0)
        options = RpcOptions(pace=pace, attempts=1)
        async with Rpc([w.proxy.url], w.chain.chain_id, w.clock, options) as w.rpc, w.sender() as sender:
            methods = ["eth_getTransactionCount", "eth_sendRawTransaction", "eth_getBlockByNumber"]
            for turn, when in enumerate(methods):
                w.proxy.failing = None
                await sender.submit(key(f"{turn} before"), w.call(b"%d before" % turn))
                await _step(sender)
                w.proxy.failing = (when, fault)
                await sender.submit(key(str(turn)), w.call(b"%d" % turn))
                with pytest.raises((RpcUnreachable, RpcGarbled, RpcRefused)):
                    await sender.step()
                for _ in range(2):
                    await w.chain.mine()
                    with suppress(RpcUnreachable, RpcGarbled, RpcRefused):
                        await sender.step()
            w.proxy.failing = None
            for _ in range(3):
                await _step(sender)
                await w.chain.mine()
                w.clock.advance(w.options.rebroadcast_after)
            await _step(sender)
            assert len(await w.words()) == len(set(await w.words())) == 6
            assert await w.nonce() == 6
            assert sender.open_count == 0


async def _step(sender: Sender) -> None:
    """One that got all its answers."""

    async def done() -> bool:
        try:
            await sender.step()
        except RpcUnreachable:
            return False
        return True

    await until("a step with all its answers", done)


async def test_a_broadcast_whose_answer_is_lost_is_not_sent_under_another_nonce(tmp_path: Path) -> None:
    """The pool took it, the connection broke: what goes out again is the same bytes."""
    async with world(tmp_path) as w, w.sender() as sender:
        w.proxy.lose_answers = {"eth_sendRawTransaction"}
        await sender.submit(key("a"), w.call(b"a"))
        with pytest.raises(RpcUnreachable):
            await sender.step()
        w.proxy.lose_answers = set()
        await settle(w, sender, 2)
        assert await w.words() == [b"a"]
        assert await w.nonce() == 1


async def test_an_endpoint_that_hides_a_receipt_does_not_get_the_work_done_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        w.proxy.rewrite = hides("eth_getTransactionReceipt")
        await w.chain.mine()
        await sender.step()
        await w.chain.mine(3)
        with pytest.raises(RpcGarbled, match="hides the receipt"):
            await sender.step()
        assert await state(sender, "a") is TxState.SENT
        w.proxy.rewrite = None
        await settle(w, sender, 1)
        assert await state(sender, "a") is TxState.FINAL
        assert await w.words() == [b"a"]
        assert await w.nonce() == 1


@asynccontextmanager
async def two_endpoints(w: World) -> AsyncIterator[tuple[RpcProxy, Rpc]]:
    """Our sender's endpoint is the first, the second tells the truth."""
    async with AsyncExitStack() as stack:
        honest = await stack.enter_async_context(rpc_proxy(w.chain.url))
        quick = RpcOptions(pace=Pace(timeout=60.0, pause=0.0, longest_pause=0.0), attempts=1)
        yield honest, await stack.enter_async_context(Rpc([w.proxy.url, honest.url], w.chain.chain_id, w.clock, quick))


async def test_a_receipt_that_another_endpoint_contradicts_never_becomes_final(tmp_path: Path) -> None:
    """The lie: the call failed. The endpoint trusted more says the opposite."""
    async with world(tmp_path) as w, two_endpoints(w) as (liar, rpc):
        w.rpc = rpc

        def failed(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
            if method == "eth_getTransactionReceipt" and answer.get("result"):
                return {"jsonrpc": "2.0", "result": answer["result"] | {"status": "0x0"}}
            return answer

        async with w.sender() as sender:
            await sender.submit(key("a"), w.call(b"a"))
            await sender.step()
            await w.chain.mine(1)
            liar.rewrite = failed
            w.proxy.status = 503  # the trusted one is away when the receipt is read
            with pytest.raises(RpcUnreachable):
                await sender.step()
            await sender.step()
            assert await state(sender, "a") is TxState.MINED
            w.proxy.status = 0
            await rpc.cross_check()
            await w.chain.mine()
            with pytest.raises(RpcDisagrees, match="different receipts"):
                await sender.step()
            assert await state(sender, "a") is TxState.MINED
            found = await sender.find(key("a"))
            assert found is not None
            assert found.succeeded
            assert await state(sender, "a") is TxState.MINED
            assert [e.usable for e in rpc.endpoints] == [True, False]


@pytest.mark.parametrize("field", ["blockHash", "blockNumber", "transactionHash"])
async def test_a_receipt_that_the_only_endpoint_makes_up_ends_nothing(tmp_path: Path, field: str) -> None:
    """It names a block that is not in the chain, or another transaction: nothing counts as final by it, nothing is
    done again, and the truth is taken when it is told."""

    def made_up(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getTransactionReceipt" and answer.get("result"):
            false = "0x1" if field == "blockNumber" else "0x" + "ab" * 32
            return {"jsonrpc": "2.0", "result": answer["result"] | {field: false}}
        return answer

    async with world(tmp_path) as w, w.sender() as sender:
        await w.chain.mine(3)
        await sender.submit(key("a"), w.call(b"a"))
        await sender.step()
        w.proxy.rewrite = made_up
        for _ in range(4):
            await w.chain.mine()
            with suppress(RpcGarbled):
                await sender.step()
            assert await state(sender, "a") in (TxState.SENT, TxState.MINED)
        w.proxy.rewrite = None
        await settle(w, sender, 2)
        assert await state(sender, "a") is TxState.FINAL
        assert await w.words() == [b"a"]
        assert await w.nonce() == 1


async def test_an_endpoint_that_answers_everything_with_an_error_gives_way_to_the_next(tmp_path: Path) -> None:
    """What a hosted endpoint says when the day's requests are used up, with HTTP status 200."""
    spent = {"jsonrpc": "2.0", "error": {"code": -32005, "message": "daily request count exceeded"}}
    async with world(tmp_path) as w:
        patient = RpcOptions(pace=Pace(timeout=60.0, pause=3_600.0, longest_pause=3_600.0), attempts=1)
        async with Rpc([w.proxy.url, w.chain.url], w.chain.chain_id, w.clock, patient) as w.rpc, w.sender() as sender:
            await sender.submit(key("a"), w.call(b"a"))
            w.proxy.rewrite = lambda method, params, answer: spent if method != "eth_chainId" else answer
            with pytest.raises(RpcRefused):
                await sender.step()
            for _ in range(2):
                await sender.step()
                await w.chain.mine()
            await sender.step()
            assert await w.words() == [b"a"]
            assert await state(sender, "a") is TxState.FINAL


async def test_an_endpoint_that_lags_neither_undoes_nor_reuses_anything(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.sender() as sender:
        await w.chain.mine(3)
        w.proxy.frozen = None
        old = (await w.chain.head()).number
        for number in range(3):
            await sender.submit(key(str(number)), w.call(b"%d" % number))
            await settle(w, sender, 2)
        w.proxy.frozen = old  # it knows nothing of all this
        await sender.submit(key("late"), w.call(b"late"))
        with pytest.raises(RpcLags):
            await sender.step()
        assert await state(sender, "late") is TxState.QUEUED
        assert await state(sender, "0") is TxState.FINAL
        w.proxy.frozen = None
        await settle(w, sender, 2)
        assert await w.words() == [b"0", b"1", b"2", b"late"]
        assert await w.nonce() == 4


@pytest.mark.parametrize("depth", [1, 12, 64])
async def test_a_switch_to_a_fork_does_each_call_once(tmp_path: Path, depth: int) -> None:
    async with world(tmp_path) as w:
        await w.chain.mine(70)
        async with w.sender() as sender:
            for number in range(depth + 3):
                await sender.submit(key(str(number)), known(w, number))
                await sender.step()
                await w.chain.mine()
            await sender.step()
            await w.chain.reorg(depth)
            assert len(await w.words()) == 3
            await settle(w, sender, 4)
            assert sorted(await w.words()) == sorted(b"%d" % n for n in range(depth + 3))
            assert await w.nonce() == depth + 3
            assert sender.open_count == 0


async def test_a_restart_that_finds_the_history_pruned_does_nothing_twice(tmp_path: Path) -> None:
    """Included while this process was down, and the endpoint has forgotten the block: the contract is asked."""
    options = AnvilOptions(block_time=0, prune_history=2)
    async with world(tmp_path, options) as w:
        async with w.sender() as sender:
            await sender.submit(key("a"), w.call(b"a"))
            await sender.step()
        await w.chain.mine(40)

        def pruned(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
            """What nodes say that keep no old receipts and no old states."""
            if method == "eth_getTransactionReceipt":
                return {"jsonrpc": "2.0", "result": None}
            if method == "eth_getTransactionCount" and params[1] not in ("latest", "pending", hex(head)):
                return {"jsonrpc": "2.0", "error": {"code": -32000, "message": "missing trie node"}}
            done = {"code": 3, "message": "execution reverted", "data": "0xaabbccdd"}
            return {"jsonrpc": "2.0", "error": done} if method == "eth_estimateGas" else answer

        head = (await w.chain.head()).number
        w.proxy.rewrite = pruned
        async with w.sender() as sender:
            await sender.step()
            await w.chain.mine(2)
            head = (await w.chain.head()).number
            for _ in range(2):
                await sender.step()
            assert await state(sender, "a") is TxState.REFUSED, "the contract says that it has the effect"
            assert await w.nonce() == 1
