"""jobs list, retry, cancel: what the node has to do, and what it could not."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from node.cli.output import Column, Output
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_time
from node.errors import UsageError

__all__ = ["add_job_commands"]

_JOBS: Final[tuple[Column, ...]] = (
    ("id", "id"),
    ("job", "kind"),
    ("state", "state"),
    ("tries", "attempts"),
    ("since", lambda row: show_time(row.get("created_at"))),
    ("error", "error"),
)
_DONE: Final[tuple[Column, ...]] = (("job", "id"), ("state", "state"))
_Job = Annotated[str, typer.Argument(help="Id of a job, as `wattpact jobs list` shows it.")]


def add_job_commands(app: typer.Typer) -> None:
    """The group `jobs`."""
    group = typer.Typer(help="What this node has to do, and what it could not.", no_args_is_help=True)
    app.add_typer(group, name="jobs")

    @group.command(name="list", help="Failed jobs first, with their errors.\n\n  wattpact jobs list --state failed")
    @guarded
    def list_jobs(
        context: typer.Context,
        state: Annotated[str | None, typer.Option(help="queued, running or failed.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        query = f"?state={state}" if state in ("queued", "running", "failed") else ""
        if state is not None and not query:
            raise UsageError("A job is queued, running or failed.", remedy="wattpact jobs list --state failed")
        rows = session_of(context).client().get(f"/jobs{query}")["items"]
        Output(as_json).many(rows, _JOBS, "There is nothing to do.")

    @group.command(help="Try a failed job again, from the beginning.\n\n  wattpact jobs retry 812-0")
    @guarded
    def retry(context: typer.Context, job: _Job, as_json: JsonFlag = False) -> None:
        session_of(context).client().post(f"/jobs/{_checked(job)}/retry")
        Output(as_json).one({"id": job, "state": "queued"}, _DONE)

    @group.command(help="Do not try a job any more.\n\n  wattpact jobs cancel 812-0")
    @guarded
    def cancel(context: typer.Context, job: _Job, as_json: JsonFlag = False) -> None:
        session_of(context).client().post(f"/jobs/{_checked(job)}/cancel")
        Output(as_json).one({"id": job, "state": "called off"}, _DONE)


def _checked(job: str) -> str:
    if not re.fullmatch(r"\d{1,18}-\d{1,9}", job):
        raise UsageError("A job's id is two numbers with a hyphen.", remedy="`wattpact jobs list` shows ids.")
    return job
