"""The chain: its RPC nodes, the registry on it, the age of its newest block, and the account that pays."""

from __future__ import annotations

from typing import Final

from keys.identity import Identity
from node.app.commands.checks.report import broken, failed, well
from node.app.commands.configfile import NO_REGISTRY
from node.cli.factories import Finding
from node.clock import Clock
from node.config import DEVNET_CHAIN_ID, Settings
from node.errors import NodeError
from node.ledger import wire
from node.ledger.endpoint import Pace
from node.ledger.errors import RegistryMismatch
from node.ledger.headers import Header
from node.ledger.heads import http_urls
from node.ledger.rpc import Rpc, RpcOptions
from node.ledger.views import RegistryViews
from node.types import address_to_text, ether_text

__all__ = ["check_chain"]

_PATIENCE: Final = RpcOptions(Pace(timeout=5.0), attempts=1)
_GAS: Final = 350_000
"""Of the dearest message that a node sends on an ordinary day; the newest price counts twice, for it moves."""


async def check_chain(settings: Settings, identity: Identity | None, clock: Clock) -> list[Finding]:
    """All findings of the chain; an RPC node that is down makes one finding and leaves out what would need it."""
    chosen = settings.chain
    findings: list[Finding] = []
    if bytes(chosen.registry) == NO_REGISTRY:
        remedy = "Set [chain] registry to the address of the ConsentRegistry; `wattpact devnet` prints it for a devnet."
        findings.append(broken("registry address", "it is still the placeholder of the sample", remedy))
    async with Rpc(http_urls([str(url) for url in chosen.rpc_urls]), chosen.chain_id, clock, _PATIENCE) as rpc:
        try:
            head = await rpc.connect()
        except NodeError as error:
            return [*findings, failed("chain", error, _rpc_remedy(error))]
        findings.append(_endpoints(rpc, chosen.chain_id, head))
        findings += [_age(settings, clock, head), _skew(settings, clock, head)]
        if bytes(chosen.registry) != NO_REGISTRY:
            findings.append(await _registry(settings, rpc))
        findings.append(await _sender(identity, rpc))
    return findings


def _rpc_remedy(error: NodeError) -> str:
    if error.code == "wrong_chain":
        return error.remedy
    return "Start the RPC node, or name one that answers in [chain] rpc_urls."


def _endpoints(rpc: Rpc, chain_id: int, head: Header) -> Finding:
    faults = [f"{each.name}: {each.fault}" for each in rpc.report() if each.fault]
    if faults:
        return broken("chain", "; ".join(faults), "Repair these RPC nodes, or take them out of [chain] rpc_urls.")
    return well("chain", f"chain {chain_id}, block {head.number}, from {len(rpc.endpoints)} RPC node(s)")


def _age(settings: Settings, clock: Clock, head: Header) -> Finding:
    age, limit = clock.now() - head.timestamp, settings.chain.max_chain_silence_s
    if age > limit:
        remedy = "The chain stands still or the RPC node lags: writers publish nothing until new blocks come."
        return broken("newest block", f"{age} s old, more than max_chain_silence_s = {limit}", remedy)
    return well("newest block", f"{max(age, 0)} s old")


def _skew(settings: Settings, clock: Clock, head: Header) -> Finding:
    """A block is never from the future; one that is old may mean a slow chain or a fast clock, which look the same."""
    age, limit = clock.now() - head.timestamp, settings.chain.max_skew_s
    if age < -limit:
        remedy = "Set this clock (timedatectl, NTP): readings are set aside while it is wrong."
        return broken("clock", f"{-age} s behind the newest block", remedy)
    if age > limit:
        remedy = "If new blocks come, set this clock (timedatectl, NTP); else wait for the chain."
        return broken("clock", f"{age} s ahead of the newest block, which may be an old one", remedy)
    return well("clock", f"within {limit} s of the newest block")


async def _registry(settings: Settings, rpc: Rpc) -> Finding:
    chosen = settings.chain
    address = bytes(chosen.registry)
    try:
        await RegistryViews(rpc, address, chosen.chain_id, chosen.deploy_block).check()
    except RegistryMismatch as error:
        return failed("registry", error)
    except NodeError as error:
        return failed("registry", error, "Ask another RPC node; this one does not answer about the contract.")
    if await _older(rpc, address, chosen.deploy_block):
        remedy = "Set it to the block of the deployment, or to 0 to search the whole chain."
        return broken("registry", f"there is a registry before [chain] deploy_block = {chosen.deploy_block}", remedy)
    return well("registry", f"{address_to_text(address)} is the registry of this version")


async def _older(rpc: Rpc, address: bytes, deploy_block: int) -> bool:
    """Whether events before `deploy_block` would be missed. RPC nodes without old states cannot tell."""
    if deploy_block == 0:
        return False
    try:
        return bool(await rpc.code(address, at=deploy_block - 1))
    except NodeError:
        return False


async def _sender(identity: Identity | None, rpc: Rpc) -> Finding:
    if identity is None:
        return broken("sender", "not looked at, as the keystore did not open", "Mend the keystore first.")
    address = identity.sender().address
    text = address_to_text(address)
    try:
        balance = await rpc.balance(address)
        needed = 2 * _GAS * wire.quantity(await rpc.request("eth_gasPrice", []))
    except NodeError as error:
        return failed("sender", error, "Ask another RPC node; this one does not tell balances.")
    if balance < needed or not balance:
        detail = f"{text} has {ether_text(balance)} ETH; one transaction may need {ether_text(needed)}"
        remedy = f"Send at least {ether_text(max(needed - balance, 1))} ETH to {text}; it pays for gas."
        if rpc.chain_id == DEVNET_CHAIN_ID:
            remedy += f" On a devnet: `wattpact test-ether {text}`."
        return broken("sender", detail, remedy)
    return well("sender", f"{text} has {ether_text(balance)} ETH")
