"""The committed build output: code, and proof that it is what was committed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from contracts.errors import ArtifactError, CodeMismatch

__all__ = [
    "ENERGY",
    "MONEY",
    "REGISTRY",
    "Artifact",
    "creation_code",
    "load_artifact",
    "read_artifact",
    "verify_runtime_code",
]

REGISTRY = "ConsentRegistry"
ENERGY = "EnergyToken"
MONEY = "DevToken"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    `creation_code` is what a deployment runs, `runtime_code` what it leaves at the address, with the immutables (as
    offset and length in bytes) still zero. `abi` is the parsed JSON.
    """

    name: str
    compiler: str
    creation_code: bytes
    runtime_code: bytes
    immutables: tuple[tuple[int, int], ...]
    abi: tuple[dict[str, Any], ...]


@cache
def load_artifact(name: str = REGISTRY) -> Artifact:
    """Return an artifact that ships with the package, checked against its checksum. Raises ArtifactError."""
    return read_artifact(files("contracts") / "artifacts", name)


def read_artifact(folder: Traversable, name: str) -> Artifact:
    """Return an artifact from a folder that also holds `checksums.json`. Raises ArtifactError."""
    try:
        raw = (folder / f"{name}.json").read_bytes()
        wanted = json.loads((folder / "checksums.json").read_bytes())[f"{name}.json"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"no artifact of {name} with a checksum: run scripts/build_contracts") from error
    if hashlib.sha256(raw).hexdigest() != wanted:
        raise ArtifactError(f"the artifact of {name} is not what its checksum says: run scripts/build_contracts")
    document = json.loads(raw)
    return Artifact(
        name=document["contractName"],
        compiler=document["compiler"]["version"],
        creation_code=bytes.fromhex(document["bytecode"].removeprefix("0x")),
        runtime_code=bytes.fromhex(document["deployedBytecode"].removeprefix("0x")),
        immutables=tuple((place["start"], place["length"]) for place in document["immutableReferences"]),
        abi=tuple(document["abi"]),
    )


def creation_code(name: str = REGISTRY) -> bytes:
    """Return the code that deploys a contract; constructor arguments follow it. Raises ArtifactError."""
    return load_artifact(name).creation_code


def verify_runtime_code(code: bytes, name: str = REGISTRY) -> None:
    """Check the code at an address against the artifact. Raises CodeMismatch.

    The immutables (domain separator and the like) differ from chain to chain and are left out. What they hold is
    verified by asking the contract for its EIP-5267 domain.
    """
    artifact = load_artifact(name)
    if not code:
        raise CodeMismatch(f"there is no code where {name} should be")
    found = bytearray(code)
    if len(found) == len(artifact.runtime_code):
        for start, length in artifact.immutables:
            found[start : start + length] = bytes(length)
    if bytes(found) != artifact.runtime_code:
        raise CodeMismatch(f"the code at the address is not {name} as built by {artifact.compiler}")
