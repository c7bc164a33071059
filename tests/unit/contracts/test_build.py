"""Artifacts and bindings that differ from a rebuild are named; the compiler answers both programs that drive it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import solcx

ROOT = Path(__file__).resolve().parents[3]
CHANGED = [
    "contracts/artifacts/DevToken.json",
    "contracts/artifacts/checksums.json",
    "contracts/bindings/consent_registry/events.py",
]
SOLC = ROOT / "scripts" / "solc"


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def tree(tmp_path: Path) -> Path:
    """A copy of what the build reads and writes."""
    for name in ("contracts", "keys", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


def named(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 1, done.stdout + done.stderr
    return sorted(word for word in re.findall(r"contracts/[\w./]+", done.stdout) if Path(word).suffix)


def change(root: Path) -> None:
    source = root / "contracts" / "src" / "DevToken.sol"
    source.write_text(source.read_text().replace("return 6;", "return 7;"))


def test_a_difference_from_what_is_committed_is_named(tmp_path: Path) -> None:
    """Of a copy with two changes exactly these are named. All contracts are compiled by `make check` and, with forge's
    build, by `make test`; here the smallest is, and all bindings are made anew."""
    root = tree(tmp_path)
    (root / "contracts" / "bindings" / "consent_registry" / "events.py").write_text("")
    change(root)
    done = run(str(root / "scripts" / "build_contracts"), "--check", "DevToken", cwd=root)
    assert named(done) == CHANGED, done.stdout + done.stderr


def test_an_unknown_contract_is_refused() -> None:
    done = run(str(ROOT / "scripts" / "build_contracts"), "--check", "DevTokens")
    assert done.returncode == 2
    assert "DevTokens" in done.stderr


def test_the_vectors_are_what_their_maker_gives() -> None:
    assert run(sys.executable, "scripts/make_contracts_vectors.py", "--check").returncode == 0


def test_solc_says_its_version() -> None:
    assert "Version: 0.8.37+commit." in run(str(SOLC), "--version").stdout


def test_py_solc_x_can_drive_it() -> None:
    request = {
        "language": "Solidity",
        "sources": {
            "A.sol": {"content": "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37; contract A {}"}
        },
        "settings": {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    made = solcx.compile_standard(request, solc_binary=SOLC)
    assert made["contracts"]["A.sol"]["A"]["evm"]["bytecode"]["object"].startswith("60")


def test_solc_reads_nothing_from_the_disk() -> None:
    """An import that is not in the input is an error, whatever lies on the disk."""
    request = {
        "language": "Solidity",
        "sources": {"A.sol": {"content": 'import "contracts/src/libraries/Errors.sol";'}},
        "settings": {},
    }
    done = subprocess.run([str(SOLC)], input=json.dumps(request), capture_output=True, text=True, check=True, cwd=ROOT)
    assert any(entry["severity"] == "error" for entry in json.loads(done.stdout)["errors"])


def test_forge_passes_its_exit_code_on() -> None:
    assert run(str(ROOT / "scripts" / "forge"), "--version").returncode == 0
    assert run(str(ROOT / "scripts" / "forge"), "no-such-command").returncode != 0


def test_forge_compiles_for_deployment_only_what_is_deployed() -> None:
    """A pattern would take in more, and all that imports it would be optimised as well: minutes for the tests alone."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    paths = [rule["paths"] for rule in profile["compilation_restrictions"]]
    assert paths == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "contracts" / "src").glob("*.sol"))


def test_forge_builds_what_is_committed_and_is_checked_against_the_sources(tmp_path: Path) -> None:
    """What `make test` asks of forge's whole build, of the smallest contract; other sources or code are refused."""
    root = tree(tmp_path)
    out = root / "build" / "forge"
    done = run(str(root / "scripts" / "forge"), "build", "contracts/src/DevToken.sol", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    check = (str(root / "scripts" / "build_contracts"), "--check", "--built", str(out), "DevToken")
    done = run(*check, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    made = out / "DevToken.sol" / "DevToken.json"
    text = made.read_text()
    made.write_text(text.replace('"object":"0x60', '"object":"0x61', 1))
    assert named(run(*check, cwd=root)) == ["contracts/artifacts/DevToken.json", "contracts/artifacts/checksums.json"]
    made.write_text(text)
    change(root)
    done = run(*check, cwd=root)
    assert done.returncode == 1
    assert "DevToken was built from another contracts/src/DevToken.sol" in done.stderr


@pytest.mark.parametrize("name", ["anvil", "cast", "forge", "solc", "@openzeppelin/contracts"])
def test_the_tools_are_pinned(name: str) -> None:
    document = json.loads((ROOT / "package.json").read_text())
    wanted = document["devDependencies"][name if name in ("solc", "@openzeppelin/contracts") else f"@foundry-rs/{name}"]
    assert wanted[0].isdigit(), "an exact version"
