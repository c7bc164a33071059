"""Findings of the checks: a name, whether it is well, what was found, what to do."""

from __future__ import annotations

from node.cli.factories import Finding
from node.errors import NodeError

__all__ = ["broken", "failed", "noted", "well"]


def well(name: str, detail: str) -> Finding:
    return Finding(name, True, detail)


def broken(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, False, detail, remedy)


def noted(name: str, detail: str, remedy: str) -> Finding:
    """Well as far as can be seen from here; somebody has to know whether it is."""
    return Finding(name, True, detail, remedy)


def failed(name: str, error: NodeError, remedy: str = "") -> Finding:
    """What went wrong, with the error's own advice unless there is better."""
    return Finding(name, False, error.message, remedy or error.remedy)
