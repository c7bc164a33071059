"""The inbox forgets what it has seen only when it cannot come again."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from keys.sealing import SealingKey
from node.app.core import Core
from node.app.inbox import Inbox
from node.app.parcels import Post
from node.app.streams.roads import problem_of
from node.clock import ManualClock
from node.observability import Metrics
from node.projection.base import Peer
from node.projection.effects import SendParcel
from node.runtime.errors import PermanentFailure
from node.runtime.supervisor import Lifecycle
from node.storage.bulk import Writes
from node.storage.database import Database
from node.storage.extras import SeenParcel
from node.storage.facts import Parcels
from tests.support.processes import until

STRANGE = (b"[]", b'"no"', b"7", b"null", b"[" * 4_096, b'{"a":' * 700, b"\xff\xfe", b"")
"""Bodies of refusals that no honest node sends."""

OLD, YOUNG = bytes([1]) * 32, bytes([2]) * 32


async def _gone(parcels: Parcels) -> bool:
    return not await parcels.seen(OLD)


@pytest.mark.parametrize(
    ("clock", "chain", "left"),
    [
        (2_000, 2_100, [False, True]),
        (4_000_000_000, 2_100, [False, True]),
        (4_000_000_000, 0, [True, True]),
    ],
    ids=["ordinary", "a clock in 2096 takes no guard away", "no block yet"],
)
async def test_ids_go_when_clock_and_chain_say_that_the_parcel_is_too_old(
    tmp_path: Path, clock: int, chain: int, left: list[bool]
) -> None:
    """Attack: the clock ran ahead for a moment, and old parcels are played again once it is right."""
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/node.db")
    try:
        writes = Writes()
        for parcel, expires in ((OLD, 1_999), (YOUNG, 2_500)):
            SeenParcel(parcel, expires).tell(writes)
        await writes.commit(database)
        core = SimpleNamespace(
            storage=SimpleNamespace(database=database),
            settings=SimpleNamespace(chain=SimpleNamespace(chain_id=1)),
            keys=SimpleNamespace(sealing=SealingKey.generate()),
            clock=ManualClock(clock),
        )
        service = Inbox(cast("Core", core)).service(lambda: chain)
        life = Lifecycle()
        task = asyncio.ensure_future(service.run(life))
        parcels = Parcels(database)
        if left[0]:
            await asyncio.sleep(0.2)  # for what must not happen
        else:
            await until("the old one goes", lambda: _gone(parcels), every=0.01)
        life.stop.set()
        await task
        assert [await parcels.seen(each) for each in (OLD, YOUNG)] == left
    finally:
        await database.close()


async def test_nobody_calls_at_an_address_that_nobody_can_have() -> None:
    """The card of an asset that only asks names one; without this each word to it would be tried again for days."""
    post = Post(cast("Core", SimpleNamespace(clock=ManualClock(1_000))))
    for url, called in (("https://asset.invalid", False), ("https://invalid.org", True)):
        late = SendParcel(Peer(bytes(20), url, bytes(1216)), "asset.contract", "{}", b"", 900)
        with pytest.raises(PermanentFailure) if called else contextlib.nullcontext():
            await post.carry_out(late)


@pytest.mark.parametrize("body", STRANGE, ids=range(len(STRANGE)))
async def test_a_refusal_in_no_shape_of_ours_is_a_refusal(body: bytes) -> None:
    """Attack: a peer refuses with something else than a problem document, to end the loop that sent the parcel."""

    async def call(*_: object) -> tuple[int, bytes]:
        return 403, body

    core = SimpleNamespace(mail=SimpleNamespace(call=call), metrics=Metrics())
    with pytest.raises(PermanentFailure, match="no reason given"):
        await Post(cast("Core", core)).send(Peer(bytes(20), "", bytes(32)), "note", {})
    assert "The gateway refused" in problem_of(body).message


async def test_what_a_refusal_says_is_text_whatever_it_holds() -> None:
    found = problem_of(b'{"detail": ["x"], "remedy": {"y": 1}, "field": [2]}')
    assert (found.message, found.field) == ("['x']", None)
