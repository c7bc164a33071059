"""The inbox takes in each parcel once, on disk before it is answered, none at the cost of another, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from channels.stores.memory import MemoryStore
from keys.parcel import Parcel, pack, unpack
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.memory import Memory
from node.app.wakes import Wakes
from node.clock import ManualClock
from node.errors import Conflict, InvalidInput, NodeError, NotFound, Refused
from node.observability import Metrics
from node.storage.database import Database
from node.storage.facts import Parcels
from node.storage.journal import Journal

CHAIN, NOW = 31337, 1_800_000_000
KEY = SealingKey(bytes(range(32)))


def read_number(parcel: Parcel) -> int:
    if parcel.body["number"] < 0:
        raise InvalidInput("Not below nothing.", field="number")
    return int(parcel.body["number"])


@dataclass
class World:
    inbox: Inbox
    memory: Memory
    parcels: Parcels
    batches: list[list[int]]

    async def put(self, data: bytes) -> None:
        await self.inbox.take(data, "somebody")

    async def known(self) -> list[str]:
        return sorted((await self.memory.facts.all("number")), key=int)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    clock = ManualClock(NOW)
    journal = Journal(database, clock)
    memory = await Memory.open(MemoryStore(), bytes(32), journal, database)
    core = SimpleNamespace(
        storage=SimpleNamespace(database=database, memory=memory),
        settings=SimpleNamespace(chain=SimpleNamespace(chain_id=CHAIN)),
        keys=SimpleNamespace(sealing=KEY),
        clock=clock,
        metrics=Metrics(),
        wake=Wakes().tell,
    )
    inbox, batches = Inbox(cast("Core", core)), list[list[int]]()

    async def take(numbers: Sequence[int]) -> list[Kept | Exception]:
        batches.append(list(numbers))
        return [Conflict("Odd.") if n % 2 else Kept((), (("number", str(n), n),)) for n in numbers]

    inbox.on_many("number", read_number, take)
    yield World(inbox, memory, Parcels(database), batches)
    await memory.close()
    await journal.close()
    await database.close()


async def sealed(number: int, signer: LocalSigner | None = None, kind: str = "number") -> bytes:
    return await pack(
        signer or LocalSigner.generate(),
        KEY.public_bytes,
        kind,
        {"number": number},
        chain_id=CHAIN,
        now=NOW,
        lifetime=60,
    )


def id_of(data: bytes) -> bytes:
    return unpack(KEY, data, chain_id=CHAIN, now=NOW).id


async def test_what_comes_together_is_taken_together_and_each_hears_of_its_own_fault(world: World) -> None:
    parcels = [await sealed(n) for n in range(20)]
    parcels += [await sealed(-1), b"junk", await sealed(2, kind="unheard-of")]
    found = await asyncio.gather(*(world.put(each) for each in parcels), return_exceptions=True)
    assert await world.known() == [str(n) for n in range(0, 20, 2)]
    assert [type(each) for each in found[:20]] == [type(None), Conflict] * 10
    assert [type(each) for each in found[20:]] == [InvalidInput, Refused, NotFound]
    assert isinstance(found[20], NodeError)
    assert found[20].field == "number"
    assert max(len(batch) for batch in world.batches) > 10, "they went one by one"


async def test_it_is_on_disk_when_it_is_answered_and_the_same_again_changes_nothing(world: World) -> None:
    data = await sealed(4)
    await world.put(data)
    assert await world.parcels.seen(id_of(data))
    assert await world.known() == ["4"]
    await world.memory.keep((), [("number", "4", None)])
    await asyncio.gather(*(world.put(data) for _ in range(5)))
    assert await world.known() == [], "a replay brought back what was taken away"


async def test_a_replay_among_others_sinks_none_of_them(world: World) -> None:
    old = await sealed(2)
    await world.put(old)
    await asyncio.gather(*(world.put(each) for each in [await sealed(6), old, await sealed(8), old]))
    assert await world.known() == ["2", "6", "8"]


async def test_what_one_sender_sends_is_taken_in_its_order(world: World) -> None:
    signer = LocalSigner.generate()
    parcels = [await sealed(n, signer) for n in range(40)]
    await asyncio.gather(*(world.put(each) for each in parcels), return_exceptions=True)
    assert [n for batch in world.batches for n in batch] == list(range(40))
