"""Jobs that wait together go together, in their order, and no more of them than the next step should wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from node.errors import Conflict, Refused
from node.storage.group import GroupCommit


async def test_a_group_has_no_more_than_its_most_and_keeps_the_order() -> None:
    groups: list[list[int]] = []

    async def commit(jobs: Sequence[int]) -> list[int | Exception]:
        groups.append(list(jobs))
        await asyncio.sleep(0)
        return [Conflict("Odd.") if job % 2 else job * 10 for job in jobs]

    group = GroupCommit("numbers", commit, most=8)
    found = await asyncio.gather(*(group.submit(number) for number in range(20)), return_exceptions=True)
    assert groups == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
    assert found[::2] == [number * 10 for number in range(0, 20, 2)]
    assert all(isinstance(each, Conflict) for each in found[1::2])


async def test_what_sinks_a_group_sinks_none_of_those_behind_it() -> None:
    async def commit(jobs: Sequence[int]) -> list[int | Exception]:
        if 0 in jobs:
            raise Refused("All of them.")
        return list(jobs)

    group = GroupCommit("numbers", commit, most=4)
    found = await asyncio.gather(*(group.submit(number) for number in range(10)), return_exceptions=True)
    assert all(isinstance(each, Refused) for each in found[:4])
    assert found[4:] == list(range(4, 10))


async def test_groups_that_begin_ahead_are_answered_in_order() -> None:
    running: list[int] = []
    most = 0
    go_on = asyncio.Event()

    async def commit(jobs: Sequence[int]) -> list[int | Exception]:
        nonlocal most
        running.append(jobs[0])
        most = max(most, len(running))
        if jobs[0] == 0:
            await go_on.wait()  # those behind it are ready first
        else:
            go_on.set()
        running.remove(jobs[0])
        return [Refused("Four.") if job == 4 else job for job in jobs]

    group, answered = GroupCommit("numbers", commit, most=4, ahead=1), list[int]()

    async def submit(number: int) -> None:
        try:
            answered.append(await group.submit(number))
        except Refused:
            answered.append(-number)

    await asyncio.gather(*(submit(number) for number in range(14)))
    assert answered == [-number if number == 4 else number for number in range(14)]
    assert most == 2
    await group.close()


async def test_a_defect_reaches_everybody_who_waits() -> None:
    async def commit(jobs: Sequence[int]) -> list[int | Exception]:
        if 0 in jobs:
            await asyncio.sleep(0)
            raise LookupError("a defect of ours")
        await asyncio.Event().wait()
        return []

    group = GroupCommit("numbers", commit, most=4, ahead=1)
    found = await asyncio.gather(*(group.submit(number) for number in range(14)), return_exceptions=True)
    assert all(isinstance(each, LookupError) for each in found)
