"""Turns: each party's work in its order, the parties beside each other, and no more than there is room for."""

from __future__ import annotations

import asyncio

from node.app.turns import Turns


async def test_parties_do_not_wait_for_each_other_and_each_has_its_order() -> None:
    open_, done = asyncio.Event(), list[str]()

    async def wait() -> None:
        await open_.wait()
        done.append("a1")

    async def add(word: str) -> None:
        done.append(word)

    async def fault() -> None:
        raise KeyError("a fault of ours")

    async with Turns(2, 10) as turns:
        await turns.add(b"a", wait)
        await turns.add(b"a", fault)
        await turns.add(b"a", lambda: add("a2"))
        await turns.add(b"b", fault)
        await turns.add(b"b", lambda: add("b1"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert done == ["b1"]
        open_.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert done == ["b1", "a1", "a2"]
        await turns.add(b"a", lambda: add("a3"))
        for _ in range(5):
            await asyncio.sleep(0)
    assert done[-1] == "a3"


async def test_who_brings_too_much_waits_and_what_is_left_at_the_end_is_cancelled() -> None:
    open_, begun = asyncio.Event(), list[int]()

    async def wait() -> None:
        begun.append(1)
        await open_.wait()

    async with Turns(2, 3) as turns:
        for party in (b"a", b"b", b"c"):
            await turns.add(party, wait)
        fourth = asyncio.ensure_future(turns.add(b"d", wait))
        for _ in range(10):
            await asyncio.sleep(0)
        assert (len(begun), fourth.done()) == (2, False)
        open_.set()
        await fourth
        open_.clear()
        await turns.add(b"e", wait)
    assert asyncio.all_tasks() == {asyncio.current_task()}
