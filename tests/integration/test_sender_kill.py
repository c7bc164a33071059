"""kill -9 of a sender at random points: nothing accepted is lost, nothing is done twice, no nonce is left out."""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

import pytest

from node.runtime.devnet.anvil import AnvilOptions
from tests.support.anvil import Anvil, anvil
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.chain
ROOT = Path(__file__).parents[2]
PER_ROUND = 100_000


async def order(nursery: Process, text: str) -> tuple[set[int], int]:
    """Have one child live and end; what it said was durable, and its exit status."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(f"{text}\n".encode())
    accepted: set[int] = set()
    async with asyncio.timeout(PATIENCE):
        while line := (await nursery.stdout.readline()).decode():
            word, _, number = line.strip().partition(" ")
            if word == "gone":
                return accepted, int(number)
            assert word == "accepted"
            accepted.add(int(number))
    raise AssertionError("the nursery ended")


async def effects(chain: Anvil, emitter: bytes) -> Counter[int]:
    head = await chain.head()
    return Counter(int.from_bytes(log.data, "big") for log in await chain.rpc.logs([emitter], 0, head.number))


async def rounds(folder: Path, kills: int, seed: int, *, reorgs: bool) -> None:
    chance = random.Random(seed)
    async with anvil(options=AnvilOptions(block_time=0.1)) as chain:
        emitter = await chain.deploy()
        signer = chain.signers[0]
        program = ["-m", "tests.support.sender_child", chain.url, str(folder), signer.to_bytes().hex(), emitter.hex()]
        nursery = await asyncio.create_subprocess_exec(sys.executable, *program, cwd=ROOT, stdin=PIPE, stdout=PIPE)
        accepted: set[int] = set()
        for turn in range(kills):
            # Often at once, when the crash falls between saving, broadcasting and looking; sometimes later.
            more, status = await order(
                nursery, f"{turn * PER_ROUND} {chance.choice((0.02, 0.1, 0.3)) * chance.random()}"
            )
            assert status == 9
            accepted |= more
            if reorgs and turn % 7 == 3:
                await chain.reorg(chance.choice((1, 2, 5)))
        _, status = await order(nursery, "0 drain")
        assert status == 0
        assert nursery.stdin is not None
        nursery.stdin.close()
        await nursery.wait()
        done = await effects(chain, emitter)
        assert len(accepted) > kills, "the children got nothing done; the test shows nothing"
        assert accepted - set(done) == set(), "accepted and lost"
        assert [number for number, times in done.items() if times > 1] == [], "done twice"
        assert await chain.rpc.nonce(signer.address) == sum(done.values()), "a nonce without an effect"


async def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    await rounds(tmp_path, 50, 1, reorgs=False)


@pytest.mark.long
async def test_a_thousand_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    await rounds(tmp_path, 1_000, 2, reorgs=False)


@pytest.mark.long
async def test_kills_among_reorganisations_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    await rounds(tmp_path, 100, 3, reorgs=True)
