"""Chain and broker away, late or lying: the gateway keeps what the meter says, publishes nothing it may not, loses
nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from _pytest.mark import ParameterSet

from node.app.demo.wirelog import envelopes_of
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import Away, Killer, check_everything
from tests.support.processes import until
from tests.support.rpc_proxy import RpcProxy
from tests.support.wire import nothing_is_sealed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

SILENCE, SKEW = 6, 12
"""Seconds without a block after which the gateway of this cluster publishes nothing; greatest difference of clocks."""

HALF_A_DAY = 43_200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    settings: dict[str, object] = {
        "chain.max_chain_silence_s": SILENCE, "chain.max_skew_s": SKEW, "meter.max_skew_s": SKEW,
    }  # fmt: skip
    async with clusters(Plan(proxied=frozenset({"gateway"}), settings={"gateway": settings})) as cluster:
        await cluster.pair()
        # It ends within a day: whoever believes in tomorrow ends it.
        await cluster.grant("alpha", end=int(time.time()) + HALF_A_DAY)
        yield cluster


def _long(*values: str) -> ParameterSet:
    """A fault that is tried at an endpoint alone as well, in seconds (tests/integration/test_sender_endpoints.py)."""
    return pytest.param(*values, marks=pytest.mark.long)


async def _check(cluster: Cluster, name: str) -> dict[str, Any]:
    """One readiness check of the gateway."""
    answer = await cluster.gateway.raw("GET", "/readiness")
    assert answer.status in (200, 503), answer
    checks: list[dict[str, Any]] = json.loads(answer.body)["checks"]
    return next((check for check in checks if check["name"] == name), {"ok": True, "detail": ""})


async def _not_ready(cluster: Cluster, name: str, why: str = "") -> str:
    """Waits until a check fails for a reason, a pattern; what it says. Every failed check says what to do."""

    async def failed() -> dict[str, Any] | None:
        check = await _check(cluster, name)
        return None if check["ok"] or not re.search(why, check["detail"]) else check

    check = await until(f"the gateway says that {name} fails: {why}", failed)
    assert check is not None
    assert check["remedy"]
    return str(check["detail"])


async def _says(cluster: Cluster, what: str) -> None:
    """Waits until the writer says that it waits, and why, a pattern."""

    async def said() -> bool:
        return bool(re.search(what, (await _check(cluster, "writer"))["detail"]))

    await until(f"the writer says: {what}", said)


async def _silent_while_blind(cluster: Cluster, longer_than: float) -> None:
    """Nothing is sealed while the gateway does not see the chain, for so many seconds."""
    await _says(cluster, "newest block")
    await nothing_is_sealed(cluster, bytes.fromhex(cluster.raw[2:]), longer_than)


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
        await nothing_is_sealed(cluster, bytes.fromhex(cluster.raw[2:]), 3)
    finally:
        proxy.drop = False
    await _recovered(cluster, begin, killer.away)


@pytest.mark.parametrize("how", ["error", _long("garbage"), _long("slow"), "lagging"])
async def test_a_bad_rpc_node_is_named_and_costs_nothing(cluster: Cluster, how: str) -> None:
    """HTTP errors, bytes that are no answer, no answer in time, a node that stands still."""
    begin = time.time()
    proxy = cluster.proxies["gateway"]
    try:
        await _spoil(cluster, proxy, how)
        detail = await _not_ready(cluster, "chain")
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


def _liar(lie: str, told: list[str]) -> Callable[[str, list[Any], dict[str, Any]], dict[str, Any]]:
    """Changes every answer about the newest block, and writes down each time that it did."""

    def tell(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        block = answer.get("result")
        if method != "eth_getBlockByNumber" or not isinstance(block, dict) or params[0] != "latest":
            return answer
        told.append(block["number"])
        if lie == "height":
            return answer | {"result": block | {"number": hex(int(block["number"], 16) + 1000)}}
        if lie == "hash":
            return answer | {"result": block | {"hash": "0x" + "ab" * 32}}
        return answer | {"result": block | {"timestamp": hex(int(block["timestamp"], 16) + 86_400)}}

    return tell


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ("height", "does not have block|has no such block"),
        _long("hash", "another block its head"),
        ("time", "two versions"),
    ],
)
async def test_a_lying_rpc_node_is_named_and_ends_and_loses_nothing(cluster: Cluster, lie: str, reason: str) -> None:
    """A head that does not exist, a head with another hash, a head from tomorrow: believed by nobody, and forgotten."""
    begin = time.time()
    sid = bytes.fromhex(cluster.raw[2:])
    epoch = envelopes_of(cluster.wire.heard, sid)[-1].epoch
    told: list[str] = []
    proxy = cluster.proxies["gateway"]
    proxy.rewrite = _liar(lie, told)
    try:
        await _not_ready(cluster, "chain", reason)
        assert (await _machines_see(cluster))["chain"] is False
        await _silent_while_blind(cluster, 2)
        await until("the lie was told often", lambda: _at_least(told, 5))
    finally:
        proxy.rewrite = None
    await _recovered(cluster, begin, [])
    assert {e.epoch for e in envelopes_of(cluster.wire.heard, sid) if e.at >= begin} == {epoch}, "a lie ended a consent"
    (consent,) = await cluster.home.items("/consents")
    assert consent["state"] == "live"
    assert begin < consent["end"] < begin + 86_400, "there was nothing to end"


async def _at_least(told: list[str], count: int) -> bool:
    return len(told) >= count


async def _machines_see(cluster: Cluster) -> dict[str, bool]:
    """What `/readyz` shows without a token."""
    async with aiohttp.ClientSession() as session, session.get(f"{cluster.gateway.url}/readyz") as answer:
        assert answer.status == 503
        found: dict[str, bool] = (await answer.json())["checks"]
        return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_broker_stops_and_comes_back(cluster: Cluster, number: signal.Signals) -> None:
    """QoS 1 and the log: what nobody could deliver is delivered afterwards, once, in order."""
    begin = time.time()
    await cluster.broker.end(number)
    await _not_ready(cluster, "broker")
    await asyncio.sleep(3)
    await cluster.start_broker()
    await _recovered(cluster, begin, [])


LONG_SILENCE = {"chain.max_chain_silence_s": 600, "chain.max_skew_s": 600}
"""For a gateway that shall go on while no block comes: what ends its writing then is not the age of the last one."""


async def _revoked_on_a_standing_chain(cluster: Cluster) -> tuple[int, float, float]:
    """Revokes the only grant while the gateway sees no new block, though the newest one is young enough to write by;
    returns when the writer waits for the chain. The epoch before, the moment of the signing and that of its waiting."""
    sid = bytes.fromhex(cluster.raw[2:])
    live = [consent for consent in await cluster.home.items("/consents") if consent["state"] == "live"]
    grant = live[0]["grant_id"] if live else await cluster.grant("alpha")
    proxy = cluster.proxies["gateway"]
    proxy.frozen = (await cluster.devnet.rpc.head()).number
    await cluster.flows("home", since=time.time() + 2)  # it writes on without a new block
    epoch = envelopes_of(cluster.wire.heard, sid)[-1].epoch
    signed = time.time()
    await cluster.revoke(grant)
    await _says(cluster, f"waiting for the chain to include epoch {epoch + 1}$")
    return epoch, signed, time.time()


async def test_a_revoke_in_hand_acts_while_the_chain_stands_still(cluster: Cluster) -> None:
    """The household's parcel comes before any block with it: once the gateway has it, nothing is sealed to the revoked
    reader, and nothing under an epoch that the chain does not know."""
    sid, gateway = bytes.fromhex(cluster.raw[2:]), cluster.gateway
    await gateway.stop()
    await gateway.start(sets=LONG_SILENCE)
    await cluster.flows("home", since=time.time())
    begin = time.time()
    try:
        epoch, _, waited = await _revoked_on_a_standing_chain(cluster)
        await nothing_is_sealed(cluster, sid, 3)
        assert {e.epoch for e in envelopes_of(cluster.wire.heard, sid) if e.at >= begin} == {epoch}
        chain, clock = await _check(cluster, "chain"), await _check(cluster, "clock")
        assert chain["ok"], "silent for an old block, and not for the revocation"
        assert clock["ok"], "silent for a wrong clock, and not for the revocation"
    finally:
        cluster.proxies["gateway"].frozen = None
    await cluster.flows("home", since=time.time())
    assert envelopes_of(cluster.wire.heard, sid)[-1].epoch > epoch
    await check_everything(cluster, [], begin, ("home",))
    under_the_old = [row["time"] for row in await cluster.home.readings(cluster.raw) if row["epoch"] <= epoch]
    assert max(under_the_old) <= waited, "measured after the gateway had acted, and sealed to the revoked reader"


@pytest.mark.long
@pytest.mark.alone
async def test_a_revoke_in_hand_acts_within_half_a_second(cluster: Cluster) -> None:
    """From 0.5 s after the signing on nothing is sealed, on a machine that does nothing else."""
    await cluster.gateway.stop()
    await cluster.gateway.start(sets=LONG_SILENCE)
    try:
        _, signed, _ = await _revoked_on_a_standing_chain(cluster)
        await asyncio.sleep(3)
        late = [e for e in envelopes_of(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) if e.at >= signed + 0.5]
        assert late == []
    finally:
        cluster.proxies["gateway"].frozen = None
