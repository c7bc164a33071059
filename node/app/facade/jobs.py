"""The outbox as jobs: what waits, what runs, what failed and why (M-10, M-69, M-70)."""

from __future__ import annotations

from dataclasses import dataclass

from node.api.jobs import DashboardView, JobView
from node.app.core import Core
from node.app.trading.assetpool import AssetPool
from node.errors import Conflict, InvalidInput, NotFound, Refused
from node.storage.outbox import OutboxJob

__all__ = ["JobsPart"]

STATES = ("failed", "running", "queued")
SHOWN = 200


@dataclass(frozen=True, slots=True)
class JobsPart:
    """Implements `JobsFacade`; `pool` has the owner's settings of the asset, None on a node without one."""

    core: Core
    pool: AssetPool | None

    async def jobs(self, state: str | None, limit: int) -> tuple[JobView, ...]:
        if state is not None and state not in STATES:
            raise InvalidInput(f"A job is {', '.join(STATES)}.", field="state")
        found: list[JobView] = []
        for wanted in STATES if state is None else (state,):
            rows = await self.core.storage.outbox.jobs(wanted, self.core.clock.now(), limit - len(found))
            found += [_view(row) for row in rows]
        return tuple(found)

    async def dashboard(self) -> DashboardView:
        config = await self.pool.config() if self.pool is not None else None
        if config is None or not config.dashboard:
            raise Refused("The owner has the dashboard switched off.", remedy="Switch it on in the asset's settings.")
        counts = await self.core.storage.outbox.counts()
        return DashboardView(
            items=await self.jobs(None, SHOWN), waiting=counts.pending, failed=counts.dead, oldest_at=counts.oldest
        )

    async def retry(self, job: str) -> None:
        row = await self._job(job)
        if row.state != "failed":
            raise Conflict(f"The job is {row.state}.", remedy="Only a failed job is tried again by hand.")
        await self.core.storage.outbox.revive(row.item.seq, row.item.position, self.core.clock.now())
        self.core.wake()

    async def cancel(self, job: str) -> None:
        row = await self._job(job)
        if row.state == "running":
            raise Conflict("The job runs at this moment.", remedy="Try again when it has ended.")
        if not await self.core.storage.outbox.call_off(row.item, self.core.clock.now()):
            raise Conflict("The job began meanwhile.", remedy="Try again when it has ended.")

    async def _job(self, job: str) -> OutboxJob:
        seq, _, position = job.partition("-")
        if not (seq.isascii() and seq.isdigit() and position.isascii() and position.isdigit() and len(job) < 30):
            raise InvalidInput("A job's id is two numbers with a hyphen between.", field="job")
        found = await self.core.storage.outbox.job(int(seq), int(position), self.core.clock.now())
        if found is None:
            raise NotFound("There is no such job, or it is done.", remedy="`wattpact jobs list` shows all.")
        return found


def _view(job: OutboxJob) -> JobView:
    item = job.item
    return JobView.model_validate(
        {
            "id": f"{item.seq}-{item.position}",
            "kind": type(item.effect).__name__,
            "about": item.lane.rpartition("/")[0],
            "state": job.state,
            "attempts": item.attempts,
            "created_at": item.created_at,
            "due_at": job.due_at,
            "error": item.reason,
        }
    )
