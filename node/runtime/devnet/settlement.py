"""Deploys what settles trades on a devnet: anchors, market, net settlement and allowances over one token."""

from __future__ import annotations

from collections.abc import Callable

from contracts.bindings import allowances, market, net_settlement
from contracts.deployments import Deployment
from contracts.errors import MalformedData
from node.ledger.rpc import Rpc
from node.runtime.devnet.deploy import deploy_contract
from node.runtime.devnet.errors import DeploymentFailed
from node.types import address_to_text

__all__ = ["DISPUTE_WINDOW", "WITHDRAW_WAIT", "deploy_settlement"]

_DAY = 86_400
WITHDRAW_WAIT = 14 * _DAY  # seconds; longer than claim, dispute and ruling of any terms
DISPUTE_WINDOW = 3 * _DAY  # seconds that the credits of a netting wait


async def deploy_settlement(rpc: Rpc, token: bytes, *, payer: bytes, salt: bytes = bytes(32)) -> dict[str, Deployment]:
    """Deploy the four contracts for a token (20 bytes), each knowing those before it; by name.

    Token, waits and neighbours are part of the addresses. Raises DeploymentFailed, RpcError.
    """
    anchors = await deploy_contract(rpc, "Anchors", payer=payer, salt=salt)
    trading = await deploy_contract(
        rpc,
        "Market",
        market.encode_constructor(token, WITHDRAW_WAIT, anchors.address),
        payer=payer,
        salt=salt,
    )
    netting = await deploy_contract(
        rpc,
        "NetSettlement",
        net_settlement.encode_constructor(token, WITHDRAW_WAIT, anchors.address, DISPUTE_WINDOW),
        payer=payer,
        salt=salt,
    )
    funding = await deploy_contract(
        rpc, "Allowances", allowances.encode_constructor(trading.address), payer=payer, salt=salt
    )
    await _expect(rpc, trading.address, market.encode_token(), market.decode_token, token)
    await _expect(rpc, trading.address, market.encode_anchors(), market.decode_anchors, anchors.address)
    await _expect(rpc, netting.address, net_settlement.encode_token(), net_settlement.decode_token, token)
    await _expect(rpc, funding.address, allowances.encode_market(), allowances.decode_market, trading.address)
    return {"Allowances": funding, "Anchors": anchors, "Market": trading, "NetSettlement": netting}


async def _expect(rpc: Rpc, at: bytes, question: bytes, decode: Callable[[bytes], bytes], wanted: bytes) -> None:
    try:
        found = decode(await rpc.call(at, question))
    except MalformedData as error:
        raise DeploymentFailed(f"{address_to_text(at)}: {error}") from error
    if found != wanted:
        raise DeploymentFailed(f"{address_to_text(at)}: knows {address_to_text(found)}, not {address_to_text(wanted)}")
