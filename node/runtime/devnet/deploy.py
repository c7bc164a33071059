"""Deploys the contracts on a devnet through the deterministic deployment proxy (EIP-1014)."""

from __future__ import annotations

import asyncio

from contracts.artifact import ENERGY, MONEY, REGISTRY, verify_runtime_code
from contracts.bindings import energy_token
from contracts.create2 import DEPLOYMENT_PROXY, PROXY_RUNTIME_CODE, deployment_call
from contracts.deployments import Deployment
from contracts.errors import CodeMismatch, MalformedData
from node.ledger import wire
from node.ledger.errors import RegistryMismatch
from node.ledger.rpc import Rpc
from node.ledger.views import RegistryViews
from node.runtime.devnet.errors import DeploymentFailed
from node.types import address_to_text

__all__ = ["deploy_contract", "deploy_dev_token", "deploy_energy_token", "deploy_registry"]

_GAS = 12_000_000
_PAUSE = 0.05
_WITHIN = 30.0  # seconds until a deployment is in a block


async def deploy_registry(rpc: Rpc, *, payer: bytes, salt: bytes = bytes(32), within: float = _WITHIN) -> Deployment:
    """Deploy from an unlocked account of the devnet, or find the registry where it already is.

    Raises DeploymentFailed when the proxy is missing or the code is not ours afterwards; RpcError.
    """
    deployment = await deploy_contract(rpc, REGISTRY, payer=payer, salt=salt, within=within)
    try:
        await RegistryViews(rpc, deployment.address, rpc.chain_id).check()
    except RegistryMismatch as error:
        raise DeploymentFailed(f"{address_to_text(deployment.address)}: {error}") from error
    return deployment


async def deploy_dev_token(rpc: Rpc, *, payer: bytes, salt: bytes = bytes(32), within: float = _WITHIN) -> Deployment:
    """Deploy the money of the devnet, of which anybody can make any amount. Raises as ``deploy_registry``."""
    return await deploy_contract(rpc, MONEY, payer=payer, salt=salt, within=within)


async def deploy_energy_token(
    rpc: Rpc, registrar: bytes, *, payer: bytes, salt: bytes = bytes(32), within: float = _WITHIN
) -> Deployment:
    """Deploy the energy token of a community whose sources ``registrar`` (20 bytes) admits.

    The registrar is part of the address. Raises as ``deploy_registry``.
    """
    arguments = energy_token.encode_constructor(registrar)
    deployment = await deploy_contract(rpc, ENERGY, arguments, payer=payer, salt=salt, within=within)
    try:
        found = energy_token.decode_registrar(await rpc.call(deployment.address, energy_token.encode_registrar()))
    except MalformedData as error:
        raise DeploymentFailed(f"{address_to_text(deployment.address)}: {error}") from error
    if found != registrar:
        raise DeploymentFailed(f"{address_to_text(deployment.address)}: the registrar is {address_to_text(found)}")
    return deployment


async def deploy_contract(
    rpc: Rpc,
    name: str,
    arguments: bytes = b"",
    *,
    payer: bytes,
    salt: bytes = bytes(32),
    within: float = _WITHIN,
) -> Deployment:
    """Deploy a contract by name, with its encoded constructor arguments, or find it. Raises as ``deploy_registry``."""
    if await rpc.code(DEPLOYMENT_PROXY) != PROXY_RUNTIME_CODE:
        raise DeploymentFailed(f"the deployment proxy is not at {address_to_text(DEPLOYMENT_PROXY)}")
    call = deployment_call(name, salt, arguments)
    if await rpc.code(call.address):
        deployment = Deployment(call.address, 0, bytes(32), salt)
    else:
        query = {
            "from": wire.address_hex(payer),
            "to": wire.address_hex(call.to),
            "data": wire.data_hex(call.data),
            "gas": wire.quantity_hex(_GAS),
        }
        sent = wire.fixed(await rpc.request("eth_sendTransaction", [query]), 32)
        await rpc.request("evm_mine", [])
        deployment = Deployment(call.address, await _mined(rpc, sent, within), sent, salt)
    try:
        verify_runtime_code(await rpc.code(call.address), name)
    except CodeMismatch as error:
        raise DeploymentFailed(f"{address_to_text(call.address)}: {error}") from error
    return deployment


async def _mined(rpc: Rpc, sent: bytes, within: float) -> int:
    for _ in range(max(1, int(within / _PAUSE))):
        receipt = await rpc.receipt(sent)
        if receipt is not None and not receipt.ok:
            raise DeploymentFailed("the deployment reverted")
        if receipt is not None:
            return receipt.block_number
        await asyncio.sleep(_PAUSE)
    raise DeploymentFailed(f"the deployment was in no block within {within:g} s")
