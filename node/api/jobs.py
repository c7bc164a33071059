"""What the node has to do and what it could not: the jobs of its outbox, to look at, to try again, to call off."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import Field

from node.api.operations import Answer, Call, Operation, Parameter
from node.api.values import UnixTime, View
from node.api.views import Items
from node.errors import NotFound

__all__ = ["JOB_OPERATIONS", "DashboardView", "JobView", "JobsFacade"]


class JobView(View):
    """One job: something to be sent, to be brought onto the chain, or to be told to a part of this node."""

    id: str = Field(description="number of the event that led to it, and its place among that event's jobs")
    kind: str = Field(description="what is done: SendParcel, SubmitMessage, ...")
    about: str = Field(description="what it concerns: trade/<id>, submission/<digest>, ...")
    state: Literal["queued", "running", "failed"]
    attempts: int
    created_at: UnixTime
    due_at: UnixTime
    error: str = Field(description="why the last attempt failed; empty before the first failure")


class DashboardView(Items[JobView]):
    """Some jobs, and how many there are in all."""

    waiting: int = Field(description="jobs that are queued or running")
    failed: int = Field(description="jobs that a person has to look at")
    oldest_at: UnixTime | None = Field(description="when the oldest that waits came about; null where none does")


class JobsFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def jobs(self, state: str | None, limit: int) -> tuple[JobView, ...]:
        """The newest first; without a state those that failed come first."""
        ...

    async def dashboard(self) -> DashboardView:
        """The same for whoever may look from outside. Raises Refused while the owner has it switched off."""
        ...

    async def retry(self, job: str) -> None:
        """A failed job from the beginning. Raises NotFound, Conflict."""
        ...

    async def cancel(self, job: str) -> None:
        """A job that has not succeeded yet is not tried any more. Raises NotFound, Conflict."""
        ...


def _facade(call: Call) -> JobsFacade:
    found = getattr(call.settlement, "jobs", None)
    if found is None:
        raise NotFound("This node shows no jobs.")
    facade: JobsFacade = found
    return facade


async def _jobs(call: Call) -> Items[JobView]:
    found = await _facade(call).jobs(call.values.get("state"), call.values.get("limit", 100))
    return Items(items=found)


async def _dashboard(call: Call) -> DashboardView:
    return await _facade(call).dashboard()


async def _retry(call: Call) -> Answer:
    await _facade(call).retry(call.values["job"])
    return Answer(None)


async def _cancel(call: Call) -> Answer:
    await _facade(call).cancel(call.values["job"])
    return Answer(None)


_API = "/api/v1"
_JOB = Parameter("job", "text", "id of a job", "path")

# fmt: off
JOB_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/asset/dashboard", "assetDashboard", "admin", "Jobs of the asset's node, if switched on (M-10)",
              _dashboard, DashboardView, tag="marketplace"),
    Operation("GET", f"{_API}/jobs", "listJobs", "admin", "What waits, runs or failed (M-69)", _jobs, Items[JobView],
              parameters=(Parameter("state", "text", "queued, running or failed"),
                          Parameter("limit", "count", "at most 10000; 100 by default"))),
    Operation("POST", f"{_API}/jobs/{{job}}/retry", "retryJob", "admin", "Try a failed job again", _retry, None,
              status=204, parameters=(_JOB,)),
    Operation("POST", f"{_API}/jobs/{{job}}/cancel", "cancelJob", "admin", "Do not try a job any more", _cancel, None,
              status=204, parameters=(_JOB,)),
)
# fmt: on
