"""architecture.md: effects are carried out with retries until acknowledged; results come back only as events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from node.clock import ManualClock
from node.errors import NeedsPerson, Unreachable
from node.projection import effects as f
from node.projection import events as e
from node.projection.base import Effect
from node.projection.effects import EFFECTS
from node.runtime.backoff import Backoff
from node.runtime.errors import HandlerMissing, PermanentFailure
from node.runtime.executor import Executor, ExecutorOptions, Handlers
from node.runtime.supervisor import Lifecycle, fatal_part
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.outbox import Outbox, OutboxItem
from tests.support.processes import PATIENCE
from tests.unit.node.projection.kit import commit, granted, h32, revoked

BACKOFF = Backoff(first=2.0, longest=64.0, chance=lambda: 0.999)


def handlers(kind: type[Effect], handler: Callable[[Effect], Awaitable[None]]) -> Handlers:
    table = Handlers()
    table.on(kind, handler)
    table.ignore(*EFFECTS)
    return table


def executor(
    journal: Journal, database: Database, clock: ManualClock, table: Handlers, seen: list[str] | None = None
) -> Executor:
    observe = None if seen is None else (lambda name, outcome: seen.append(f"{name} {outcome}"))
    options = ExecutorOptions(poll=0.05, backoff=BACKOFF, observe=observe)
    return Executor(Outbox(database, "test"), journal, table, clock, options)


async def test_what_works_is_done_once(journal: Journal, database: Database, clock: ManualClock) -> None:
    done: list[Effect] = []

    async def handler(effect: Effect) -> None:
        done.append(effect)

    seen: list[str] = []
    runner = executor(journal, database, clock, handlers(f.NotifyGrantSeen, handler), seen)
    await journal.apply([granted(5)])
    assert [await runner.step(), await runner.step()] == [1, 0]
    assert (done, seen) == ([f.NotifyGrantSeen(h32("g"))], ["NotifyGrantSeen done"])


@pytest.mark.parametrize("failure", [Unreachable("down"), OSError("gone"), TimeoutError(), ZeroDivisionError()])
async def test_failures_are_tried_again_later_and_later(
    journal: Journal, database: Database, clock: ManualClock, failure: Exception
) -> None:
    tries: list[int] = []

    async def handler(_: Effect) -> None:
        tries.append(clock.now())
        if len(tries) < 4:
            raise failure

    runner = executor(journal, database, clock, handlers(f.NotifyGrantSeen, handler))
    await journal.apply([granted(5)])
    for _ in range(40):
        await runner.step()
        clock.advance(1)
    assert tries == [1_000, 1_002, 1_006, 1_014]
    assert (await Outbox(database, "test").counts()).pending == 0


async def test_what_can_never_work_becomes_a_dead_letter(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    async def handler(_: Effect) -> None:
        raise PermanentFailure("The other side refused for good.")

    seen: list[str] = []
    runner = executor(journal, database, clock, handlers(f.NotifyGrantSeen, handler), seen)
    await journal.apply([granted(5)])
    assert [await runner.step(), await runner.step()] == [1, 0]
    dead = (await Outbox(database, "test").dead())[0]
    assert dead.reason == "PermanentFailure: The other side refused for good."
    assert seen == ["NotifyGrantSeen dead"]


async def test_a_fatal_error_ends_the_executor_and_keeps_the_effect(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    async def handler(_: Effect) -> None:
        raise NeedsPerson("Two gateways write one stream.")

    runner = executor(journal, database, clock, handlers(f.NotifyGrantSeen, handler))
    await journal.apply([granted(5)])
    with pytest.raises(ExceptionGroup) as caught:
        await runner.run(Lifecycle())
    assert isinstance(fatal_part(caught.value), NeedsPerson)
    assert (await Outbox(database, "test").counts()).pending == 1


async def test_a_crash_before_the_acknowledgement_repeats_the_effect(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    """At least once: the handler's work happened, the process died, a new one does it again and acknowledges."""
    begun, again = asyncio.Event(), asyncio.Event()
    done: list[Effect] = []

    async def dies(effect: Effect) -> None:
        done.append(effect)
        begun.set()
        await asyncio.Event().wait()

    async def works(effect: Effect) -> None:
        done.append(effect)
        again.set()

    await journal.apply([granted(5)])
    first = asyncio.create_task(executor(journal, database, clock, handlers(f.NotifyGrantSeen, dies)).run(Lifecycle()))
    await begun.wait()
    first.cancel()
    await asyncio.wait([first])
    life = Lifecycle()
    second = asyncio.create_task(executor(journal, database, clock, handlers(f.NotifyGrantSeen, works)).run(life))
    async with asyncio.timeout(PATIENCE):
        await again.wait()
    life.stop.set()
    await second
    assert (await Outbox(database, "look").counts()).pending == 0
    assert done == [f.NotifyGrantSeen(h32("g"))] * 2


async def test_running_it_wakes_at_once_and_keeps_the_order_of_a_lane(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    epochs: list[int] = []
    all_done = asyncio.Event()

    async def handler(effect: Effect) -> None:
        assert isinstance(effect, f.NotifyCommitted)
        await asyncio.sleep(0.002 if effect.epoch % 2 else 0)
        epochs.append(effect.epoch)
        if len(epochs) == 12:
            all_done.set()

    life = Lifecycle()
    runner = executor(journal, database, clock, handlers(f.NotifyCommitted, handler))
    running = asyncio.create_task(runner.run(life))
    await life.until_ready()
    for epoch in range(1, 13):
        await journal.apply([commit(epoch, epoch)])
    async with asyncio.timeout(PATIENCE):
        await all_done.wait()
    life.stop.set()
    await running
    assert epochs == list(range(1, 13))


async def test_a_failure_holds_up_its_own_lane_only_and_keeps_its_order(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    carried: list[int] = []

    async def handler(effect: Effect) -> None:
        assert isinstance(effect, f.NotifyCommitted)
        if effect.epoch == 2 and clock.now() < 1_002:
            raise Unreachable("down")
        carried.append(effect.epoch)

    runner = executor(journal, database, clock, handlers(f.NotifyCommitted, handler))
    await journal.apply([commit(1, 1), commit(2, 2), commit(3, 3), commit(9, 9, sid="t")])
    assert [await runner.step(), await runner.step()] == [4, 0]
    assert sorted(carried) == [1, 9]
    clock.advance(2)
    await runner.step()
    assert carried[2:] == [2, 3]


async def test_parties_who_do_not_answer_never_hold_up_a_revocation(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    """contracts.md, channels.md 4.2: a revocation acts at once, whatever else is going on."""
    told = asyncio.Event()

    async def hangs(_: Effect) -> None:
        await asyncio.Event().wait()

    async def revoked_now(_: Effect) -> None:
        told.set()

    table = Handlers()
    table.on(f.SubmitMessage, hangs)
    table.on(f.NotifyRevoked, revoked_now)
    table.ignore(*EFFECTS)
    running = asyncio.create_task(executor(journal, database, clock, table).run(Lifecycle()))
    keys = [number.to_bytes(32, "big") for number in range(40)]
    await journal.apply([e.RequestedSubmission(key, "Grant", "{}", (b"\x01" * 65,), None, 1) for key in keys])
    await journal.apply([granted(5), revoked(6)])
    async with asyncio.timeout(PATIENCE):
        await told.wait()
    running.cancel()
    await asyncio.wait([running])


class BusyOutbox(Outbox):
    """Of a node that takes in one commit after the other: the next is there before a claim has ended."""

    def __init__(self, database: Database, journal: Journal, rounds: int) -> None:
        super().__init__(database, "test")
        self._journal = journal
        self._rounds = rounds
        self.epoch = 0
        self.enough = asyncio.Event()

    async def claim(self, now: int, limit: int, lease: int, *, local: bool | None = None) -> list[OutboxItem]:
        found = await super().claim(now, limit, lease, local=local)
        self.epoch += 1
        await self._journal.apply([commit(self.epoch, self.epoch)])
        if self.epoch == self._rounds:
            self.enough.set()
        return found


@pytest.mark.parametrize("earlier", [False, True], ids=["put off here", "put off by an earlier run"])
async def test_what_falls_due_is_tried_while_commits_never_cease(
    journal: Journal, database: Database, clock: ManualClock, earlier: bool
) -> None:
    """contracts.md: a revocation that has to be sent again is not held up by streams that go on."""
    tries: list[int] = []

    async def failing(_: Effect) -> None:
        tries.append(clock.now())
        if len(tries) < 3:
            raise Unreachable("down")

    def passes(_: str, outcome: str) -> None:
        if outcome == "retry":
            clock.advance(1)

    async def told(_: Effect) -> None: ...

    table = Handlers()
    table.on(f.SubmitMessage, failing)
    table.on(f.NotifyCommitted, told)
    table.ignore(*EFFECTS)
    busy = BusyOutbox(database, journal, 60)
    await journal.apply([e.RequestedSubmission(bytes(32), "Revoke", "{}", (b"\x01" * 65,), None, 1)])
    if earlier:
        (item,) = await Outbox(database, "former").claim(clock.now(), 10, 60, local=False)
        await Outbox(database, "former").put_off(item, clock.now() + 1, "down")
        clock.advance(1)
    backoff = Backoff(first=1.0, longest=1.0, chance=lambda: 0.999)
    life = Lifecycle()
    running = asyncio.create_task(
        Executor(busy, journal, table, clock, ExecutorOptions(poll=0.05, backoff=backoff, observe=passes)).run(life)
    )
    await busy.enough.wait()
    life.stop.set()
    await running
    first = 1_001 if earlier else 1_000
    assert tries == [first, first + 1, first + 2]


async def test_stopping_finishes_what_is_under_way(journal: Journal, database: Database, clock: ManualClock) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(_: Effect) -> None:
        begun.set()
        await go_on.wait()

    life = Lifecycle()
    running = asyncio.create_task(executor(journal, database, clock, handlers(f.NotifyGrantSeen, handler)).run(life))
    await journal.apply([granted(5)])
    await begun.wait()
    life.stop.set()
    await asyncio.sleep(0.05)
    assert not running.done()
    go_on.set()
    await running
    assert (await Outbox(database, "look").counts()).pending == 0


async def test_an_effect_that_nobody_carries_out_stops_the_start(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    with pytest.raises(HandlerMissing, match="NotifyRevoked"):
        executor(journal, database, clock, Handlers())


def test_pauses_double_up_to_a_limit_and_vary() -> None:
    low, high = Backoff(1.0, 300.0, lambda: 0.0), Backoff(1.0, 300.0, lambda: 1.0)
    assert [high.delay(n) for n in (1, 2, 3, 9, 10, 1_000)] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    assert low.delay(3) == 2.0
    assert len({Backoff().delay(5) for _ in range(20)}) > 1


async def test_what_nobody_carries_out_is_passed_over_at_the_start(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    """A rebuild writes effects before it is known which roles the node has; they must not be worked off one by one."""
    done: list[Effect] = []

    async def handler(effect: Effect) -> None:
        done.append(effect)

    await journal.apply([granted(5), granted(6, grant="h"), e.LoggedFinalized(6, 9)])
    seen: list[str] = []
    runner = executor(journal, database, clock, handlers(f.NotifyGrantFinal, handler), seen)
    life = Lifecycle()
    running = asyncio.create_task(runner.run(life))
    async with asyncio.timeout(PATIENCE):
        while (await Outbox(database, "other").counts()).pending:  # noqa: ASYNC110 - another process would poll too
            await asyncio.sleep(0.01)
    life.stop.set()
    await running
    assert done == [f.NotifyGrantFinal(h32("g")), f.NotifyGrantFinal(h32("h"))]
    assert seen == ["NotifyGrantFinal done"] * 2


async def test_a_journal_that_knows_who_carries_out_what_keeps_only_that(journal: Journal, database: Database) -> None:
    table = Handlers()

    async def handler(_: Effect) -> None: ...

    table.on(f.NotifyGrantFinal, handler)
    journal.want(table.wanted())
    applied = await journal.apply([granted(5), e.LoggedFinalized(5, 9)])
    assert applied.effects == (f.NotifyGrantSeen(h32("g")), f.NotifyGrantFinal(h32("g")))
    (item,) = await Outbox(database, "test").claim(2_000, 10, 60)
    assert (item.effect, item.position) == (f.NotifyGrantFinal(h32("g")), 0)
