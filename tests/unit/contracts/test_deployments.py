"""Deployment files: written whole, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contracts import (
    Deployment,
    DeploymentError,
    DeploymentFile,
    known_deployments,
    read_deployments,
    write_deployments,
)

FILE = DeploymentFile(31337, {"ConsentRegistry": Deployment(b"\xaa" * 20, 3, b"\x11" * 32, b"\x22" * 32)})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "31337.json"
    write_deployments(path, FILE)
    assert read_deployments(path) == FILE
    assert read_deployments(path, 31337).registry.block == 3
    assert [entry.name for entry in path.parent.iterdir()] == ["31337.json"]
    assert json.loads(path.read_text())["version"] == 1


def test_the_chain_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_deployments(path, FILE)
    with pytest.raises(DeploymentError, match="31337, not 1"):
        read_deployments(path, 1)


def test_a_file_without_the_registry_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_deployments(path, DeploymentFile(5, {}))
    with pytest.raises(DeploymentError, match="chain 5"):
        _ = read_deployments(path).registry


def break_it(document: dict[str, Any], how: str) -> None:
    entry = document["contracts"]["ConsentRegistry"]
    if how == "version":
        document["version"] = 2
    elif how == "chain":
        document["chain_id"] = "31337"
    elif how == "address":
        entry["address"] = entry["address"][:-2]
    elif how == "prefix":
        entry["address"] = entry["address"][2:]
    elif how == "block":
        entry["block"] = -1
    elif how == "truth":
        entry["block"] = True
    elif how == "hash":
        del entry["transaction"]
    else:
        document["contracts"] = []


@pytest.mark.parametrize("how", ["version", "chain", "address", "prefix", "block", "truth", "hash", "list"])
def test_anything_else_is_refused(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.json"
    write_deployments(path, FILE)
    document = json.loads(path.read_text())
    break_it(document, how)
    path.write_text(json.dumps(document))
    with pytest.raises(DeploymentError, match=r"x\.json"):
        read_deployments(path)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="nowhere"):
        read_deployments(tmp_path / "nowhere.json")
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DeploymentError, match=r"x\.json"):
        read_deployments(path)
    path.write_text("[")
    with pytest.raises(DeploymentError, match=r"x\.json"):
        read_deployments(path)


def test_unknown_chains_are_told_what_to_do() -> None:
    with pytest.raises(DeploymentError, match="deploy"):
        known_deployments(987_654_321)
