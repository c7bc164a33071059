"""contracts.md, Proof: a Foundry file for each function, every error met in a test, every message among the vectors."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from contracts import load_artifact

ROOT = Path(__file__).resolve().parents[3]
SRC = ROOT / "contracts" / "src"
TESTS = sorted((ROOT / "contracts" / "test").rglob("*.sol"))
CONTRACTS = sorted(path.stem for path in SRC.glob("*.sol"))
# Functions of the standards, which OpenZeppelin gives: their tests are in the file of the standard.
STANDARD = {
    "approve": "Transfer",
    "permit": "Transfer",
    "transferFrom": "Transfer",
    "mint": "DevToken",
    "setOperator": "TransferShares",
}


def changing(contract: str) -> set[str]:
    """The functions of a contract that can change state."""
    return {
        str(entry["name"])
        for entry in load_artifact(contract).abi
        if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
    }


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_function_that_changes_state_has_its_file(contract: str) -> None:
    functions = changing(contract)
    assert functions
    files = {path.name.removesuffix(".t.sol"): path.read_text() for path in TESTS if path.name.endswith(".t.sol")}
    for function in functions:
        name = STANDARD.get(function, function[0].upper() + function[1:])
        assert name in files, f"{contract}.{function}"
        assert re.search(r"function test\w*\(", files[name]), name


def errors() -> set[str]:
    """The errors of the contracts' own, by name."""
    found: set[str] = set()
    for path in (SRC / "libraries").glob("*Errors.sol"):
        found |= set(re.findall(r"^    error (\w+)\(", path.read_text(), re.MULTILINE))
    return found


def test_every_error_is_expected_by_a_test() -> None:
    assert len(errors()) > 80
    expected = set(re.findall(r"Errors\.(\w+)\.selector", "".join(path.read_text() for path in TESTS)))
    assert errors() - expected == set()


def test_every_error_is_used() -> None:
    code = "".join(path.read_text() for path in SRC.rglob("*.sol"))
    used = set(re.findall(r"Errors\.(\w+)(?:\(|\.selector)", code))
    assert errors() - used == set()


def test_every_message_is_among_the_vectors() -> None:
    """contracts.md: Python and Solidity share the EIP-712 vectors."""
    types = set()
    for path in (SRC / "libraries").glob("*Messages.sol"):
        types |= set(re.findall(r'"([A-Z]\w+\([^"]*\))"', path.read_text()))
    assert len(types) > 30
    vectors = json.loads((ROOT / "tests" / "vectors" / "eip712.json").read_text())["contracts"]
    told = {case["type"] for contract in vectors.values() for case in contract["vectors"]}
    assert types - told == set()


def test_what_is_short_by_default_is_long_in_the_long_run() -> None:
    """A setting beside a test for the default profile counts in the others too, unless it is said for them as well."""
    shortened = 0
    for path in TESTS:
        lines = path.read_text().splitlines()
        for line, below in pairwise(lines):
            found = re.search(r"forge-config: default\.(fuzz|invariant)\.runs = \d+", line)
            if found is None:
                continue
            shortened += 1
            most = {"fuzz": 10_000, "invariant": 128}[found[1]]
            assert below.strip() == f"/// forge-config: long.{found[1]}.runs = {most}", path.name
    assert shortened
