"""architecture.md: effects are retried until acknowledged, survive restarts, and keep their order within a lane."""

from __future__ import annotations

import asyncio

from node.clock import ManualClock
from node.projection import effects as f
from node.projection import events as e
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.outbox import Outbox, OutboxCounts
from tests.unit.node.projection.kit import block, commit, granted, h32

G = h32("g")


async def test_claimed_once_acknowledged_once(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), granted(5, grant="a")])
    outbox, other = Outbox(database, "one"), Outbox(database, "two")
    items = await outbox.claim(1_000, 10, 60)
    assert [item.effect for item in items] == [f.NotifyGrantSeen(G), f.NotifyGrantSeen(h32("a"))]
    assert await other.claim(1_000, 10, 60) == []
    for item in items:
        await outbox.acknowledge(item, 1_001)
    assert await outbox.claim(9_999, 10, 60) == []
    assert await outbox.counts() == OutboxCounts(0, 0, None)
    assert await outbox.prune(1_001) == 0
    assert await outbox.prune(1_002) == 2


async def test_a_lease_that_ran_out_is_taken_over_and_its_former_holder_is_ignored(
    journal: Journal, database: Database
) -> None:
    await journal.apply([granted(5)])
    slow, quick = Outbox(database, "slow"), Outbox(database, "quick")
    late = (await slow.claim(1_000, 10, 60))[0]
    taken = (await quick.claim(1_060, 10, 60))[0]
    await slow.bury(late, 1_061, "no")
    assert (await quick.counts()).pending == 1
    await quick.acknowledge(taken, 1_062)
    assert await quick.counts() == OutboxCounts(0, 0, None)


async def test_a_lane_keeps_its_order_and_holds_up_nobody_else(journal: Journal, database: Database) -> None:
    await journal.apply([commit(1, 1), commit(2, 2), commit(1, 1, sid="t")])
    outbox = Outbox(database, "one")
    first, second, other = await outbox.claim(1_000, 10, 60)
    assert [getattr(item.effect, "epoch", None) for item in (first, second, other)] == [1, 2, 1]
    assert first.lane == second.lane != other.lane
    assert await outbox.claim(1_000, 10, 60) == []
    await outbox.put_off(first, 1_030, "broker down")
    await outbox.give_back(second)
    await outbox.acknowledge(other, 1_000)
    assert await outbox.claim(1_029, 10, 60) == []
    assert await outbox.next_due(1_029) == 1_030
    assert await outbox.next_due(1_031) == 1_031
    again = (await outbox.claim(1_030, 1, 60))[0]
    assert (again.attempts, again.reason) == (1, "broker down")
    await outbox.acknowledge(again, 1_031)
    assert [getattr(item.effect, "epoch", None) for item in await outbox.claim(1_031, 10, 60)] == [2]


async def test_what_stays_inside_and_what_goes_out_are_claimed_apart(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), e.RequestedSubmission(h32("d"), "Grant", "{}", (b"\x01" * 65,), None, 1)])
    outbox = Outbox(database, "one")
    assert [type(item.effect) for item in await outbox.claim(1_000, 9, 60, local=False)] == [f.SubmitMessage]
    assert (await outbox.next_due(1_000, local=False), await outbox.next_due(1_000, local=True)) == (1_060, 1_000)
    assert [type(item.effect) for item in await outbox.claim(1_000, 9, 60, local=True)] == [f.NotifyGrantSeen]


async def test_a_dead_letter_lets_the_next_pass_and_can_be_revived(journal: Journal, database: Database) -> None:
    await journal.apply([commit(1, 1), commit(2, 2)])
    outbox = Outbox(database, "one")
    item = (await outbox.claim(1_000, 1, 60))[0]
    await outbox.bury(item, 1_001, "refused for good")
    assert (await outbox.counts()).dead == 1
    dead = (await outbox.dead())[0]
    assert (dead.seq, dead.reason) == (item.seq, "refused for good")
    second = (await outbox.claim(1_002, 10, 60))[0]
    assert getattr(second.effect, "epoch", None) == 2
    await outbox.acknowledge(second, 1_002)
    await outbox.revive(item.seq, item.position, 1_003)
    assert [getattr(each.effect, "epoch", None) for each in await outbox.claim(1_003, 10, 60)] == [1]


async def test_a_restart_frees_the_leases_of_the_dead_process(url: str) -> None:
    clock = ManualClock(1_000)
    database = await Database.open(url)
    journal = Journal(database, clock)
    await journal.apply([granted(5)])
    assert len(await Outbox(database, "one").claim(1_000, 10, 600)) == 1
    await journal.close()
    await database.close()
    database = await Database.open(url)
    outbox = Outbox(database, "two")
    await outbox.release()
    # Others may be alive on a shared database: there the lease has to run out.
    assert len(await outbox.claim(1_001, 10, 600)) == (0 if database.concurrent else 1)
    assert len(await outbox.claim(1_600, 10, 600)) == (1 if database.concurrent else 0)
    await database.close()


async def test_times_written_by_a_clock_in_2099_do_not_block_it_for_ever(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5)])
    outbox = Outbox(database, "one")
    item = (await outbox.claim(4_070_908_800, 10, 60))[0]
    await outbox.put_off(item, 4_070_908_900, "clock")
    assert len(await outbox.claim(1_000, 10, 60)) == 1


async def test_many_workers_share_the_work_without_sharing_an_item(journal: Journal, database: Database) -> None:
    """architecture.md, scale: rows are claimed with FOR UPDATE SKIP LOCKED."""
    letters = [chr(letter) for letter in range(ord("A"), ord("z"))]
    await journal.apply([granted(5, grant=letter) for letter in letters])
    workers = [Outbox(database, str(number)) for number in range(8)]
    taken = [
        item for items in await asyncio.gather(*(worker.claim(1_000, 10, 60) for worker in workers)) for item in items
    ]
    names = [(item.seq, item.position) for item in taken]
    assert len(names) == len(set(names))
    assert len(names) > 10


async def test_each_journal_result_is_in_the_outbox_once(journal: Journal, database: Database) -> None:
    """The same facts told again, as after a crash before the reader's cursor moved, add no row."""
    facts = [granted(5), commit(5, 1), e.LoggedDevicePaired(block(5), h32("o")[:20], h32("d"), h32("b")[:20])]
    for _ in range(3):
        await journal.apply([*facts, e.LoggedFinalized(5, 1)])
    assert (await Outbox(database, "one").counts()).pending == 4
