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
SRC = ROOT / "contracts" / "src"
CONTRACT = (SRC / "ConsentRegistry.sol").read_text()
DEPLOYED = sorted(path.name for path in SRC.glob("*.sol"))
INTERFACES = sorted((SRC / "interfaces").glob("I*.sol"))
# Where functions with a documented interface are written.
PARTS = [path for part in ("base", "market") for path in sorted((SRC / part).glob("*.sol"))]
# Records and the store of the market are internal throughout.
WITHOUT = {"DevToken.sol", "Guarded.sol", "Market.sol", "MarketStore.sol", "Records.sol"}
IMPLEMENTATIONS = [path for path in [*(SRC / name for name in DEPLOYED), *PARTS] if path.name not in WITHOUT]
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
    assert {"grant", "revoke", "batch", "_reject"} <= {name for name, _ in functions(CONTRACT)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_licence_and_pragma(path: Path) -> None:
    first, second, *_ = path.read_text().splitlines()
    assert first == "// SPDX-License-Identifier: Apache-2.0"
    if path.name in DEPLOYED:
        assert second == "pragma solidity 0.8.37;"
    else:
        # Transient storage as a variable came with 0.8.28.
        assert second == f"pragma solidity ^0.8.{28 if 'transient' in path.read_text().lower() else 24};"


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_function_of_an_interface_is_documented(path: Path) -> None:
    text = path.read_text()
    body = text[text.index(f"\ninterface {path.stem}") :]
    assert re.search(r"^    function (\w+)", body, re.MULTILINE)
    for found in re.finditer(r"^    function (\w+)", body, re.MULTILINE):
        before = body[: found.start()].rstrip().splitlines()
        comment = []
        while before and before[-1].strip().startswith("///"):
            comment.append(before.pop().strip())
        assert any("@notice" in line for line in comment), found[1]


def test_every_event_and_error_is_documented() -> None:
    files = [*(SRC / "libraries").glob("*Events.sol"), *(SRC / "libraries").glob("*Errors.sol")]
    assert len(files) >= 6
    for path in files:
        text = path.read_text()
        for found in re.finditer(r"^    (?:event|error) (\w+)", text, re.MULTILINE):
            above = text[: found.start()].rstrip().splitlines()[-1]
            assert above.strip().startswith("///"), found[1]


@pytest.mark.parametrize("path", IMPLEMENTATIONS, ids=lambda path: path.name)
def test_a_contract_takes_its_documentation_from_its_interface(path: Path) -> None:
    outside = re.findall(
        r"^    (.*)\n(?:    // .*\n)*    function (\w+)\([^{;]*?\b(?:external|public)\b([^{;]*)\{",
        path.read_text(),
        re.MULTILINE,
    )
    assert len(outside) >= 2
    for above, name, rest in outside:
        # What overrides a standard of OpenZeppelin says itself what is different.
        assert above.strip().startswith("/// @inheritdoc I") or "override" in rest, name


def test_nothing_is_owned_paid_or_upgradable() -> None:
    """contracts.md: no owner, no upgrade, no trusted forwarder, no role."""
    for contract in DEPLOYED:
        check_that_nothing_is_owned(contract.removesuffix(".sol"))


def check_that_nothing_is_owned(contract: str) -> None:
    abi = load_artifact(contract).abi
    assert not [entry for entry in abi if entry["type"] in ("fallback", "receive")]
    assert not [entry for entry in abi if entry.get("stateMutability") == "payable"]
    code = re.sub(r"//.*", "", (SRC / f"{contract}.sol").read_text())
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


def test_every_delegatecall_is_to_the_contract_itself() -> None:
    code = "".join(re.sub(r"//.*", "", path.read_text()) for path in SOURCES)
    assert set(re.findall(r"(\S+)\.delegatecall\(", code)) == {"address(this)"}


def test_assembly_is_where_it_is_explained_only() -> None:
    """In libraries of a few lines, beside what it is for; never in a contract."""
    with_assembly = {path.name for path in SOURCES if "assembly (" in path.read_text()}
    assert with_assembly == {
        "Balances.sol",
        "Calldata.sol",
        "EnergyMessages.sol",
        "Entries.sol",
        "Keys.sol",
        "Messages.sol",
        "Nettings.sol",
        "Signers.sol",
        "Words.sol",
    }
    for path in SOURCES:
        blocks = re.findall(r"assembly (.*?)\{", path.read_text())
        assert set(blocks) <= {'("memory-safe") '}, path.name


def test_the_sources_are_formatted() -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "forge"), "fmt", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[:2000]
