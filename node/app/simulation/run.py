"""A simulation from the first order to the last payment: slot by slot, as fast as the machine can."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from node.app.simulation.plan import Plan, Wish
from node.app.simulation.report import SimulationReport, SlotSums
from node.app.simulation.stage import Stage, opened_stage
from node.app.simulation.villagers import Villagers
from node.app.trading.statements import tariffs_of
from node.errors import FatalError, NodeUnreachable
from node.services.settlement.export import lines_for
from node.services.settlement.invoices import Bill
from node.services.settlement.lines import Kind
from node.storage.deliveries import Span

__all__ = ["simulate_plan"]

LEAD_S = 900
"""Seconds before its delivery at which a slot is traded."""
MONEY = 10**9
PATIENCE = 200
"""Rounds in which a slot must come to its end; each is one block."""
QUIET = 3

Told = Callable[[int, int, int], None]
"""Slots done, slots in all, contracts so far."""


class StoodStill(FatalError):
    """A slot did not come to its end."""

    code = "simulation_stood_still"


class _Run:
    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._plan = plan
        self._stage = stage
        self._villagers = Villagers(stage, plan.assets)
        self._limits: dict[bytes, Wish] = {}
        first = stage.clock.now() + LEAD_S + 60
        self._begin = first + -first % plan.slot_s
        self.report = SimulationReport(plan.assets, [])

    async def fund(self) -> None:
        """Whoever uses energy gets money, and puts it into the market's book."""
        stage, plan = self._stage, self._plan
        buyers = [client for n, client in enumerate(self._villagers.clients) if not plan.makes(n)]
        await self._villagers.open()
        await stage.give([client.account for client in buyers], MONEY)
        self.report.minted = MONEY * len(buyers)
        for client in buyers:
            # Nobody mines while this waits: it is sent, and the rounds bring it.
            with contextlib.suppress(NodeUnreachable):
                await client.deposit(MONEY, patience=0)
        for _ in range(PATIENCE):
            await stage.round()
            if await self._books() == self.report.minted:
                return
        raise StoodStill("The deposits did not reach the market's book.")

    async def _books(self) -> int:
        views, operator = self._stage.core.chain.market, self._stage.market.operator
        assert views is not None  # noqa: S101 (the stage has a market)
        return sum([await views.balance(operator, client.account) for client in self._villagers.clients])

    async def trade(self, number: int) -> None:
        """Orders and matches of one slot, while the one before is delivered."""
        stage, start = self._stage, self._begin + number * self._plan.slot_s
        await stage.wait_until(start - LEAD_S)
        sums = SlotSums(start)
        self.report.slots.append(sums)
        for wish in self._plan.wishes(number):
            client = self._villagers.clients[wish.asset]
            place = client.offer if wish.sells else client.request
            self._limits[await place(wish.wh, wish.price, start, start + self._plan.slot_s)] = wish
            if wish.sells:
                sums.offered += wish.wh
            else:
                sums.requested += wish.wh
        await self._until_quiet()

    async def deliver(self, number: int) -> None:
        """Delivery and payment of one slot; contracts of the next one go on waiting."""
        stage, end = self._stage, self._begin + (number + 1) * self._plan.slot_s
        await stage.wait_until(end)
        self._villagers.wake()
        for _ in range(PATIENCE):
            await self._villagers.settle()
            await stage.round()
            if not self._villagers.open_contracts(end):
                return
        raise StoodStill(f"Slot {number} did not come to its end in {PATIENCE} blocks.")

    async def _until_quiet(self) -> None:
        """Until no contract was made or changed for some blocks."""
        quiet = 0
        for _ in range(PATIENCE):
            await self._stage.round()
            quiet = 0 if await self._villagers.settle() else quiet + 1
            if quiet >= QUIET:
                return

    async def finish(self) -> None:
        """What the chain and the statement say at the end."""
        stage, report = self._stage, self.report
        for _ in range(QUIET):
            await stage.round()
        trades, by_start = await stage.trades(), {slot.start: slot for slot in report.slots}
        report.count(trades)
        span = Span(self._begin, self._begin + len(report.slots) * self._plan.slot_s)
        report.open = self._villagers.open_contracts(span.end)
        bill = Bill(stage.market.operator, (span.start, span.end))
        starts: dict[bytes, int] = {}
        async for page in stage.book.pages(span):
            starts |= {each.contract: each.start for each in page}
            lines = list(lines_for(page, tariffs_of(stage.core, stage.market.operator), None))
            bill.add(lines)
            report.statement_due += sum(line.amount for line in lines if line.kind is Kind.ENERGY)
        report.statement_balance = bill.balance
        for trade in trades:
            made = trade.terms
            if made is None or trade.contract_id not in starts:
                continue
            by_start[starts[trade.contract_id]].add(trade)
            offer, request = self._limits[made.offer], self._limits[made.request]
            if not (offer.price <= made.price <= request.price and made.wh <= min(offer.wh, request.wh)):
                report.over_limits.append(trade.contract_id.hex())
        views = stage.core.chain.market
        assert views is not None  # noqa: S101 (the stage has a market)
        money = await views.money()
        report.wallets = sum([await money.balance(client.account) for client in self._villagers.clients])
        report.books, report.vault = await self._books(), await money.balance(stage.contract)


async def simulate_plan(plan: Plan, folder: Path, told: Told) -> SimulationReport:
    """Plays the plan on a chain of its own. Raises StoodStill, and what devnet and node raise."""
    async with opened_stage(folder) as stage:
        run = _Run(plan, stage)
        await run.fund()
        began = time.monotonic_ns()
        await run.trade(0)
        for number in range(plan.slots):
            told(number, plan.slots, run.report.contracts)
            if number + 1 < plan.slots:
                await run.trade(number + 1)
            await run.deliver(number)
        run.report.seconds_ms = (time.monotonic_ns() - began) // 1_000_000
        told(plan.slots, plan.slots, run.report.contracts)
        await run.finish()
        return run.report
