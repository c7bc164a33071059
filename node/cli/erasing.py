"""consent erase and stream erase: what was read under a consent that is over goes, or what a gateway wrote; signed
receipts say so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import parse_time, show_time
from node.errors import NotFound, UsageError

__all__ = ["add_erasure_commands", "add_past_commands"]


def _went(row: Mapping[str, Any]) -> str:
    went = f"{short(row['sid'])} {row['readings']} readings, {row['envelopes']} envelopes"
    return f"{went}; commit {row['epoch']} stays" if row["epoch"] else went


_ERASURE: Final[tuple[Column, ...]] = (
    ("grant", "grant_id"),
    ("state", "state"),
    ("asked by", "requested_by"),
    ("reason", "reason"),
    ("asked", lambda row: show_time(row["asked_at"])),
    ("receipt of", lambda row: show_time(row["done_at"])),
    ("erased", lambda row: [_went(each) for each in row["receipt"]["receipt"]["streams"]] if row["receipt"] else []),
)


def _past(row: Mapping[str, Any]) -> list[str]:
    """What the gateway says that it destroyed."""
    if not row["receipt"]:
        return []
    told = row["receipt"]["receipt"]
    stays = f"commit {told['epoch']} stays on chain" if told["epoch"] else "there was no commit"
    return [
        f"{told['envelopes']} envelopes, {told['checkpoints']} checkpoints, {told['capsules']} capsules",
        f"{told['keys']} keys, in {told['copies']} stores; {stays}",
    ]


_PAST: Final[tuple[Column, ...]] = (
    ("stream", "sid"),
    ("state", "state"),
    ("before", lambda row: show_time(row["before"]) if row["before"] is not None else "everything by then"),
    ("reason", "reason"),
    ("asked", lambda row: show_time(row["asked_at"])),
    ("receipt of", lambda row: show_time(row["done_at"])),
    ("erased", _past),
    ("readers", lambda _row: "keep what they have read: `wattpact consent erase` asks them to destroy it"),
)


def _receipt(found: Mapping[str, Any], why_not: str) -> Any:
    """The signed receipt of an erasure. Raises NotFound while there is none."""
    if found["receipt"] is None:
        raise NotFound("There is no receipt yet.", remedy=why_not)
    return found["receipt"]


def add_erasure_commands(group: typer.Typer) -> None:
    """Adds to the commands of `consent`."""

    @group.command(
        help="Erase what was read under a consent that is over: here, or at the node that read (either side).\n\n"
        "  wattpact consent erase 0x3fa1c2 --reason 'We moved out'"
    )
    @guarded
    def erase(
        context: typer.Context,
        grant_id: Annotated[str, typer.Argument(help="Grant id, or its beginning.")],
        reason: Annotated[str, typer.Option(help="Part of the receipt.")] = "",
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.items("/consents"), "grant_id", grant_id, "consent")
        confirm("Erase what was read under this consent, for good?", yes)
        answer = client.post(f"/consents/{found['grant_id']}/erase", {"reason": reason})
        Output(as_json).one(answer, _ERASURE)

    @group.command(
        help="How far an erasure is. --receipt prints the signed receipt, for `wattpact verify-receipt`.\n\n"
        "  wattpact consent erasure 0x3fa1c2 --receipt > receipt.json"
    )
    @guarded
    def erasure(
        context: typer.Context,
        grant_id: Annotated[str, typer.Argument(help="Grant id, or its beginning.")],
        receipt: Annotated[bool, typer.Option("--receipt", help="Print only the signed receipt.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        consent = pick(client.items("/consents"), "grant_id", grant_id, "consent")
        found = client.get(f"/consents/{consent['grant_id']}/erasure")
        if receipt:
            Output(as_json).document(_receipt(found, "The node that read has not answered."))
        else:
            Output(as_json).one(found, _ERASURE)


def add_past_commands(group: typer.Typer) -> None:
    """Adds to the commands of `stream`."""

    @group.command(
        help="Destroy a stream's past: at its gateway with the keys to it, in every copy, and here (home).\n\n"
        "What was delivered late counts to the day on which it was sealed. Readers keep what they have read: "
        "`wattpact consent erase`. Backups made before still hold it: make a new one, and destroy the others.\n\n"
        "  wattpact stream erase electricity/1s --before 2026-01-01\n\n"
        "  wattpact stream erase 0x91ab02 --all --reason 'We moved out'"
    )
    @guarded
    def erase(
        context: typer.Context,
        stream: Annotated[str, typer.Argument(help="Name such as electricity/1s, or sid, or its beginning.")],
        before: Annotated[str | None, typer.Option(help="Everything that was sealed before this day or time.")] = None,
        everything: Annotated[bool, typer.Option("--all", help="Everything that is sealed by now.")] = False,
        reason: Annotated[str, typer.Option(help="Part of the receipt, which the readers get as well.")] = "",
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        if (before is None) != everything:
            raise UsageError("Say either --before and a day, or --all.", field="before")
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        until = None if before is None else parse_time(before, int(time.time()), "--before")
        what = "everything" if until is None else f"everything before {show_time(until)}"
        name = found.get("name") or found["sid"]
        confirm(f"Erase {what} of {name}, for good? Readers keep what they have read.", yes)
        answer = client.post(
            f"/streams/{found['sid']}/erase", {"before": until, "everything": everything, "reason": reason}
        )
        Output(as_json).one(answer, _PAST)

    @group.command(
        help="How far the erasure of a stream's past is. --receipt prints the signed receipt, for "
        "`wattpact verify-receipt`.\n\n"
        "  wattpact stream erasure electricity/1s --receipt > receipt.json"
    )
    @guarded
    def erasure(
        context: typer.Context,
        stream: Annotated[str, typer.Argument(help="Name such as electricity/1s, or sid, or its beginning.")],
        receipt: Annotated[bool, typer.Option("--receipt", help="Print only the signed receipt.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        chosen = pick(client.get("/streams")["items"], "sid", stream, "stream")
        found = client.get(f"/streams/{chosen['sid']}/erasure")
        if receipt:
            Output(as_json).document(_receipt(found, "The gateway has not answered."))
        else:
            Output(as_json).one(found, _PAST)
