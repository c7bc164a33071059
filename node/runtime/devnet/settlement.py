"""Deploys what settles trades on a devnet: anchors, market, net settlement and allowances over one token."""

from __future__ import annotations

from contracts.deployments import Deployment
from node.ledger.rpc import Rpc
from node.runtime.deployment.plan import DEVNET_CHAIN, Order, make_plan
from node.runtime.devnet.deploy import deploy_contract
from node.runtime.devnet.errors import DeploymentFailed
from node.types import address_to_text

__all__ = ["deploy_settlement"]

_SETTLEMENT = ("Anchors", "Market", "NetSettlement", "Allowances")


async def deploy_settlement(rpc: Rpc, token: bytes, *, payer: bytes, salt: bytes = bytes(32)) -> dict[str, Deployment]:
    """Deploy the four contracts for a token (20 bytes), each knowing those before it; by name.

    Token, waits and neighbours are part of the addresses. Raises DeploymentFailed, RpcError.
    """
    found = {}
    for step in make_plan(Order(_SETTLEMENT, token=token, salt=salt), DEVNET_CHAIN):
        made = await deploy_contract(rpc, step.name, step.arguments, payer=payer, salt=salt)
        for fact in step.facts:
            if await rpc.call(made.address, fact.question) != fact.answer:
                raise DeploymentFailed(f"{address_to_text(made.address)}: answers otherwise about its {fact.what}")
        found[step.name] = made
    return found
