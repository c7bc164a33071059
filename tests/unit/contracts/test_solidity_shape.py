"""style.md 14 and contracts.md, Proof: documented interfaces, short functions, exact pragma, no owner, no upgrade."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import load_artifact

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "contracts" / "src").rglob("*.sol"))
CONTRACT = (ROOT / "contracts" / "src" / "ConsentRegistry.sol").read_text()
INTERFACE = (ROOT / "contracts" / "src" / "interfaces" / "IConsentRegistry.sol").read_text()
MAX_FUNCTION, MAX_FILE = 40, 400


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function with a body."""
    for found in re.finditer(r"^    function (\w+)", text, re.MULTILINE):
        body = text[found.start() :]
        head = body.index(";") if ";" in body.partition("{")[0] else None
        if head is None:
            yield found[1], body[: body.index("\n    }\n")].count("\n") + 2


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE
    long = {name: lines for name, lines in functions(text) if lines > MAX_FUNCTION}
    assert not long


def test_functions_are_found() -> None:
    assert {"grant", "revoke", "batch", "_enter"} <= {name for name, _ in functions(CONTRACT)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_licence_and_pragma(path: Path) -> None:
    first, second, *_ = path.read_text().splitlines()
    assert first == "// SPDX-License-Identifier: Apache-2.0"
    assert second == ("pragma solidity 0.8.37;" if path.name == "ConsentRegistry.sol" else "pragma solidity ^0.8.24;")


def test_every_function_of_the_interface_is_documented() -> None:
    body = INTERFACE[INTERFACE.index("interface IConsentRegistry") :]
    for found in re.finditer(r"^    function (\w+)", body, re.MULTILINE):
        before = body[: found.start()].rstrip().splitlines()
        comment = []
        while before and before[-1].strip().startswith("///"):
            comment.append(before.pop().strip())
        assert any("@notice" in line for line in comment), found[1]


def test_every_event_and_error_is_documented() -> None:
    for name in ("Events", "Errors"):
        text = (ROOT / "contracts" / "src" / "libraries" / f"{name}.sol").read_text()
        for found in re.finditer(r"^    (?:event|error) (\w+)", text, re.MULTILINE):
            above = text[: found.start()].rstrip().splitlines()[-1]
            assert above.strip().startswith("///"), found[1]


def test_the_contract_takes_its_documentation_from_the_interface() -> None:
    outside = re.findall(r"^    (.*)\n    function (\w+)\([^{;]*?\b(?:external|public)\b", CONTRACT, re.MULTILINE)
    assert len(outside) >= 15
    assert {above.strip() for above, _ in outside} == {"/// @inheritdoc IConsentRegistry"}


def test_nothing_is_owned_paid_or_upgradable() -> None:
    """contracts.md: no owner, no upgrade, no trusted forwarder, no role."""
    abi = load_artifact().abi
    assert not [entry for entry in abi if entry["type"] in ("fallback", "receive")]
    assert not [entry for entry in abi if entry.get("stateMutability") == "payable"]
    code = re.sub(r"//.*", "", CONTRACT)
    for word in (
        "onlyOwner",
        "selfdestruct",
        "tx.origin",
        "Ownable",
        "AccessControl",
        "upgrade",
        "ERC2771",
        "assembly",
    ):
        assert word not in code
    # The one delegatecall is to itself.
    assert re.findall(r"(\S+)\.delegatecall\(", code) == ["address(this)"]


def test_assembly_is_where_it_is_explained_only() -> None:
    assert [path.name for path in SOURCES if "assembly (" in path.read_text()] == ["Signatures.sol"]


def test_the_sources_are_formatted() -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "forge"), "fmt", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[:2000]
