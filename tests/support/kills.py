"""kill -9 at random moments, and what must be true after each of them."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from tests.support.cluster import Cluster
from tests.support.nodes import NodeProcess
from tests.support.processes import until
from tests.support.wire import commits_agree, forks, unbroken

__all__ = ["Away", "Killer", "check_everything", "expected"]

MARGIN = 1.0
"""Seconds around an absence in which a telegram may have been lost in the cable's buffer or half-read."""


@dataclass(frozen=True, slots=True)
class Away:
    """From the kill until the process had the meter's device open again, wall-clock seconds."""

    start: float
    end: float


@dataclass(slots=True)
class Killer:
    """Kills and restarts; `away` gathers when nobody listened to the meter."""

    cluster: Cluster
    random: random.Random
    away: list[Away] = field(default_factory=list)
    kills: int = 0

    async def kill(self, node: NodeProcess) -> None:
        """kill -9 now, and start again."""
        began = time.time()
        await node.kill()
        self.kills += 1
        await node.launch()
        if node is self.cluster.gateway:
            await until("the meter is read again", lambda: self._reads(node), every=0.02)
            self.away.append(Away(began, time.time()))

    async def _reads(self, node: NodeProcess) -> bool:
        assert node.process.running, f"{node.name} ended: {node.process.said()[-1500:]}"
        return self.cluster.meter.held_open_by(node.process.pid)

    async def rounds(self, count: int) -> None:
        """Gateway and home in turn, each after a random pause: sometimes while it is still starting."""
        nodes = (self.cluster.gateway, self.cluster.home)
        for number in range(count):
            node = nodes[number % 2]
            await asyncio.sleep(self.random.choice((0.05, 0.3, 1.0, 2.0)) * self.random.random())
            await self.kill(node)
            if self.random.random() < 0.5:
                await node.up()


def expected(cluster: Cluster, away: list[Away], since: float, to: float) -> tuple[set[int], set[int]]:
    """Meter times that must have arrived, and those that may have."""
    may = {said.meter_time for said in cluster.meter.truth() if since <= said.at <= to}
    must = {
        said.meter_time
        for said in cluster.meter.truth()
        if said.sound
        and since <= said.at <= to
        and not any(gone.start - MARGIN <= said.at <= gone.end + MARGIN for gone in away)
    }
    return must, may


async def check_everything(cluster: Cluster, away: list[Away], since: float, readers: tuple[str, ...]) -> None:
    """Nothing lost, nothing twice, one commit per epoch, no number twice, no gap."""
    end = time.time()
    must, _ = expected(cluster, away, since, end)
    for name in readers:
        node = cluster.nodes[name]

        async def has_all(node: NodeProcess = node) -> bool:
            return must <= {item["time"] for item in await node.readings(cluster.raw)}

        try:
            await until(f"{name} has what the meter said", has_all, every=0.5)
        except AssertionError:
            missing = sorted(must - {item["time"] for item in await node.readings(cluster.raw)})
            raise AssertionError(f"{name} lacks {len(missing)} readings, {missing[:10]}; away: {away}") from None
        times = [item["time"] for item in await node.readings(cluster.raw) if since <= item["time"] <= end]
        assert len(times) == len(set(times)), f"{name} has a reading twice"
        # The meter writes down what it said after it has said it, so its word is asked for after the reader's.
        _, may = expected(cluster, away, since, end)
        assert set(times) <= may, f"{name} has readings that the meter never sent"
    for sid_text in cluster.sids.values():
        sid = bytes.fromhex(sid_text[2:])
        await commits_agree(cluster, sid_text)
        heard = list(cluster.wire.heard)
        assert forks(heard, sid) == []
        unbroken(heard, sid)
