"""The node that runs with this data folder, if one does: asked over its own REST interface."""

from __future__ import annotations

from typing import Any

from node.app.commands.checks.report import broken, failed, well
from node.cli.client import ApiClient
from node.cli.factories import Finding
from node.config import ACCESS_NAME, Settings, read_access
from node.errors import NodeError

__all__ = ["check_running"]


def check_running(settings: Settings) -> tuple[list[Finding], bool]:
    """The findings, and whether a node answers."""
    folder = settings.node.data_dir
    if not (folder / ACCESS_NAME).exists():
        return [well("node", "not running; `wattpact run` starts it")], False
    try:
        access = read_access(folder)
    except NodeError as error:
        return [failed("node", error)], False
    try:
        answer = ApiClient(access).get("/readiness")
    except NodeError as error:
        remedy = f"If it runs, look into its log; if it was killed, start it again: it writes {ACCESS_NAME} anew."
        return [failed("node", error, remedy)], False
    return [well("node", f"answers at {access.url}"), *_readiness(answer)], True


def _readiness(answer: dict[str, Any]) -> list[Finding]:
    checks = answer.get("checks")
    if not isinstance(checks, list):
        return [broken("node readiness", "the node answers in words we do not know", "Use the command of its version.")]
    return [
        Finding(
            f"node readiness: {check.get('name', '')}",
            check.get("ok") is True,
            str(check.get("detail") or ("ready" if check.get("ok") is True else "not ready")),
            str(check.get("remedy") or "Look into the node's log."),
        )
        for check in checks
        if isinstance(check, dict)
    ]
