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
