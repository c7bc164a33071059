"""Artifacts: what is committed is what is loaded, and nothing else passes (contracts.md, Proof)."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from contracts import ArtifactError, CodeMismatch, load_artifact, verify_runtime_code
from contracts.artifact import read_artifact

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "contracts" / "artifacts"


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "artifacts"))


CONTRACTS = sorted(path.stem for path in (ROOT / "contracts" / "src").glob("*.sol"))
each_contract = pytest.mark.parametrize("name", CONTRACTS)


@each_contract
def test_the_committed_artifact_loads(name: str) -> None:
    artifact = load_artifact(name)
    assert artifact.name == name
    assert artifact.compiler.startswith("0.8.37")
    assert artifact.runtime_code in artifact.creation_code
    assert len(artifact.runtime_code) < 24_576
    assert artifact.immutables


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    path = folder / "ConsentRegistry.json"
    text = path.read_text()
    path.write_text(text.replace('"0x60', '"0x61', 1))
    with pytest.raises(ArtifactError, match="checksum"):
        read_artifact(folder, "ConsentRegistry")


@pytest.mark.parametrize("damage", ["missing", "no checksums", "not json", "not listed"])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = copy(tmp_path)
    sums = folder / "checksums.json"
    if damage == "missing":
        (folder / "ConsentRegistry.json").unlink()
    elif damage == "no checksums":
        sums.unlink()
    elif damage == "not json":
        sums.write_text("{")
    else:
        sums.write_text("[]")
    with pytest.raises(ArtifactError, match="scripts/build_contracts"):
        read_artifact(folder, "ConsentRegistry")


@each_contract
def test_every_source_is_what_the_artifact_was_built_from(name: str) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    for path, digest in document["sources"].items():
        assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest, path


def test_runtime_code_is_compared_without_immutables() -> None:
    artifact = load_artifact()
    code = bytearray(artifact.runtime_code)
    for start, length in artifact.immutables:
        code[start : start + length] = b"\x5a" * length
    verify_runtime_code(bytes(code))


def test_other_code_is_refused() -> None:
    code = bytearray(load_artifact().runtime_code)
    code[100] ^= 1
    with pytest.raises(CodeMismatch):
        verify_runtime_code(bytes(code))
    with pytest.raises(CodeMismatch):
        verify_runtime_code(load_artifact().runtime_code[:-1])
    with pytest.raises(CodeMismatch, match="no code"):
        verify_runtime_code(b"")
