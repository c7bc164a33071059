"""architecture.md: `kill -9` at any point loses nothing and does nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from node.clock import SystemClock
from node.projection import effects as f
from node.projection.codec import CODEC
from node.projection.stream import Stream
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.outbox import Outbox
from node.storage.schema import outbox as outbox_table
from node.storage.views import Views
from tests.unit.node.projection.kit import h32

ROOT = Path(__file__).parents[4]


def run_and_kill(url: str, seconds: float) -> tuple[list[int], list[int]]:
    """Let the child work for so long after its first sign of life, then kill it; what it said was done."""
    command = [sys.executable, "-m", "tests.unit.node.storage.kill_child", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        lines = [first, *child.stdout.read().splitlines()]
    said = [line.split() for line in lines if line.count(" ") == 1 and line.split()[1:]]
    return [int(n) for word, n in said if word == "told"], [int(n) for word, n in said if word == "carried"]


async def check(url: str, told: list[int], carried: list[int]) -> int:
    """Everything that was said to be done is there once, and everything that is there hangs together."""
    database = await Database.open(url)
    journal = Journal(database, SystemClock())
    stream = await Views(database).one(Stream, h32("s"))
    cursor = await ChainStore(database).cursor("registry")
    headers = await ChainStore(database).load_headers()
    last = stream.epoch
    assert last >= max(told, default=0)
    assert cursor is None or cursor[0] == last
    assert [header.number for header in headers] == list(range(1, last + 1))
    assert await journal.verify() == last
    async with database.read() as connection:
        rows = (await connection.execute(select(outbox_table).order_by("seq"))).all()
    effects = [CODEC.decode(row.effect, f.NotifyCommitted) for row in rows]
    assert [effect.epoch for effect in effects] == list(range(1, last + 1))
    done = {effect.epoch for row, effect in zip(rows, effects, strict=True) if row.status == "done"}
    # The one between carrying out and acknowledging may be carried out again; nothing acknowledged was not.
    assert done <= set(carried)
    await Outbox(database, "check").release()
    await journal.close()
    await database.close()
    return last


async def rounds(folder: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    url = f"sqlite:///{folder / 'node.db'}"
    told: list[int] = []
    carried: list[int] = []
    for _ in range(count):
        more_told, more_carried = run_and_kill(url, chance.uniform(0.0, 0.25))
        assert not set(told) & set(more_told), "a fact was written twice"
        told += more_told
        carried += more_carried
        last = await check(url, told, carried)
    assert last > count, "the child got nothing done; the test shows nothing"
    repeated = len(carried) - len(set(carried))
    assert repeated <= 16 * count, "only what was under way may be repeated"


async def test_kill_at_random_moments(tmp_path: Path) -> None:
    await rounds(tmp_path, 6, 1)


@pytest.mark.long
async def test_kill_at_many_random_moments(tmp_path: Path) -> None:
    await rounds(tmp_path, 60, 2)
