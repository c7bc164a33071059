"""Where the contracts live: one JSON file for each chain.

    {"version": 1, "chain_id": 31337,
     "contracts": {"ConsentRegistry": {"address": "0x...", "block": 1, "transaction": "0x...", "salt": "0x..."}}}

Well-known chains ship in `contracts/deployments/<chain id>.json`; a devnet's file lies wherever it was started.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from contracts.artifact import REGISTRY
from contracts.errors import DeploymentError

__all__ = ["Deployment", "DeploymentFile", "known_deployments", "read_deployments", "write_deployments"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """One contract on one chain; `block` is where its events begin, `transaction` and `salt` have 32 bytes."""

    address: bytes
    block: int
    transaction: bytes
    salt: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class DeploymentFile:
    """The contracts on one chain, by name."""

    chain_id: int
    contracts: Mapping[str, Deployment]

    @property
    def registry(self) -> Deployment:
        """The ConsentRegistry. Raises DeploymentError where there is none."""
        return self.find(REGISTRY)

    def find(self, name: str) -> Deployment:
        """A contract by name. Raises DeploymentError where there is none."""
        if name not in self.contracts:
            raise DeploymentError(f"no {name} is deployed on chain {self.chain_id}")
        return self.contracts[name]


def _unhex(value: object, size: int) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("expected hex with 0x")
    raw = bytes.fromhex(value[2:])
    if len(raw) != size:
        raise ValueError(f"expected {size} bytes, found {len(raw)}")
    return raw


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("expected a whole number")
    return value


def _parse(text: str, origin: str) -> DeploymentFile:
    try:
        document: dict[str, Any] = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']} is not {VERSION}")
        contracts = {
            str(name): Deployment(
                address=_unhex(entry["address"], 20),
                block=_count(entry["block"]),
                transaction=_unhex(entry["transaction"], 32),
                salt=_unhex(entry.get("salt", "0x" + "00" * 32), 32),
            )
            for name, entry in document["contracts"].items()
        }
        return DeploymentFile(chain_id=_count(document["chain_id"]), contracts=contracts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeploymentError(f"{origin}: not a deployment file: {error}") from error


def read_deployments(path: Path, chain_id: int | None = None) -> DeploymentFile:
    """Read a deployment file; with `chain_id`, one of that chain only. Raises DeploymentError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DeploymentError(f"{path}: {error}") from error
    found = _parse(text, str(path))
    if chain_id is not None and found.chain_id != chain_id:
        raise DeploymentError(f"{path}: is of chain {found.chain_id}, not {chain_id}")
    return found


def known_deployments(chain_id: int) -> DeploymentFile:
    """Return what ships with the package for a chain. Raises DeploymentError."""
    shipped = files("contracts") / "deployments" / f"{chain_id}.json"
    if not shipped.is_file():
        raise DeploymentError(f"no deployment on chain {chain_id} is known: deploy, or name the file of one")
    found = _parse(shipped.read_text(), f"{chain_id}.json")
    if found.chain_id != chain_id:
        raise DeploymentError(f"{chain_id}.json: is of chain {found.chain_id}")
    return found


def write_deployments(path: Path, deployments: DeploymentFile) -> None:
    """Write a deployment file so that a reader sees either the old one or the new one whole."""
    document = {
        "version": VERSION,
        "chain_id": deployments.chain_id,
        "contracts": {
            name: {
                "address": "0x" + entry.address.hex(),
                "block": entry.block,
                "transaction": "0x" + entry.transaction.hex(),
                "salt": "0x" + entry.salt.hex(),
            }
            for name, entry in sorted(deployments.contracts.items())
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.write_text(json.dumps(document, indent=1) + "\n")
    beside.replace(path)
