"""Clocks that stand still, run ahead, jump to 2099 or back: what they date is set aside, nothing else is disturbed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.app.demo.wirelog import envelopes_of
from tests.e2e.conftest import Clusters
from tests.support.cluster import SLOT, Cluster, Plan
from tests.support.faketime import WrongClock
from tests.support.kills import Away, check_everything
from tests.support.processes import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

YEARS_73 = 73 * 365 * 86_400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clock(tmp_path_factory: pytest.TempPathFactory) -> WrongClock:
    return WrongClock(tmp_path_factory.mktemp("clock"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters, clock: WrongClock) -> AsyncIterator[Cluster]:
    async with clusters(Plan()) as cluster:
        await cluster.pair()
        await cluster.grant("alpha", end=int(time.time()) + 86_400)
        gateway = cluster.gateway
        await gateway.stop()
        gateway.process.environment.update(clock.environment)
        await gateway.start()
        await cluster.flows("home", "alpha", since=time.time())
        yield cluster


def _sid(cluster: Cluster) -> bytes:
    return bytes.fromhex(cluster.raw[2:])


def _sane(cluster: Cluster) -> None:
    """No envelope lies in a slot that is not there yet."""
    now = int(time.time())
    slots = {envelope.slot for envelope in envelopes_of(cluster.wire.heard, _sid(cluster))}
    assert max(slots) <= (now - cluster.genesis) // SLOT + 2


@pytest.mark.parametrize(("fault", "reason"), [("2099", "far_future"), ("stuck", "stuck"), ("clock -900", "past")])
async def test_a_wrong_meter_clock_is_set_aside_and_named(cluster: Cluster, fault: str, reason: str) -> None:
    """channels.md 1: beyond the greatest skew a reading is set aside and reported, not sealed."""
    begin = time.time()
    await cluster.meter.tell(f"fault {fault}")

    async def named() -> bool:
        return f"reason={reason}" in cluster.gateway.process.said()

    await until(f"the gateway names {reason}", named, 60)
    sent = {said.meter_time for said in cluster.meter.truth() if said.at > begin + 1}
    # A clock that stands still tells its time once more before it is found out; that one was there before.
    wrong = {moment for moment in sent if abs(moment - time.time()) > 120}
    await cluster.meter.tell("fault none")
    healed = time.time() + 1
    await cluster.flows("home", "alpha", since=healed)
    for name in ("home", "alpha"):
        times = [item["time"] for item in await cluster.nodes[name].readings(cluster.raw)]
        assert len(times) == len(set(times)), "a reading twice"
        assert not wrong & set(times), "a reading with a wrong date"
    _sane(cluster)
    await check_everything(cluster, [], healed, ("home", "alpha"))


@pytest.mark.parametrize("seconds", [YEARS_73, -7_200])
async def test_a_wrong_gateway_clock_seals_nothing_ends_nothing_and_loses_nothing(
    cluster: Cluster, clock: WrongClock, seconds: int
) -> None:
    """In 2099 every consent would be over, two hours back none begun: the chain's time keeps both from acting."""
    begin = time.time()
    epoch = envelopes_of(cluster.wire.heard, _sid(cluster))[-1].epoch
    clock.set(seconds)
    changed = time.time()
    await asyncio.sleep(4)
    quiet_from = time.time()
    await asyncio.sleep(4)
    quiet_to = time.time()
    clock.set(0)
    sealed = [e for e in envelopes_of(cluster.wire.heard, _sid(cluster)) if quiet_from <= e.at <= quiet_to]
    assert sealed == []
    await cluster.flows("home", "alpha", since=time.time())
    # A telegram in the instant of the change may have been judged by both clocks.
    instants = [Away(changed - 1, changed + 1), Away(quiet_to - 1, quiet_to + 2)]
    await check_everything(cluster, instants, begin, ("home", "alpha"))
    assert envelopes_of(cluster.wire.heard, _sid(cluster))[-1].epoch == epoch, "a consent ended by a wrong clock"
    (consent,) = await cluster.home.items("/consents")
    assert consent["state"] == "live"
    _sane(cluster)
