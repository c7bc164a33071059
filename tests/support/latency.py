"""How long a revocation takes to act, from outside: a 50 ms look at the chain and an ear at the broker."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from node.app.demo.chainwatch import ChainWatch
from node.app.demo.registrylog import topic
from node.app.demo.wirelog import envelopes_of
from tests.support.cluster import Cluster, Plan
from tests.support.processes import until

__all__ = ["RevocationTimes", "measure_in", "measure_revocations"]

_REVOKED = topic("Revoked(bytes32,address,bytes32)")


@dataclass(frozen=True, slots=True)
class RevocationTimes:
    """Seconds, negative for what happened before. `signed`: from asking the home to revoke, so the signing is in it;
    `block`: from the first look at the chain that showed the block with the revocation. To the last envelope under the
    old epoch, and to the first under the new one, as they reached the broker."""

    signed_to_last_old: float
    signed_to_first_new: float
    block_to_last_old: float
    block_to_first_new: float


def measure_revocations(n: int) -> list[RevocationTimes]:
    """`n` revocations one after the other on a cluster of its own, one telegram a second, blocks of one second."""
    return asyncio.run(_alone(n))


async def _alone(n: int) -> list[RevocationTimes]:
    with tempfile.TemporaryDirectory(prefix="wattpact-latency-") as folder:
        async with Cluster(Path(folder), Plan(providers=("alpha",))) as cluster:
            await cluster.pair()
            return await measure_in(cluster, "alpha", n)


async def measure_in(cluster: Cluster, provider: str, n: int) -> list[RevocationTimes]:
    """The same on a running, paired cluster."""
    watch = ChainWatch(cluster.devnet.url, "0x" + cluster.devnet.registry.address.hex())
    await watch.start()
    try:
        return [await _one(cluster, watch, provider) for _ in range(n)]
    finally:
        await watch.stop()


async def _one(cluster: Cluster, watch: ChainWatch, provider: str) -> RevocationTimes:
    sid = bytes.fromhex(cluster.raw[2:])
    grant = await cluster.grant(provider)
    begin = len(cluster.wire.heard)
    old = envelopes_of(cluster.wire.heard, sid)[-1].epoch
    signed = time.time()
    await cluster.revoke(grant)

    async def over() -> bool:
        return any(envelope.epoch > old for envelope in envelopes_of(cluster.wire.heard[begin:], sid))

    await until("an envelope under the next epoch", over, every=0.02)
    block = await until("the block with the revocation", lambda: _block(watch, grant), every=0.02)
    assert block is not None
    # A straggler of the old epoch would come now.
    await asyncio.sleep(1.5)
    recent = envelopes_of(cluster.wire.heard[begin:], sid)
    last_old = max([signed, *(envelope.at for envelope in recent if envelope.epoch <= old)])
    first_new = min(envelope.at for envelope in recent if envelope.epoch > old)
    return RevocationTimes(last_old - signed, first_new - signed, last_old - block, first_new - block)


async def _block(watch: ChainWatch, grant: str) -> float | None:
    wanted = bytes.fromhex(grant[2:])
    for block in watch.blocks.values():
        for log in block.logs:
            if log.topics[:1] == (_REVOKED,) and log.topics[1] == wanted:
                return block.seen_at
    return None
