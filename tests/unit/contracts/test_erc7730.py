"""ERC-7730: every field of every message that a person signs is shown (contracts.md, Rules for all messages)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTOR = json.loads((ROOT / "contracts" / "erc7730" / "eip712-ConsentRegistry.json").read_text())
VECTORS = json.loads((ROOT / "tests" / "vectors" / "eip712.json").read_text())
TYPES = {vector["primaryType"]: vector["fields"] for vector in VECTORS["vectors"]}
# Commits are signed by a device's writer key, all day long; no person ever sees one.
BY_MACHINES = {"StreamCommit"}
SHOWN_AS = {"address": "addressName", "bytes32": "raw", "bytes32[]": "raw", "uint256": "raw"}


def test_it_binds_to_our_domain() -> None:
    assert DESCRIPTOR["context"]["eip712"]["domain"] == {
        "name": VECTORS["domain"]["name"],
        "version": VECTORS["domain"]["version"],
    }


def test_every_message_that_a_person_signs_is_described() -> None:
    wanted = set(TYPES) - BY_MACHINES
    assert set(DESCRIPTOR["display"]["formats"]) == wanted
    assert {schema["primaryType"] for schema in DESCRIPTOR["context"]["eip712"]["schemas"]} == wanted


@pytest.mark.parametrize("name", sorted(set(TYPES) - BY_MACHINES))
def test_every_field_is_shown(name: str) -> None:
    (schema,) = (s for s in DESCRIPTOR["context"]["eip712"]["schemas"] if s["primaryType"] == name)
    assert schema["types"][name] == TYPES[name]
    shown = DESCRIPTOR["display"]["formats"][name]
    paths = [field["path"] for field in shown["fields"]]
    wanted = [field["name"] + (".[]" if field["type"].endswith("[]") else "") for field in TYPES[name]]
    assert sorted(paths) == sorted(wanted)
    assert shown["required"] == paths
    assert "excluded" not in shown
    labels = [field["label"] for field in shown["fields"]]
    assert len(set(labels)) == len(labels)
    assert shown["intent"]


@pytest.mark.parametrize("name", sorted(set(TYPES) - BY_MACHINES))
def test_every_field_is_shown_as_what_it_is(name: str) -> None:
    kinds = {field["name"]: field["type"] for field in TYPES[name]}
    for field in DESCRIPTOR["display"]["formats"][name]["fields"]:
        path = field["path"].removesuffix(".[]")
        if kinds[path] == "uint40":
            assert field["format"] == "date"
            assert field["params"] == {"encoding": "timestamp"}
        elif path == "slotSeconds":
            assert field["format"] == "duration"
        elif path == "purposeTag":
            assert field["format"] == "raw"
        else:
            assert field["format"] == SHOWN_AS[kinds[path]]
