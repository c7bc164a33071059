"""issue: an RPC node that is down, lies about its head, lags, or serves another chain (real servers, real anvil)."""

from __future__ import annotations

from typing import Any

import pytest

from node.clock import ManualClock, SystemClock
from node.errors import ExitCode
from node.ledger.endpoint import Pace
from node.ledger.errors import RpcDisagrees, RpcError, RpcGarbled, RpcLags, RpcRefused, RpcUnreachable, WrongChain
from node.ledger.rpc import Rpc, RpcOptions
from tests.support.anvil import anvil
from tests.support.rpc_proxy import rpc_proxy

pytestmark = pytest.mark.chain
QUICK = RpcOptions(pace=Pace(timeout=60.0, pause=0.01, longest_pause=0.05), attempts=2)
"""Quick to ask again, patient with an answer: a busy machine is no fault of the endpoint."""
HASTY = RpcOptions(pace=Pace(timeout=3.0, pause=0.01, longest_pause=0.05), attempts=2)


def options_for(trouble: str) -> RpcOptions:
    """Impatient only where the trouble is an answer that does not come."""
    return HASTY if trouble == "delay" else QUICK


async def test_a_wrong_chain_id_is_a_clear_error_of_the_configuration() -> None:
    async with anvil() as chain, Rpc([chain.url], 1, SystemClock(), QUICK) as rpc:
        with pytest.raises(WrongChain, match="serves chain id 31337, but the configuration says 1") as wrong:
            await rpc.connect()
        assert wrong.value.exit_code is ExitCode.CONFIG
        assert "chain_id" in wrong.value.remedy


async def test_a_node_that_is_down_is_named_and_the_exit_code_says_not_reachable() -> None:
    async with Rpc(["http://127.0.0.1:9"], 31337, SystemClock(), QUICK) as rpc:
        with pytest.raises(RpcUnreachable, match=r"127\.0\.0\.1:9") as down:
            await rpc.connect()
        assert down.value.exit_code is ExitCode.NOT_REACHABLE


@pytest.mark.parametrize("trouble", ["status", "drop", "delay", "garbage"])
async def test_an_access_key_in_the_address_is_not_shown_by_any_failure(trouble: str) -> None:
    async with anvil() as chain, rpc_proxy(chain.url) as bad:
        setattr(bad, trouble, {"status": 503, "drop": True, "delay": 3_600.0, "garbage": b"{"}[trouble])
        async with Rpc([bad.url + "/v3/secret?key=secret"], chain.chain_id, SystemClock(), options_for(trouble)) as rpc:
            with pytest.raises(RpcError) as failed:
                await rpc.connect()
            assert "secret" not in str(failed.value)
            assert "secret" not in rpc.report()[0].fault


async def test_an_access_key_in_the_address_is_never_shown() -> None:
    async with Rpc(["http://user:pass@127.0.0.1:9/v3/secret?key=secret"], 31337, SystemClock(), QUICK) as rpc:
        with pytest.raises(RpcUnreachable) as down:
            await rpc.connect()
        assert "secret" not in str(down.value)
        assert "pass" not in str(down.value)
        assert all("secret" not in entry.name + entry.fault for entry in rpc.report())


@pytest.mark.parametrize("trouble", ["status", "drop", "delay", "garbage"])
async def test_the_next_endpoint_takes_over(trouble: str) -> None:
    async with anvil() as chain, rpc_proxy(chain.url) as bad:
        setattr(bad, trouble, {"status": 503, "drop": True, "delay": 3_600.0, "garbage": b'{"jsonrpc": "2.0"'}[trouble])
        async with Rpc([bad.url, chain.url], chain.chain_id, SystemClock(), options_for(trouble)) as rpc:
            assert (await rpc.connect()).number == 0
            first, second = rpc.report()
            assert not first.usable
            assert first.fault
            assert second.usable


async def test_it_comes_back_after_an_outage() -> None:
    async with (
        anvil() as chain,
        rpc_proxy(chain.url) as proxy,
        Rpc([proxy.url], chain.chain_id, SystemClock(), QUICK) as rpc,
    ):
        proxy.status = 503
        with pytest.raises(RpcUnreachable):
            await rpc.head()
        proxy.status = 0
        assert (await rpc.head()).number == 0
        assert rpc.report()[0].usable


async def test_a_node_that_is_down_is_not_flooded() -> None:
    """operations.md 8: a resting endpoint is not asked, whoever calls; here the clock stands still."""
    clock = ManualClock()
    async with anvil() as chain, rpc_proxy(chain.url) as proxy:
        proxy.status = 503
        async with Rpc([proxy.url], chain.chain_id, clock, RpcOptions(attempts=1)) as rpc:
            for _ in range(50):
                with pytest.raises(RpcUnreachable):
                    await rpc.head()
            assert sum(proxy.seen.values()) == 1


async def test_another_node_behind_the_same_address_is_checked_again() -> None:
    """After an outage the chain id is not taken for granted: the load balancer may have another chain behind it."""
    async with (
        anvil() as chain,
        rpc_proxy(chain.url) as proxy,
        Rpc([proxy.url], chain.chain_id, SystemClock(), QUICK) as rpc,
    ):
        await rpc.head()
        proxy.status = 503
        with pytest.raises(RpcUnreachable):
            await rpc.head()
        proxy.status = 0
        proxy.swallow = {"eth_chainId": "0x1"}
        with pytest.raises(WrongChain):
            await rpc.head()


async def test_an_endpoint_behind_the_others_is_reported_and_asked_last() -> None:
    async with anvil() as chain, rpc_proxy(chain.url) as slow:
        await chain.mine(20)
        slow.frozen = 5
        async with Rpc([slow.url, chain.url], chain.chain_id, SystemClock(), QUICK) as rpc:
            assert (await rpc.connect()).number == 20
            late, good = rpc.report()
            assert not late.usable
            assert "15 behind" in late.fault
            assert good.usable
            slow.frozen = None
            assert all(entry.usable for entry in await rpc.cross_check())


async def test_a_head_that_is_old_by_its_own_time_is_reported() -> None:
    clock = ManualClock()
    async with anvil() as chain:
        clock.set((await chain.head()).timestamp + 8 * 86_400)
        options = RpcOptions(max_head_age=60)
        async with Rpc([chain.url], chain.chain_id, clock, options) as rpc:
            (report,) = await rpc.cross_check()
            assert "old" in report.fault
            assert isinstance(rpc.endpoints[0].fault, RpcLags)
            assert rpc.endpoints[0].fault.exit_code is ExitCode.NOT_REACHABLE
            assert (await rpc.head()).number == 0, "old data is still data; whoever uses it knows its age"


def _forge_hashes(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
    if method == "eth_getBlockByNumber" and answer.get("result"):
        answer["result"]["hash"] = "0x" + "ee" * 31 + answer["result"]["number"][2:].rjust(2, "0")[-2:]
    return answer


async def test_a_liar_is_demoted_and_not_used_even_when_it_is_the_only_one_left() -> None:
    async with anvil() as chain, rpc_proxy(chain.url) as honest, rpc_proxy(chain.url) as liar:
        await chain.mine(20)
        liar.rewrite = _forge_hashes
        async with Rpc([honest.url, liar.url], chain.chain_id, SystemClock(), QUICK) as rpc:
            first, second = await rpc.cross_check()
            assert first.usable
            assert not second.usable
            assert "another block 17" in second.fault
            honest.status = 503
            with pytest.raises((RpcUnreachable, RpcDisagrees)):
                await rpc.head()
            await rpc.cross_check()
            assert not rpc.report()[1].usable, "alone it cannot clear itself"


async def test_the_majority_is_believed_whatever_the_order() -> None:
    async with anvil() as chain, rpc_proxy(chain.url) as liar, rpc_proxy(chain.url) as other:
        await chain.mine(20)
        liar.rewrite = _forge_hashes
        async with Rpc([liar.url, other.url, chain.url], chain.chain_id, SystemClock(), QUICK) as rpc:
            reports = await rpc.cross_check()
            assert [entry.usable for entry in reports] == [False, True, True]


async def test_a_head_that_does_not_exist_is_found_out() -> None:
    """It claims a height far above, so that every honest endpoint looks late, but cannot show the block."""

    def claim(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            answer["result"]["number"] = hex(10_000)
        return answer

    async with anvil() as chain, rpc_proxy(chain.url) as liar:
        await chain.mine(20)
        liar.rewrite = claim
        async with Rpc([chain.url, liar.url], chain.chain_id, SystemClock(), QUICK) as rpc:
            honest, boaster = await rpc.cross_check()
            assert honest.usable
            assert not boaster.usable
            assert (await rpc.head()).number == 20


async def test_garbled_answers_are_errors_not_values() -> None:
    async with (
        anvil() as chain,
        rpc_proxy(chain.url) as proxy,
        Rpc([proxy.url], chain.chain_id, SystemClock(), QUICK) as rpc,
    ):
        await rpc.head()
        wrongs: tuple[Any, ...] = ({"number": "0x1"}, "0x", 7, 10**30, [], {"number": "1", "hash": "0x00"})
        for wrong in wrongs:
            proxy.swallow = {"eth_getBlockByNumber": wrong}
            with pytest.raises(RpcGarbled):
                await rpc.head()


async def test_a_refusal_of_the_node_is_not_repeated() -> None:
    async with (
        anvil() as chain,
        rpc_proxy(chain.url) as proxy,
        Rpc([proxy.url, chain.url], chain.chain_id, SystemClock(), QUICK) as rpc,
    ):
        with pytest.raises(RpcRefused):
            await rpc.request("eth_noSuchMethod", [])
        assert proxy.seen["eth_noSuchMethod"] == 1
        assert rpc.report()[0].usable
