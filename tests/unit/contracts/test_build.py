"""Artifacts and bindings are rebuilt without a difference; the compiler answers both programs that drive it."""

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
    "contracts/artifacts/ConsentRegistry.json",
    "contracts/artifacts/checksums.json",
    "contracts/bindings/consent_registry/events.py",
]
SOLC = ROOT / "scripts" / "solc"


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def test_the_committed_build_is_what_the_sources_give_and_a_difference_is_named(tmp_path: Path) -> None:
    """One build for both: of a copy with two changes exactly these are named, so everything else is as committed.

    What the one changed contract is without the change: `test_forge_and_the_artifact_are_the_same_bytecode`.
    """
    for name in ("contracts", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "contracts" / "bindings" / "consent_registry" / "events.py").write_text("")
    source = tmp_path / "contracts" / "src" / "ConsentRegistry.sol"
    source.write_text(source.read_text().replace('"1") { }', '"2") { }'))
    done = run(str(tmp_path / "scripts" / "build_contracts"), "--check", cwd=tmp_path)
    assert done.returncode == 1
    named = sorted(word for word in re.findall(r"contracts/[\w./]+", done.stdout) if Path(word).suffix)
    assert named == CHANGED, done.stdout + done.stderr


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


def test_forge_and_the_artifact_are_the_same_bytecode(tmp_path: Path) -> None:
    """Into a folder of its own: the Solidity tests may be compiling at the same time."""
    built = tmp_path / "out" / "ConsentRegistry.sol" / "ConsentRegistry.json"
    folders = ("--out", str(tmp_path / "out"), "--cache-path", str(tmp_path / "cache"))
    done = run(str(ROOT / "scripts" / "forge"), "build", "contracts/src/ConsentRegistry.sol", *folders)
    assert done.returncode == 0, done.stdout + done.stderr
    artifact = json.loads((ROOT / "contracts" / "artifacts" / "ConsentRegistry.json").read_text())
    assert json.loads(built.read_text())["bytecode"]["object"] == artifact["bytecode"]


@pytest.mark.parametrize("name", ["anvil", "cast", "forge", "solc", "@openzeppelin/contracts"])
def test_the_tools_are_pinned(name: str) -> None:
    document = json.loads((ROOT / "package.json").read_text())
    wanted = document["devDependencies"][name if name in ("solc", "@openzeppelin/contracts") else f"@foundry-rs/{name}"]
    assert wanted[0].isdigit(), "an exact version"
