"""Clocks that stand still, run ahead, jump to 2099 or back: what they date is set aside, nothing else is disturbed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from node.app.demo.wirelog import envelopes_of
from tests.e2e.conftest import Clusters
from tests.support.cluster import SLOT, Cluster, Plan
from tests.support.faketime import WrongClock
from tests.support.kills import Away, check_everything
from tests.support.processes import until
from tests.support.wire import nothing_is_sealed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

YEARS_73 = 73 * 365 * 86_400

SKEW = 10
"""Greatest difference of clocks in this cluster's gateway, seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clock(tmp_path_factory: pytest.TempPathFactory) -> WrongClock:
    return WrongClock(tmp_path_factory.mktemp("clock"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters, clock: WrongClock) -> AsyncIterator[Cluster]:
    settings = {"gateway": {"chain.max_skew_s": SKEW, "meter.max_skew_s": SKEW}}
    async with clusters(Plan(settings=settings)) as cluster:
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


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("2099", "far_future"), ("stuck", "stuck"), pytest.param("clock -900", "past", marks=pytest.mark.long)],
)
async def test_a_wrong_meter_clock_is_set_aside_and_named(cluster: Cluster, fault: str, reason: str) -> None:
    """channels.md 1: beyond the greatest skew a reading is set aside and reported, not sealed."""
    begin = time.time()
    await cluster.meter.tell(f"fault {fault}")

    async def named() -> bool:
        return f"reason={reason}" in cluster.gateway.process.said()

    await until(f"the gateway names {reason}", named)
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


async def _checks(cluster: Cluster) -> dict[str, Any]:
    checks = json.loads((await cluster.gateway.raw("GET", "/readiness")).body)["checks"]
    return {check["name"]: check for check in checks}


async def _clock_named(cluster: Cluster) -> dict[str, Any]:
    """What the gateway says of its clock once it finds it wrong."""

    async def named() -> dict[str, Any] | None:
        check: dict[str, Any] = (await _checks(cluster))["clock"]
        return None if check["ok"] else check

    said = await until("the gateway names its clock", named)
    assert said is not None
    return said


async def _writer_waits(cluster: Cluster, why: str) -> None:
    async def waits() -> bool:
        return why in (await _checks(cluster)).get("writer", {"detail": ""})["detail"]

    await until(f"the writer says: {why}", waits)


@pytest.mark.parametrize("seconds", [YEARS_73, -7_200])
async def test_a_wrong_gateway_clock_seals_nothing_ends_nothing_and_loses_nothing(
    cluster: Cluster, clock: WrongClock, seconds: int
) -> None:
    """In 2099 every consent would be over, two hours back none begun: the chain's time keeps both from acting."""
    begin = time.time()
    epoch = envelopes_of(cluster.wire.heard, _sid(cluster))[-1].epoch
    clock.set(seconds)
    changed = time.time()
    said = await _clock_named(cluster)
    assert "timedatectl" in said["remedy"]
    assert ("ahead of" if seconds > 0 else "behind") in said["detail"]
    await _writer_waits(
        cluster, f"newest block is {seconds // 10_000}" if seconds > 0 else f"differ by {-seconds // 1_000}"
    )
    await nothing_is_sealed(cluster, _sid(cluster))
    wrong_to = time.time()
    clock.set(0)
    right = time.time()
    await cluster.flows("home", "alpha", since=time.time())
    # A telegram in the instant of the change may have been judged by both clocks, as may one that waited in the cable.
    instants = [Away(changed - 3, changed + 1), Away(wrong_to - 3, right + 2)]
    await check_everything(cluster, instants, begin, ("home", "alpha"))
    assert envelopes_of(cluster.wire.heard, _sid(cluster))[-1].epoch == epoch, "a consent ended by a wrong clock"
    (consent,) = await cluster.home.items("/consents")
    assert consent["state"] == "live"
    _sane(cluster)


async def test_a_gateway_clock_that_stands_still_stops_the_sealing_and_loses_nothing(
    cluster: Cluster, clock: WrongClock
) -> None:
    """The chain's time goes on: once the two are further apart than the greatest skew nothing is sealed, the gateway
    says why, and what the meter said meanwhile is sealed when the clock goes again."""
    begin = time.time()
    stood = clock.stop()
    try:
        await _clock_named(cluster)
        await _writer_waits(cluster, "gateway clock and newest block differ by")
        assert (await cluster.gateway.get("/status"))["now"] == stood, "the clock did not stand"
        assert time.time() > stood + SKEW, "sooner than the greatest skew"
        await nothing_is_sealed(cluster, _sid(cluster))
    finally:
        clock.set(0)
    await cluster.flows("home", "alpha", since=time.time())
    await check_everything(cluster, [], begin, ("home", "alpha"))
    _sane(cluster)
