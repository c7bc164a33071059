"""Deterministic deployment: the same code and salt give the same address on every chain, whoever sends the transaction.

The factory is the deterministic deployment proxy that most chains have and anvil is born with; its calldata is
`salt || creation code`. Address: EIP-1014.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.crypto import keccak

from contracts.artifact import REGISTRY, creation_code

__all__ = ["DEPLOYMENT_PROXY", "PROXY_RUNTIME_CODE", "DeploymentCall", "create2_address", "deployment_call"]

DEPLOYMENT_PROXY = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")

# Its whole code, to be compared before use: create2(value, calldata[32:], salt = calldata[:32]), revert on failure.
PROXY_RUNTIME_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)


@dataclass(frozen=True, slots=True)
class DeploymentCall:
    """A transaction that deploys: send `data` to `to` with no value, then find the code at `address`."""

    to: bytes
    data: bytes
    address: bytes


def create2_address(salt: bytes, code: bytes, factory: bytes = DEPLOYMENT_PROXY) -> bytes:
    """Return the 20-byte address at which `factory` creates `code` under a 32-byte salt."""
    if len(salt) != 32:
        raise ValueError("a CREATE2 salt has 32 bytes")
    return bytes(keccak(b"\xff" + factory + salt + keccak(code)))[12:]


def deployment_call(name: str = REGISTRY, salt: bytes = bytes(32), arguments: bytes = b"") -> DeploymentCall:
    """Return the transaction that deploys a contract through the proxy. Raises ArtifactError.

    `arguments` are those of the constructor as the bindings' `encode_constructor` gives them; they are part of the
    address. If code is already at the address, it is deployed: the proxy cannot put anything else there.
    """
    code = creation_code(name) + arguments
    return DeploymentCall(to=DEPLOYMENT_PROXY, data=salt + code, address=create2_address(salt, code))
