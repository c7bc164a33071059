"""ERC-7730: every field of every message that a person signs is shown (contracts.md, Rules for all messages)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "contracts" / "erc7730"
VECTORS = json.loads((ROOT / "tests" / "vectors" / "eip712.json").read_text())["contracts"]
# What no person ever sees: a device's key signs commits, readings and counters all day long, and a claim needs no
# signature.
BY_MACHINES = {"StreamCommit", "Reading", "ClaimEnergy", "Counter"}
# Those whose descriptors are there.
DESCRIBED = [path.stem.removeprefix("eip712-") for path in sorted(FOLDER.glob("eip712-*.json"))]
DESCRIPTORS = {name: json.loads((FOLDER / f"eip712-{name}.json").read_text()) for name in DESCRIBED}
TYPES = {name: {case["primaryType"]: case["fields"] for case in VECTORS[name]["vectors"]} for name in DESCRIBED}
MESSAGES = [(name, kind) for name in DESCRIBED for kind in sorted(set(TYPES[name]) - BY_MACHINES)]
each_message = pytest.mark.parametrize(("contract", "name"), MESSAGES)


def test_every_contract_whose_messages_a_person_signs_has_a_descriptor() -> None:
    assert set(DESCRIBED) == set(VECTORS)


@pytest.mark.parametrize("contract", DESCRIBED)
def test_it_binds_to_our_domain(contract: str) -> None:
    domain = VECTORS[contract]["domain"]
    wanted = {"name": domain["name"], "version": domain["version"]}
    assert DESCRIPTORS[contract]["context"]["eip712"]["domain"] == wanted


@pytest.mark.parametrize("contract", DESCRIBED)
def test_every_message_that_a_person_signs_is_described(contract: str) -> None:
    wanted = set(TYPES[contract]) - BY_MACHINES
    descriptor = DESCRIPTORS[contract]
    assert set(descriptor["display"]["formats"]) == wanted
    assert {schema["primaryType"] for schema in descriptor["context"]["eip712"]["schemas"]} == wanted


@each_message
def test_every_field_is_shown(contract: str, name: str) -> None:
    (schema,) = (s for s in DESCRIPTORS[contract]["context"]["eip712"]["schemas"] if s["primaryType"] == name)
    assert schema["types"][name] == TYPES[contract][name]
    shown = DESCRIPTORS[contract]["display"]["formats"][name]
    paths = [field["path"] for field in shown["fields"]]
    wanted = [field["name"] + (".[]" if field["type"].endswith("[]") else "") for field in TYPES[contract][name]]
    assert sorted(paths) == sorted(wanted)
    assert shown["required"] == paths
    assert "excluded" not in shown
    labels = [field["label"] for field in shown["fields"]]
    assert len(set(labels)) == len(labels)
    assert shown["intent"]


@each_message
def test_every_field_is_shown_as_what_it_is(contract: str, name: str) -> None:
    kinds = {field["name"]: field["type"] for field in TYPES[contract][name]}
    for field in DESCRIPTORS[contract]["display"]["formats"][name]["fields"]:
        path = field["path"].removesuffix(".[]")
        if kinds[path] == "uint40" or path == "deadline":
            assert field["format"] == "date"
            assert field["params"] == {"encoding": "timestamp"}
        elif path == "slotSeconds":
            assert field["format"] == "duration"
        elif (name, path) == ("Permit", "value"):
            assert field["format"] == "tokenAmount"
        else:
            assert field["format"] == ("addressName" if kinds[path] == "address" else "raw")
