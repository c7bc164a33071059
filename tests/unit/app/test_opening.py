"""Opening many parcels at once, here and in a second process: the same results, and none at the cost of another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keys.errors import ParcelError, ParcelForeign, ParcelUntimely
from keys.parcel import Parcel, pack
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.app.opening import Opened, Opening, Sealed
from node.clock import ManualClock
from node.errors import Refused

CHAIN, NOW = 31337, 1_800_000_000
KEY, SENDER = SealingKey(bytes(range(32))), LocalSigner((7).to_bytes(32, "big"))


def read_number(parcel: Parcel) -> int:
    """A reader as kinds have one: found by its name in the other process."""
    if parcel.body["number"] == 13:
        raise Refused("Not this one.")
    return int(parcel.body["number"]) * 1_000


async def parcel(number: object, kind: str = "number", key: SealingKey = KEY, now: int = NOW) -> bytes:
    body = {"number": number}
    return await pack(SENDER, key.public_bytes, kind, body, chain_id=CHAIN, now=now, lifetime=3_600)


def opening() -> Opening:
    return Opening(KEY, CHAIN, ManualClock(NOW), {"number": read_number})


async def all_of(opens: Opening, parcels: list[bytes], whole: bool = True) -> list[Opened | BaseException]:
    return await asyncio.gather(*(opens.open(each, whole=whole) for each in parcels), return_exceptions=True)


@asynccontextmanager
async def helped(opens: Opening) -> AsyncIterator[int]:
    """With its helper at work; gives the helper's process id."""
    async with opens.helped():
        opens._may_start = True  # on a machine with one core, too
        few = [await parcel(n) for n in range(8)]
        async with asyncio.timeout(60):
            while opens._helper is None:
                await all_of(opens, few)
                await asyncio.sleep(0.05)
        yield opens._helper._process.pid


async def mixed() -> list[bytes]:
    """Good ones, and between them everything that is wrong with a parcel."""
    return [
        await parcel(1),
        b"",
        await parcel(2, key=SealingKey.generate()),
        await parcel(3),
        b"\x00\x01" + os.urandom(3_000),
        await parcel(4, now=NOW - 30 * 86_400),
        await parcel(13),
        await parcel(None),
        await parcel(5, kind="other"),
        await parcel(6),
    ]


def seen(results: list[Opened | BaseException]) -> list[object]:
    return [
        type(each) if isinstance(each, BaseException) else (each.parcel.body["number"], each.read) for each in results
    ]


async def test_a_bad_parcel_sinks_none_beside_it() -> None:
    """Attack: junk among good orders. A reader's refusal, and a defect of it, are for whoever asks for that parcel."""
    found = await all_of(opening(), await mixed())
    good = [(1, 1_000), (3, 3_000), (13, None), (None, None), (5, None), (6, 6_000)]
    assert [each for each in seen(found) if isinstance(each, tuple)] == good
    wrong = [each for each in found if isinstance(each, BaseException)]
    assert all(isinstance(each, ParcelError) for each in wrong)
    assert [type(each) for each in wrong[1:]] == [ParcelForeign, ParcelForeign, ParcelUntimely]


async def test_the_helper_finds_what_is_found_here() -> None:
    parcels = await mixed()
    here, opens = await all_of(opening(), parcels), opening()
    async with helped(opens):
        there = await all_of(opens, parcels)
        assert opens._helper is not None
    assert seen(there) == seen(here)
    assert [str(each) for each in there if isinstance(each, BaseException)] == [
        str(each) for each in here if isinstance(each, BaseException)
    ]


async def test_what_was_read_stands_for_the_body_unless_that_is_asked_for() -> None:
    parcels, opens = await mixed(), opening()
    async with helped(opens):
        for found in (await all_of(opens, parcels, whole=False), await all_of(opening(), parcels, whole=False)):
            bodies = [each.parcel.body for each in found if isinstance(each, Opened)]
            assert bodies == [{}, {}, {"number": 13}, {"number": None}, {"number": 5}, {}]


async def test_batches_that_are_on_their_way_together_keep_their_order() -> None:
    opens = opening()
    parcels = [await parcel(n) for n in range(100)]
    async with helped(opens):
        assert seen(await all_of(opens, parcels)) == [(n, None if n == 13 else n * 1_000) for n in range(100)]
        assert opens._helper is not None


async def test_an_answer_that_was_given_up_is_not_taken_for_the_next_one() -> None:
    """Attack: a batch that takes the helper too long, and the batch of others behind it, of the same size."""
    opens = opening()
    parcels = [Sealed(await parcel(n)) for n in range(16)]
    async with helped(opens):
        helper = opens._helper
        assert helper is not None
        asked = [asyncio.create_task(helper.ask(NOW, batch)) for batch in (parcels[:8], parcels[8:])]
        await asyncio.sleep(0)
        asked[0].cancel()
        with pytest.raises(OSError, match="missing"):
            await asked[1]


async def test_a_helper_that_was_killed_costs_no_parcel() -> None:
    opens = opening()
    parcels = [await parcel(n) for n in range(14, 94)]
    async with helped(opens) as process:
        os.kill(process, 9)
        assert seen(await all_of(opens, parcels)) == [(n, n * 1_000) for n in range(14, 94)]
        assert opens._helper is None, "a new one is not tried at once"


async def test_the_key_is_nowhere_but_in_the_pipe_and_the_helper_ends_with_its_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATTPACT_NODE_PASSPHRASE", "of the node alone")
    opens = opening()
    async with helped(opens) as process:
        place = Path(f"/proc/{process}")
        shown = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
        assert KEY.to_bytes() not in shown
        assert KEY.to_bytes().hex().encode() not in shown
        assert b"of the node alone" not in shown
        assert opens._helper is not None
        ended = opens._helper._process
        assert ended.stdin is not None
        ended.stdin.close()  # what a node's end does, whatever ended it
        async with asyncio.timeout(20):
            assert await ended.wait() == 0


async def test_without_leave_there_is_no_helper() -> None:
    opens = opening()
    await all_of(opens, [await parcel(n) for n in range(20)])
    assert opens._helper is None
    assert opens._starting is None
