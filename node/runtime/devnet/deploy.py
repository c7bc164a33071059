"""Deploys the ConsentRegistry on a devnet through the deterministic deployment proxy (EIP-1014)."""

from __future__ import annotations

import asyncio

from contracts.artifact import verify_runtime_code
from contracts.create2 import DEPLOYMENT_PROXY, PROXY_RUNTIME_CODE, deployment_call
from contracts.deployments import Deployment
from contracts.errors import CodeMismatch
from node.ledger import wire
from node.ledger.errors import RegistryMismatch
from node.ledger.rpc import Rpc
from node.ledger.views import RegistryViews
from node.runtime.devnet.errors import DeploymentFailed
from node.types import address_to_text

__all__ = ["deploy_registry"]

_GAS = 12_000_000
_PAUSE = 0.05


async def deploy_registry(rpc: Rpc, *, payer: bytes, salt: bytes = bytes(32), within: float = 30.0) -> Deployment:
    """Deploy from an unlocked account of the devnet, or find the registry where it already is.

    Raises DeploymentFailed when the proxy is missing or the code is not ours afterwards; RpcError.
    """
    if await rpc.code(DEPLOYMENT_PROXY) != PROXY_RUNTIME_CODE:
        raise DeploymentFailed(f"the deployment proxy is not at {address_to_text(DEPLOYMENT_PROXY)}")
    call = deployment_call(salt=salt)
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
        verify_runtime_code(await rpc.code(call.address))
        await RegistryViews(rpc, call.address, rpc.chain_id).check()
    except (CodeMismatch, RegistryMismatch) as error:
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
