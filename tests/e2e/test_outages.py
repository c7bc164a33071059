"""Chain and broker away, late or lying: the gateway keeps what the meter says, publishes nothing it may not, loses
nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from node.app.demo.wirelog import envelopes_of
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import Away, Killer, check_everything
from tests.support.processes import until
from tests.support.rpc_proxy import RpcProxy

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

SILENCE, SKEW = 6, 12
"""Seconds without a block after which the gateway of this cluster publishes nothing; greatest difference of clocks."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    settings: dict[str, object] = {
        "chain.max_chain_silence_s": SILENCE, "chain.max_skew_s": SKEW, "meter.max_skew_s": SKEW,
    }  # fmt: skip
    async with clusters(Plan(proxied=frozenset({"gateway"}), settings={"gateway": settings})) as cluster:
        await cluster.pair()
        await cluster.grant("alpha")
        yield cluster


async def _check(cluster: Cluster, name: str) -> dict[str, Any]:
    """One readiness check of the gateway."""
    answer = await cluster.gateway.raw("GET", "/readiness")
    assert answer.status in (200, 503), answer
    checks: list[dict[str, Any]] = json.loads(answer.body)["checks"]
    return next((check for check in checks if check["name"] == name), {"ok": True, "detail": ""})


async def _not_ready(cluster: Cluster, name: str, within: float = 40) -> str:
    """Waits until a check fails; what it says. Every failed check says what to do."""

    async def failed() -> dict[str, Any] | None:
        check = await _check(cluster, name)
        return None if check["ok"] else check

    check = await until(f"the gateway says that {name} fails", failed, within)
    assert check is not None
    assert check["remedy"]
    return str(check["detail"])


def _published(cluster: Cluster, since: float) -> int:
    sid = bytes.fromhex(cluster.raw[2:])
    return len([e for e in envelopes_of(cluster.wire.heard, sid) if e.at >= since])


async def _silent_while_blind(cluster: Cluster, longer_than: float) -> None:
    """Nothing leaves the gateway while it does not see the chain, for so many seconds."""
    await asyncio.sleep(2)  # what was on its way when the gate closed
    begin = time.time()
    await asyncio.sleep(longer_than)
    assert _published(cluster, begin) == 0


async def _recovered(cluster: Cluster, begin: float, away: list[Away]) -> None:
    await cluster.flows("home", "alpha", since=time.time())
    await check_everything(cluster, away, begin, ("home", "alpha"))

    async def ready() -> bool:
        return bool((await _check(cluster, "chain"))["ok"] and (await _check(cluster, "broker"))["ok"])

    await until("the gateway is ready again", ready)


async def test_chain_down_longer_than_every_limit_and_a_kill_meanwhile(cluster: Cluster) -> None:
    """channels.md 4 rule 5: readings are stored, not published; a kill -9 in the outage costs none of them."""
    begin = time.time()
    proxy = cluster.proxies["gateway"]
    killer = Killer(cluster, random.Random(1))
    proxy.drop = True
    try:
        detail = await _not_ready(cluster, "chain")
        assert "block" in detail
        await _silent_while_blind(cluster, SKEW + 2)
        await killer.kill(cluster.gateway)
        await cluster.gateway.up()
        await _silent_while_blind(cluster, 3)
    finally:
        proxy.drop = False
    await _recovered(cluster, begin, killer.away)


@pytest.mark.parametrize("how", ["error", "garbage", "slow", "lagging"])
async def test_a_bad_rpc_node_is_named_and_costs_nothing(cluster: Cluster, how: str) -> None:
    """HTTP errors, bytes that are no answer, no answer in time, a node that stands still."""
    begin = time.time()
    proxy = cluster.proxies["gateway"]
    try:
        await _spoil(cluster, proxy, how)
        detail = await _not_ready(cluster, "chain", 60)
        assert detail
        await _silent_while_blind(cluster, 2)
    finally:
        proxy.status, proxy.garbage, proxy.delay, proxy.frozen = 0, b"", 0.0, None
    await _recovered(cluster, begin, [])


async def _spoil(cluster: Cluster, proxy: RpcProxy, how: str) -> None:
    if how == "error":
        proxy.status = 503
    elif how == "garbage":
        proxy.garbage = b'{"jsonrpc": "2.0", "id": 1, "result": "0x'
    elif how == "slow":
        proxy.delay = 60.0
    else:
        proxy.frozen = (await cluster.devnet.rpc.head()).number


@pytest.mark.parametrize("lie", ["height", "hash", "time"])
async def test_a_lying_rpc_node_makes_nobody_a_reader_and_loses_nothing(cluster: Cluster, lie: str) -> None:
    """A head that does not exist, a head with another hash, a head from tomorrow: believed by nobody, and forgotten."""

    def tell(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        block = answer.get("result")
        if method != "eth_getBlockByNumber" or not isinstance(block, dict) or params[0] != "latest":
            return answer
        if lie == "height":
            return answer | {"result": block | {"number": hex(int(block["number"], 16) + 1000)}}
        if lie == "hash":
            return answer | {"result": block | {"hash": "0x" + "ab" * 32}}
        return answer | {"result": block | {"timestamp": hex(int(block["timestamp"], 16) + 86_400)}}

    begin = time.time()
    proxy = cluster.proxies["gateway"]
    members = (await cluster.stream_at(cluster.gateway))["live_readers"]
    proxy.rewrite = tell
    try:
        await asyncio.sleep(SILENCE + 4)
        assert (await cluster.stream_at(cluster.gateway))["live_readers"] == members
    finally:
        proxy.rewrite = None
    await _recovered(cluster, begin, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_broker_stops_and_comes_back(cluster: Cluster, number: signal.Signals) -> None:
    """QoS 1 and the log: what nobody could deliver is delivered afterwards, once, in order."""
    begin = time.time()
    await cluster.broker.end(number)
    await _not_ready(cluster, "broker")
    await asyncio.sleep(3)
    await cluster.start_broker()
    await _recovered(cluster, begin, [])
