"""The simulator must not know the reader, or it could only ever confirm it."""

from __future__ import annotations

import ast
from pathlib import Path

SIMULATOR = Path(__file__).resolve().parents[4] / "node" / "services" / "simulator"


def test_nothing_of_the_meter_service_is_imported() -> None:
    files = sorted(SIMULATOR.glob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith(("node.services.meter", "dsmr_parser")), path
            if isinstance(node, ast.Import):
                assert not any(a.name.startswith(("node.services.meter", "dsmr_parser")) for a in node.names), path
