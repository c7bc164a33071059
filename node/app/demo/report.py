"""What the run found, as a table for people and as `report.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.app.demo.checks import Check
from node.app.demo.checks.base import (
    commits,
    envelopes,
    first_revocation,
    grant_of,
    opened_after_revocation,
    removal,
)
from node.app.demo.evidence import Evidence
from node.app.demo.gas import gas_by_message

__all__ = ["build_report", "show_report", "summary", "write_report"]

VERSION = 1


def summary(evidence: Evidence) -> dict[str, Any]:
    """What the evidence shows in numbers, as plain values."""
    return {
        "providers": {letter: _provider(evidence, letter) for letter in sorted(evidence.providers)},
        "streams": {name: _stream(evidence, sid) for sid, name in evidence.setting.names.items()},
        "gas": gas_by_message(evidence),
        "times": _times(evidence),
    }


def build_report(numbers: dict[str, Any], checks: Sequence[Check]) -> dict[str, Any]:
    """The whole report: the verdicts, then the numbers."""
    return {
        "version": VERSION,
        "ok": bool(checks) and all(check.ok for check in checks),
        "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
        **numbers,
    }


def _provider(evidence: Evidence, letter: str) -> dict[str, Any]:
    provider, grant = evidence.providers[letter], grant_of(evidence, letter)
    setting = evidence.setting
    streams = {}
    newest = max((e.slot for sid in setting.names for e in envelopes(evidence, sid)), default=0)
    for sid, name in setting.names.items():
        readings = provider.readings.get(sid, ())
        read = {reading.slot for reading in readings}
        published = {envelope.slot for envelope in envelopes(evidence, sid)}
        granted: list[int] = []
        if grant is not None and sid in grant.sids:
            low, high = grant.slots(setting.genesis, setting.slot_seconds)
            granted = [low, max(low, min(high, newest + 1))]
        streams[name] = {
            "granted_slots": granted,
            "slots_granted": granted[1] - granted[0] if granted else 0,
            "slots_read": len(read),
            "slots_refused": len(published - read),
            "readings": len(readings),
        }
    found: dict[str, Any] = {
        "grant": None if provider.grant_id is None else "0x" + provider.grant_id.hex(),
        "streams": streams,
        "refusals": list(provider.refusals),
    }
    harvest = evidence.harvests.get(letter)
    if harvest is not None:
        found["key_material"] = {
            "secrets": len(harvest.secrets),
            "states": len(harvest.material),
            "looks": harvest.looks,
        }
    if first_revocation(evidence, letter) is not None:
        later = opened_after_revocation(evidence, letter).values()
        found["envelopes_after_revocation"] = sum(count for count, _ in later)
        found["opened_after_revocation_by_any_key"] = sum(opened for _, opened in later)
    return found


def _stream(evidence: Evidence, sid: bytes) -> dict[str, Any]:
    published = envelopes(evidence, sid)
    rows = [
        {"epoch": c.epoch, "bytes": c.size, "first_slot": c.first_slot, "live_leaves": c.n_live, "wraps": len(c.wraps)}
        for c in sorted(commits(evidence, sid), key=lambda c: c.epoch)
    ]
    return {
        "sid": "0x" + sid.hex(),
        "epochs": len(rows),
        "commits": rows,
        "envelopes": len(published),
        "bytes": sum(len(e.header) + len(e.sealed) for e in published),
        "writer_instances": len({e.inst for e in published}),
    }


def _times(evidence: Evidence) -> dict[str, Any]:
    start = evidence.moments.get("start", 0.0)
    found: dict[str, Any] = {
        "moments_s": {name: round(at - start, 2) for name, at in evidence.moments.items()},
        "outages_s": [
            {"who": o.who, "from": round(o.start - start, 2), "for": round(o.end - o.start, 2)}
            for o in evidence.outages
        ],
    }
    revoked, grant = first_revocation(evidence, "A"), grant_of(evidence, "A")
    if revoked is not None and grant is not None:
        rekey = {}
        for sid in grant.sids:
            gone = removal(evidence, sid)
            if gone is not None:
                old = [e.at for e in envelopes(evidence, sid) if e.epoch < gone.epoch]
                new = [e.at for e in envelopes(evidence, sid) if e.epoch >= gone.epoch]
                rekey[evidence.setting.names.get(sid, "?")] = {
                    "commit": round(gone.at - revoked.seen_at, 3),
                    "last_old": round(max(old) - revoked.seen_at, 3) if old else None,
                    "first_new": round(min(new) - revoked.seen_at, 3) if new else None,
                }
        found["rekey_s_from_block_with_revocation"] = rekey
    return found


def write_report(report: dict[str, Any], path: Path) -> None:
    """One JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show_report(report: dict[str, Any], console: Console) -> None:
    """Providers, then checks."""
    providers = Table("provider", title="Who read what")
    providers.add_column("stream", no_wrap=True)  # cut short, two streams of one meter look alike
    for heading in ("slots granted", "slots read", "slots refused", "readings"):
        providers.add_column(heading, justify="right")
    for letter, row in report["providers"].items():
        for name, stream in row["streams"].items():
            if stream["slots_granted"] or stream["readings"] or name == "electricity/1s":
                numbers = (stream[key] for key in ("slots_granted", "slots_read", "slots_refused", "readings"))
                providers.add_row(letter, name, *(f"{number:,}" for number in numbers))
    console.print(providers)
    table = Table("", "check", "found", title="Checks")
    for check in report["checks"]:
        mark = Text("ok", "green") if check["ok"] else Text("FAIL", "bold red")
        table.add_row(mark, Text(check["name"]), Text(check["detail"]))
    console.print(table)
    after = report["providers"].get("A", {}).get("opened_after_revocation_by_any_key")
    total = report["providers"].get("A", {}).get("envelopes_after_revocation")
    console.print(f"Envelopes after the revocation that any key A ever stored opens: {after} of {total}.")
